"""What the values of an exported collection must be like: what the API and the models could have made of them."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex
from numpy.typing import NDArray

from recognizance.collections.transfer.about import About
from recognizance.collections.users import MAX_FACES_OF_USER
from recognizance.core.errors import SetupError

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
EXTERNAL_IMAGE_ID = r"[a-zA-Z0-9_.\-:]{1,255}"
USER_ID = r"[a-zA-Z0-9_.\-:]{1,128}"
TAG_KEY = r"(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}"
TAG_VALUE = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}"
"""The patterns and lengths of the service model's shapes of these names."""

_PATTERNS = {"face_id": UUID, "image_id": UUID, "external_image_id": EXTERNAL_IMAGE_ID, "user_id": USER_ID}
_LONGEST = 255

_NORM_TOLERANCE = 0.01
"""How far an embedding's length may be from 1: as float16 it is within 0.0005."""

_MOST_LEVEL = 1.0
"""An impostor level is a mean of cosines."""

_LARGEST_BOX = 100.0
"""Boxes are ratios of the picture; those that reach beyond it do so by less than themselves."""

_LAST_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def short_strings(column: pa.ChunkedArray, what: str) -> None:
    """Return when no string of a column of dictionaries is longer than any name may be.

    Raises:
        SetupError: One is.
    """
    for chunk in column.chunks:
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py()
        if longest is not None and longest > _LONGEST:
            raise SetupError(f"{what} has a value of {longest:,} characters; no name is so long.")


def check_tags(tags: Mapping[str, str], what: str) -> None:
    """Return when a collection may have these tags.

    Raises:
        SetupError: It may not.
    """
    for key, value in tags.items():
        if not regex.fullmatch(TAG_KEY, key) or not regex.fullmatch(TAG_VALUE, value):
            raise SetupError(f"{what} is damaged: it has a tag that no collection can have.")


def check_group(group: pa.RecordBatch, about: About, what: str) -> None:
    """Return when a row group has nothing in it that this program could not have written.

    Raises:
        SetupError: It has; the message names the column.
    """
    for field in group.schema:
        column = group[field.name]
        if not field.nullable and column.null_count:
            raise _wrong(what, field.name, "is missing in some rows")
        if field.name in _PATTERNS:
            _require(_matches(column, _PATTERNS[field.name]), what, field.name)
    times = group["created_at"]
    _require(
        pc.and_(pc.greater_equal(times, _scalar(_FIRST_TIME)), pc.less(times, _scalar(_LAST_TIME))), what, "created_at"
    )
    if about.table == "faces":
        _check_faces(group, about, what)


def _check_faces(group: pa.RecordBatch, about: About, what: str) -> None:
    _require(pc.equal(group["face_model_version"], about.face_model_version), what, "face_model_version")
    for name in ("box_left", "box_top"):
        _require(_between(group[name], -_LARGEST_BOX, _LARGEST_BOX), what, name)
    for name in ("box_width", "box_height"):
        _require(_between(group[name], 0.0, _LARGEST_BOX), what, name)
    _require(_between(group["confidence"], 0.0, 100.0), what, "confidence")
    _require(_between(group["impostor_level"], -_MOST_LEVEL, _MOST_LEVEL), what, "impostor_level")
    if not np.all(np.abs(np.linalg.norm(embeddings(group), axis=1) - 1) <= _NORM_TOLERANCE):
        raise _wrong(what, "embedding", "has vectors that are not of length 1")


def embeddings(group: pa.RecordBatch) -> NDArray[np.float32]:
    """Return the embeddings of a row group of faces, (n, d); what is not finite there stays so."""
    column = group["embedding"]
    flat = column.flatten()
    if flat.null_count:
        return np.full((len(column), 1), np.nan, np.float32)
    wide: NDArray[np.float32] = flat.to_numpy().astype(np.float32).reshape(len(column), column.type.list_size)
    return wide


def _between(column: pa.Array, least: float, most: float) -> pa.Array:
    return pc.and_(pc.greater_equal(column, least), pc.less_equal(column, most))  # NaN is neither


def _matches(column: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(column, rf"\A(?:{pattern})\z")


def _scalar(time: datetime) -> pa.Scalar:
    return pa.scalar(time, pa.timestamp("us", tz="UTC"))


def _require(condition: pa.Array, what: str, name: str) -> None:
    if pc.all(condition).as_py() is False:  # None: no row has a value
        raise _wrong(what, name, "has values that no collection can have")


def _wrong(what: str, name: str, why: str) -> SetupError:
    return SetupError(f"{what} is damaged: {name} {why}. Export the collection again.")


class UserCounts:
    """Counts the faces of each user, in eight bytes a face: there may be as many users as faces."""

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.uint64]] = []

    def add(self, user_ids: pa.Array) -> None:
        """Count some faces' users."""
        names = user_ids.drop_null().dictionary_encode()
        digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names.dictionary.to_pylist())
        hashes = np.frombuffer(b"".join(digests), np.uint64)
        self._hashes.append(hashes[names.indices.to_numpy()])

    def check(self, what: str) -> None:
        """Return when no user has more faces than a user may have.

        Raises:
            SetupError: One has.
        """
        if not self._hashes:
            return
        hashes = np.sort(np.concatenate(self._hashes))
        if np.any(hashes[MAX_FACES_OF_USER:] == hashes[:-MAX_FACES_OF_USER]):
            raise SetupError(f"{what} is damaged: a user has more than {MAX_FACES_OF_USER} faces.")
