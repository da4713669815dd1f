"""Writing an exported collection's rows into a collection."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recognizance.collections.changes import Change
from recognizance.collections.faces import MAX_FACES
from recognizance.collections.search import check_contract
from recognizance.collections.transfer.checks import embeddings
from recognizance.collections.transfer.incoming import Incoming
from recognizance.collections.users import MAX_FACES_OF_USER
from recognizance.collections.vectors import stored
from recognizance.core import clock
from recognizance.core.errors import ServiceQuotaExceededError
from recognizance.storage.backup.progress import Progress, silent
from recognizance.storage.repositories import transfers

_ROWS_OF_CHANGE = 2048
"""Faces of one transaction: others' writes to the collection wait for it, tenths of a second."""

Begin = Callable[[], AbstractContextManager[Change]]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        collection_id: The collection.
        created: Whether the import made it.
        faces_added: Faces that were not in it before.
        faces_existing: Faces that were, and stay as they were.
        users_added: Users that were not in it before.
    """

    collection_id: str
    created: bool
    faces_added: int
    faces_existing: int
    users_added: int


def store(incoming: Incoming, begin: Begin, progress: Progress = silent) -> tuple[int, int]:
    """Write everything that a collection does not have yet, in many transactions; return faces and users added.

    What is interrupted can be done again: what is there is passed over.

    Args:
        incoming: A verified export.
        begin: Begins a change of the collection.
        progress: Told how many rows are done.

    Raises:
        InvalidParameterError: The collection is pinned to another contract than the export.
        ServiceQuotaExceededError: The collection or one of its users would have too many faces.
    """
    faces_added = users_added = done = 0
    for group in incoming.users():
        for part in _parts(group):
            with begin() as change:
                users_added += _store_users(change, part)
            done += part.num_rows
            progress(done, incoming.rows)
    for group in incoming.faces():
        for part in _parts(group):
            with begin() as change:
                check_contract(change.collection, incoming.about.face_model_version)
                faces, users = _store_faces(change, part)
            faces_added, users_added = faces_added + faces, users_added + users
            done += part.num_rows
            progress(done, incoming.rows)
    return faces_added, users_added


def _parts(group: pa.RecordBatch) -> list[pa.RecordBatch]:
    return [group.slice(start, _ROWS_OF_CHANGE) for start in range(0, group.num_rows, _ROWS_OF_CHANGE)]


def _store_users(change: Change, part: pa.RecordBatch) -> int:
    times = dict(zip(part["user_id"].to_pylist(), part["created_at"].to_pylist(), strict=True))
    known = transfers.user_keys(change.connection, change.collection.pk, list(times))
    new = {user_id: created_at for user_id, created_at in times.items() if user_id not in known}
    change.import_users(new)
    return len(new)


def _store_faces(change: Change, part: pa.RecordBatch) -> tuple[int, int]:
    face_ids = part["face_id"].to_pylist()
    first = {face_id: row for row, face_id in reversed(list(enumerate(face_ids)))}
    there = transfers.existing(change.connection, change.collection.pk, list(first))
    rows = sorted(row for face_id, row in first.items() if face_id not in there)
    if not rows:
        return 0, 0
    if change.collection.face_count + len(rows) > MAX_FACES:
        raise ServiceQuotaExceededError(
            f"The collection {change.collection.collection_id} would hold more than {MAX_FACES} faces."
        )
    new = part.take(pa.array(rows))
    names = new["user_id"].to_pylist()
    known, added = _users(change, sorted({name for name in names if name is not None}))
    _check_room(change, [known[name] for name in names if name is not None])
    vectors = stored(embeddings(new), new["impostor_level"].to_numpy().astype(np.float32))
    plain = ("face_id", "image_id", "external_image_id", "box_left", "box_top", "box_width", "box_height", "confidence")
    columns = {name: new[name].to_pylist() for name in (*plain, "created_at")}
    columns["contract_version"] = new["face_model_version"].to_pylist()
    columns["user_pk"] = [None if name is None else known[name] for name in names]
    columns["vector"] = [vector.tobytes() for vector in vectors]
    change.import_faces(columns)
    return len(rows), added


def _users(change: Change, names: list[str]) -> tuple[dict[str, int], int]:
    """Return the keys of users by name, and how many had to be made: they are in no table of users, or gone since."""
    known = transfers.user_keys(change.connection, change.collection.pk, names)
    now = clock.now()
    missing = {name: now for name in names if name not in known}
    return known | change.import_users(missing), len(missing)


def _check_room(change: Change, owners: list[int]) -> None:
    keys, new = np.unique(np.array(owners, np.int64), return_counts=True)
    have = transfers.face_counts(change.connection, keys.tolist())
    for key, count in zip(keys.tolist(), new.tolist(), strict=True):
        if have.get(key, 0) + count > MAX_FACES_OF_USER:
            raise ServiceQuotaExceededError(
                f"A user of the collection {change.collection.collection_id} would have more than {MAX_FACES_OF_USER} "
                "faces: it has other faces than in the file. Import into another collection."
            )
