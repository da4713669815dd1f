"""One collection in memory, following its log in the database."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import Literal

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import Connection

from recognizance.collections.changes import Change, Vector
from recognizance.collections.index import Coalescer, Index, Source
from recognizance.collections.index.protocol import Part
from recognizance.collections.vectors import from_rows
from recognizance.storage.repositories import collections, face_log, faces, users
from recognizance.storage.schema import FACE, USER

log = structlog.get_logger(__name__)

Kind = Literal["faces", "users"]

_ROWS_AT_ONCE = 8192
REPOSITORIES: dict[Kind, ModuleType] = {"faces": faces, "users": users}
"""The rows of each kind."""


class Gallery:
    """One collection's indexes: of its faces, and of its users.

    Args:
        collection_pk: The collection's key.
        new_index: Makes an index that has not been opened.

    Attributes:
        faces: The stored vectors of the faces, by key.
        users: Those of the users that have faces, by key.
        lock: Whoever changes the indexes holds it.
    """

    def __init__(self, collection_pk: int, new_index: Callable[[Kind], Index]) -> None:
        self._pk = collection_pk
        self._new_index = new_index
        self._opened = self._taken_over = False
        self.faces = new_index("faces")
        self.users = new_index("users")
        self.face_searches = Coalescer(lambda: self.faces)
        self.user_searches = Coalescer(lambda: self.users)
        self.lock = threading.Lock()

    @property
    def indexes(self) -> dict[Kind, Index]:
        """Both indexes, by what they hold."""
        return {"faces": self.faces, "users": self.users}

    @property
    def revision(self) -> int:
        """The entry of the collection's log that both indexes have followed; -1 before they are loaded."""
        return self._followed if self._opened else -1

    @property
    def _followed(self) -> int:
        return min(self.faces.watermark, self.users.watermark)

    def take_over(self) -> None:
        """Take over what the indexes kept, if that has not been done.

        They ask the database whether it belongs to it. So whoever holds no connection yet does this first: threads that
        each held one and waited for another would wait for each other.
        """
        if not self._taken_over:
            self.faces.open()
            self.users.open()
            self._taken_over = True

    def follow(self, connection: Connection) -> None:
        """Catch up with the log, or compare with all rows when the log does not reach back far enough."""
        if self._opened:
            self._catch_up(connection)
        else:
            self._open(connection)

    def _open(self, connection: Connection) -> None:
        """Catch up with what the indexes kept, if it belongs to this database; until then nobody searches."""
        with self._whole():
            self.take_over()
            revision, count = collections.counters(connection, self._pk)
            kept = self._followed >= 0
            belongs = max(self.faces.watermark, self.users.watermark) <= revision
            if belongs:
                self._catch_up(connection)
                belongs = not kept or len(self.faces) == count
            if not belongs:
                log.warning("the cached index does not belong to this database, and is built anew", key=self._pk)
                self._rebuild(connection)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Count as opened afterwards; after an error begin again, for nobody knows what the indexes hold."""
        try:
            yield
        except BaseException:
            self._opened = self._taken_over = False
            self.close()
            self.faces, self.users = self._new_index("faces"), self._new_index("users")
            raise
        self._opened = True

    def _catch_up(self, connection: Connection) -> None:
        entries = face_log.since(connection, self._pk, self._followed) if self._followed >= 0 else []
        if not entries or entries[-1][0] - self._followed != len(entries):
            self._reload(connection)
            return
        put_changed(connection, entries, self.indexes)
        self._reached(entries[-1][0])

    def _reload(self, connection: Connection) -> None:
        revision, _ = collections.counters(connection, self._pk)
        if revision == self._followed:
            return
        self.faces.reload(source(connection, self._pk, "faces"))
        if len(self.users):
            self._replace(connection, ["users"], revision)  # their vectors may have changed
        else:
            self.users.reload(source(connection, self._pk, "users"))
        self._reached(revision)

    def rebuild(self, connection: Connection, on_rows: Callable[[int], None] = lambda _: None) -> None:
        """Build both indexes anew from the database, whatever they hold or kept.

        Args:
            connection: Where to read.
            on_rows: Told of every few rows that are read, how many.
        """
        with self.lock, nullcontext() if self._opened else self._whole():
            self._rebuild(connection, on_rows)

    def _rebuild(self, connection: Connection, on_rows: Callable[[int], None] = lambda _: None) -> None:
        revision, _ = collections.counters(connection, self._pk)
        self._replace(connection, ["faces", "users"], revision, on_rows)

    def _replace(
        self,
        connection: Connection,
        kinds: Sequence[Kind],
        revision: int,
        on_rows: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Put indexes that are filled anew in the place of those there are, in which searches go on meanwhile."""
        made: dict[Kind, Index] = {}
        try:
            for kind in kinds:
                self.indexes[kind].close()  # only one can write the files
                made[kind] = self._new_index(kind)
                made[kind].reload(source(connection, self._pk, kind, on_rows))
                made[kind].watermark = revision
        except BaseException:
            for index in made.values():
                index.close()
            raise
        self.faces, self.users = made.get("faces", self.faces), made.get("users", self.users)

    def _reached(self, revision: int) -> None:
        self.faces.watermark = self.users.watermark = revision

    def apply(self, change: Change) -> None:
        """Take over a change that was committed, if the indexes stand where it began."""
        with self.lock:
            if self.revision == change.collection.revision:
                _apply(self.faces, change.faces)
                _apply(self.users, change.users)
                self._reached(change.revision)

    def tend(self) -> None:
        """Let the indexes do what has become due; see ``Index.tend``."""
        if self.revision >= 0:
            self.faces.tend()
            self.users.tend()

    def close(self) -> None:
        """Let go of files and connections."""
        self.faces.close()
        self.users.close()


