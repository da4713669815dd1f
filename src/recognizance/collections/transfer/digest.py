"""The digest of a table's values, whatever bytes a Parquet writer makes of them."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class ContentDigest:
    """SHA-256 of a description and of row groups.

    Of each row group goes in the number of rows as eight bytes, then of each column a byte for each row that says
    whether there is a value, and the values: numbers in their own width, times as microseconds since 1970, strings as
    all their lengths in four bytes each and then all of them in UTF-8; absent values are 0 or empty. Everything is
    little-endian.
    """

    def __init__(self, about: bytes) -> None:
        self._digest = hashlib.sha256(about)

    def update(self, group: pa.RecordBatch) -> None:
        """Take in the next row group."""
        self._digest.update(group.num_rows.to_bytes(8, "little"))
        for column in group.columns:
            self._digest.update(pc.is_valid(column).cast(pa.uint8()).to_numpy().tobytes())
            for part in _values(column):
                self._digest.update(part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes())

    def hexdigest(self) -> str:
        """Return the digest of what was taken in so far, in hexadecimal digits."""
        return self._digest.hexdigest()


def _values(column: pa.Array) -> list[np.ndarray[Any, np.dtype[Any]]]:
    if pa.types.is_fixed_size_list(column.type):
        return [column.flatten().to_numpy()]
    if pa.types.is_timestamp(column.type):
        return [column.cast(pa.int64()).fill_null(0).to_numpy()]
    if not pa.types.is_string(column.type):
        return [column.fill_null(0).to_numpy()]
    lengths = pc.binary_length(column).fill_null(0).to_numpy()
    present = column.drop_null()
    _, offsets, data = present.buffers()
    if not len(present) or data is None:
        return [lengths]
    ends = np.frombuffer(offsets, np.int32)[present.offset : present.offset + len(present) + 1]
    return [lengths, np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]]
