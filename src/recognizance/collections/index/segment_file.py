"""Segments as files: written once, checked as a whole when they are opened, their vectors mapped."""

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt

from recognizance.collections.index.codes import Codes
from recognizance.collections.index.segment import Segment

_MAGIC = b"RCGSEG2\n"
_LENGTH = struct.Struct("<I")
_PAGE = 4096
_CHUNK = 1 << 20


class DamagedFileError(Exception):
    """A file of the cache is not what was written."""


class _Header(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rows: NonNegativeInt
    dimensions: PositiveInt
    codes: NonNegativeInt
    trained_on: PositiveInt
    slack: FiniteFloat


def write(path: Path, segment: Segment) -> int:
    """Write a segment and see to it that it is on the disk; return the CRC-32 of the file.

    The form: a magic number, the length of a JSON header and the header, then what it says: ids (int64), codes
    (`Codes.to_bytes`) and, from a multiple of 4,096 bytes on, vectors (float16, little-endian all of them).

    Raises:
        OSError: It cannot be written; no file is left.
    """
    codes = segment.codes.to_bytes()
    header = (
        _Header(
            rows=len(segment.ids),
            dimensions=segment.vectors.shape[1],
            codes=len(codes),
            trained_on=segment.codes.codebook.trained_on,
            slack=segment.codes.codebook.slack,
        )
        .model_dump_json()
        .encode()
    )
    start = _MAGIC + _LENGTH.pack(len(header)) + header
    gap = -(len(start) + segment.ids.nbytes + codes.nbytes) % _PAGE
    vectors = np.ascontiguousarray(segment.vectors, "<f2")
    parts = (start, segment.ids.astype("<i8").data, codes.data, bytes(gap), vectors.data)
    checksum = 0
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for part in parts:
                file.write(memoryview(part).cast("B"))
                checksum = zlib.crc32(part, checksum)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return checksum


def read(path: Path, checksum: int, dimensions: int) -> Segment:
    """Open a segment's file; its vectors stay in the file.

    Args:
        path: The file.
        checksum: What :func:`write` returned.
        dimensions: Length of its vectors.

    Raises:
        DamagedFileError: The file is not what was written.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if _checksum(file) != checksum:
            raise DamagedFileError(f"{path.name} has changed since it was written")
        file.seek(0)
        try:
            header = _header(file)
            if header.dimensions != dimensions:
                raise DamagedFileError(f"{path.name} has vectors of another length")
            ids = np.fromfile(file, "<i8", header.rows)
            coded = np.fromfile(file, np.uint8, header.codes)
            codes = Codes.from_bytes(coded, dimensions, header.trained_on, header.slack)
            if not len(ids) == len(codes) == header.rows:
                raise DamagedFileError(f"{path.name} has another number of rows than it says")
            return _mapped(path, ids, codes, dimensions, checksum)
        except (ValueError, RuntimeError, struct.error) as error:  # whoever wrote that knew the checksum
            raise DamagedFileError(f"{path.name} is no segment: {error}") from error


def map_vectors(path: Path, segment: Segment, checksum: int) -> Segment:
    """Return a segment that was just written, with its vectors in the file instead of in memory.

    Raises:
        OSError: The file cannot be read.
    """
    return _mapped(path, segment.ids, segment.codes, segment.vectors.shape[1], checksum)


def _mapped(path: Path, ids: NDArray[np.int64], codes: Codes, dimensions: int, checksum: int) -> Segment:
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    count = len(ids) * dimensions  # they end the file
    vectors: NDArray[np.float16] = np.frombuffer(mapping, "<f2", count, len(mapping) - 2 * count)
    shaped = vectors.reshape(len(ids), dimensions)
    return Segment(ids, codes, shaped, mapping=mapping, name=path.name, checksum=checksum)


def _header(file: BinaryIO) -> _Header:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise DamagedFileError("the file is of another version of the program")
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    return _Header.model_validate_json(file.read(length))


def _checksum(file: BinaryIO) -> int:
    # Read rather than mapped: what is mapped counts as this process's memory.
    checksum, buffer = 0, bytearray(_CHUNK)
    while count := file.readinto(buffer):  # type: ignore[attr-defined] # a file opened in binary mode has it
        checksum = zlib.crc32(memoryview(buffer)[:count], checksum)
    return checksum