def source(
    connection: Connection, collection_pk: int, kind: Kind, on_rows: Callable[[int], None] = lambda _: None
) -> Source:
    """Return where an index can be filled from: the rows as this transaction sees them.

    Args:
        connection: Where to read.
        collection_pk: The collection's key.
        kind: Which rows.
        on_rows: Told of every few rows that are read, how many.
    """
    repository = REPOSITORIES[kind]

    def part(rows: Sequence[tuple[int, bytes]]) -> Part:
        on_rows(len(rows))
        return as_part(rows)

    def some(ids: NDArray[np.int64]) -> Iterator[Part]:
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            rows = repository.some_vectors(connection, ids[start : start + _ROWS_AT_ONCE].tolist())
            if rows:
                yield part(sorted(rows))

    return Source(
        keys=lambda: repository.keys(connection, collection_pk),
        every=lambda: map(part, repository.all_vectors(connection, collection_pk, _ROWS_AT_ONCE)),
        some=some,
    )


def as_part(rows: Sequence[tuple[int, bytes]]) -> Part:
    """Return at least one row's key and vector as an index takes them."""
    return np.array([pk for pk, _ in rows], np.int64), from_rows([vector for _, vector in rows])


def put_changed(connection: Connection, entries: Sequence[tuple[int, int, int]], indexes: Mapping[Kind, Index]) -> None:
    """Take over what entries of the log say has changed.

    Whether a row still exists, and with what vector, is what the row says now: that may be newer than the log just
    read, and then the entry that says so changes nothing more.
    """
    changed_faces = sorted({subject for _, kind, subject in entries if kind == FACE})
    changed_users = sorted({subject for _, kind, subject in entries if kind == USER})
    _put(indexes["faces"], changed_faces, faces.some_vectors(connection, changed_faces))
    _put(indexes["users"], changed_users, users.some_vectors(connection, changed_users))


def _put(index: Index, changed: Sequence[int], existing: Sequence[tuple[int, bytes]]) -> None:
    gone = set(changed) - {pk for pk, _ in existing}
    index.remove(sorted(gone))
    if existing:
        index.add(*as_part(existing))


def _apply(index: Index, vectors: Mapping[int, Vector | None]) -> None:
    index.remove([pk for pk, vector in vectors.items() if vector is None])
    added = {pk: vector for pk, vector in vectors.items() if vector is not None}
    if added:
        index.add(np.array(list(added), np.int64), np.stack(list(added.values())))
