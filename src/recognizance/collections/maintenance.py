"""Looking after a collection's index by hand: comparing it with the database, building and writing it anew."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from recognizance.collections.changes import find
from recognizance.collections.galleries import Galleries
from recognizance.collections.gallery import Gallery, source
from recognizance.collections.index import Index, Source
from recognizance.collections.vectors import embedding_and_level, probes
from recognizance.core.errors import SetupError
from recognizance.storage.database import Database
from recognizance.storage.repositories.collections import CollectionRow

Progress = Callable[[int, int], None]
"""Called with how many rows are done, and of how many."""

IndexKind = Literal["exact", "scan", "milvus"]
"""How a collection is searched: by comparing every face, by codes of this process, or by Milvus."""

_PROBES = 200
_PROBES_AT_ONCE = 10
_NEAREST = 10


def ignored(_done: int, _total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """How a collection is searched, and how many bytes are kept in the data folder for that."""

    kind: IndexKind
    cached_bytes: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison found.

    Attributes:
        faces: Rows of faces in the database.
        users: Rows of users that have faces.
        missing: Rows that the index lacked.
        different: Rows whose vector in the index was another one.
        superfluous: Vectors of the index that the database has no row for.
        probes: How many stored faces were searched for, both ways.
        recall_at_1: Of their nearest other faces, the share that the ordinary search finds; None without probes.
        recall_at_10: Of their ten nearest other faces, likewise.
    """

    faces: int
    users: int
    missing: int
    different: int
    superfluous: int
    probes: int
    recall_at_1: float | None
    recall_at_10: float | None

    @property
    def sound(self) -> bool:
        """Whether the index holds what the database does."""
        return not (self.missing or self.different or self.superfluous)


def verify(database: Database, galleries: Galleries, collection_id: str, progress: Progress) -> Verification:
    """Compare a collection's index with the database, and fast searches with exact ones.

    Writes to the collection wait, as far as they are this process's.
    """
    collection, gallery = _gallery(database, galleries, collection_id)
    with gallery.lock, database.read() as connection:
        gallery.follow(connection)
        faces, users = (source(connection, collection.pk, kind) for kind in gallery.indexes)
        total = collection.face_count + collection.user_count
        of_faces = _compare(gallery.faces, faces, lambda done: progress(done, total))
        of_users = _compare(gallery.users, users, lambda done: progress(of_faces.rows + done, total))
        some, best, tens = _recall(gallery.faces, faces)
    return Verification(
        faces=of_faces.rows,
        users=of_users.rows,
        missing=of_faces.missing + of_users.missing,
        different=of_faces.different + of_users.different,
        superfluous=of_faces.superfluous + of_users.superfluous,
        probes=some,
        recall_at_1=best,
        recall_at_10=tens,
    )


class _Comparison(NamedTuple):
    rows: int
    missing: int
    different: int
    superfluous: int


def _compare(index: Index, rows: Source, progress: Callable[[int], None]) -> _Comparison:
    missing = different = done = 0
    for ids, vectors in rows.every():
        held, theirs = index.get(ids)
        missing += len(ids) - len(held)
        different += int((vectors[np.searchsorted(ids, held)] != theirs).any(axis=1).sum())
        done += len(ids)
        progress(done)
    return _Comparison(done, missing, different, len(index) - (done - missing))


def _recall(index: Index, rows: Source) -> tuple[int, float | None, float | None]:
    """Return with how many probes the recall was measured, and what it is at 1 and at 10."""
    keys = rows.keys()
    if len(keys) < 2:
        return 0, None, None
    chosen = np.sort(np.random.default_rng().choice(keys, min(_PROBES, len(keys)), replace=False))
    compared, nearest, best, tens = 0, 0, 0, 0
    for start in range(0, len(chosen), _PROBES_AT_ONCE):
        for ids, vectors in rows.some(chosen[start : start + _PROBES_AT_ONCE]):
            asked = probes(embedding_and_level(vectors)[0])
            anything = np.full(len(asked), -np.inf)
            fast = index.search(asked, _NEAREST + 1, anything)
            exact = index.search(asked, _NEAREST + 1, anything, exact=True)
            for own, quick, true in zip(ids, fast, exact, strict=True):
                wanted = true.ids[true.ids != own][:_NEAREST]
                got = quick.ids[quick.ids != own][:_NEAREST]
                if not len(wanted):  # the index lacks what the database has
                    continue
                compared += 1
                best += int(wanted[0] in got[:1])
                tens += len(np.intersect1d(wanted, got))
                nearest += len(wanted)
    return (compared, best / compared, tens / nearest) if compared else (0, None, None)


def rebuild(database: Database, galleries: Galleries, collection_id: str, progress: Progress) -> None:
    """Build a collection's index anew from the database, and keep it.

    Raises:
        SetupError: Another process has the index's files in hand.
    """
    collection, gallery = _gallery(database, galleries, collection_id)
    _check_owned(gallery)
    total, done = collection.face_count + collection.user_count, 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        progress(min(done, total), total)

    with database.read() as connection:
        gallery.rebuild(connection, count)
    gallery.tend()


def compact(database: Database, galleries: Galleries, collection_id: str) -> None:
    """Write a collection's index anew without what was deleted.

    Raises:
        SetupError: Another process has the index's files in hand.
    """
    _, gallery = _gallery(database, galleries, collection_id)
    _check_owned(gallery)
    with gallery.lock, database.read() as connection:
        gallery.follow(connection)
    for index in gallery.indexes.values():
        index.compact()


def _gallery(database: Database, galleries: Galleries, collection_id: str) -> tuple[CollectionRow, Gallery]:
    with database.read() as connection:
        collection = find(connection, collection_id)
    return collection, galleries.get(collection)


def _check_owned(gallery: Gallery) -> None:
    if not all(index.owned() for index in gallery.indexes.values()):
        raise SetupError(
            "Another process, a server for example, has the files of this collection's index in hand. Stop it first; "
            "it also does this by itself when it is due."
        )
