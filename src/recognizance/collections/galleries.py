"""The collections that are held in memory to be searched, each following its log in the database."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from recognizance.collections.changes import Change, Vector
from recognizance.collections.index import ExactIndex, Index
from recognizance.collections.vectors import from_rows
from recognizance.storage.database import Database
from recognizance.storage.repositories import collections, face_log, faces, users
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.storage.schema import FACE, USER

_ROWS_AT_ONCE = 8192


class Gallery:
    """One collection's indexes: of its faces, and of its users.

    Attributes:
        faces: The stored vectors of the faces, by key.
        users: Those of the users that have faces, by key.
        revision: The entry of the collection's log that the indexes have followed; -1 before they are loaded.
        lock: Whoever changes the indexes holds it.
    """

    def __init__(self, collection_pk: int, new_index: Callable[[], Index]) -> None:
        self._pk = collection_pk
        self._new_index = new_index
        self.faces = new_index()
        self.users = new_index()
        self.revision = -1
        self.lock = threading.Lock()

    def follow(self, connection: Connection) -> None:
        """Catch up with the log, or load everything when the log does not reach back far enough."""
        entries = face_log.since(connection, self._pk, self.revision) if self.revision >= 0 else []
        if not entries or entries[-1][0] - self.revision != len(entries):
            self._load(connection)
            return
        changed_faces = sorted({subject for _, kind, subject in entries if kind == FACE})
        changed_users = sorted({subject for _, kind, subject in entries if kind == USER})
        # Whether a row still exists, and with what vector, is what the row says now: that may be newer than the log
        # just read, and then the entry that says so changes nothing more.
        _put(self.faces, changed_faces, faces.some_vectors(connection, changed_faces))
        _put(self.users, changed_users, users.some_vectors(connection, changed_users))
        self.revision = entries[-1][0]

    def _load(self, connection: Connection) -> None:
        revision = collections.revision(connection, self._pk)
        # Searches in progress go on in the indexes that they have.
        self.faces = _filled(self._new_index(), faces.all_vectors(connection, self._pk, _ROWS_AT_ONCE))
        self.users = _filled(self._new_index(), users.all_vectors(connection, self._pk, _ROWS_AT_ONCE))
        self.revision = -1 if revision is None else revision  # None: deleted while we came here

    def apply(self, change: Change) -> None:
        """Take over a change that was committed, if the indexes stand where it began."""
        with self.lock:
            if self.revision == change.collection.revision:
                _apply(self.faces, change.faces)
                _apply(self.users, change.users)
                self.revision = change.revision


def _filled(index: Index, parts: Iterable[Sequence[tuple[int, bytes]]]) -> Index:
    for part in parts:
        index.add(np.array([pk for pk, _ in part], np.int64), from_rows([vector for _, vector in part]))
    return index


def _put(index: Index, changed: Sequence[int], existing: Sequence[tuple[int, bytes]]) -> None:
    gone = set(changed) - {pk for pk, _ in existing}
    index.remove(sorted(gone))
    _filled(index, [existing] if existing else [])


def _apply(index: Index, vectors: Mapping[int, Vector | None]) -> None:
    index.remove([pk for pk, vector in vectors.items() if vector is None])
    added = {pk: vector for pk, vector in vectors.items() if vector is not None}
    if added:
        index.add(np.array(list(added), np.int64), np.stack(list(added.values())))


class Galleries:
    """The galleries of a process. A collection is loaded when it is first searched."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaded: dict[int, Gallery] = {}
        self._lock = threading.Lock()

    def current(self, collection: CollectionRow, dimensions: int) -> Gallery:
        """Return a collection's gallery, no older than the row.

        Args:
            collection: The row, just read.
            dimensions: Length of the collection's embeddings.
        """
        with self._lock:
            gallery = self._loaded.get(collection.pk)
            if gallery is None:
                gallery = self._loaded[collection.pk] = Gallery(collection.pk, lambda: ExactIndex(dimensions + 1))
        if gallery.revision < collection.revision:
            with gallery.lock:
                if gallery.revision < collection.revision:
                    if gallery.revision < 0:
                        self._forget_deleted()
                    with self._database.read() as connection:
                        gallery.follow(connection)
        return gallery

    def committed(self, change: Change) -> None:
        """Take over a change that was committed by this process, where its collection is loaded."""
        with self._lock:
            gallery = self._loaded.get(change.collection.pk)
        if gallery:
            gallery.apply(change)

    def drop(self, collection_pk: int) -> None:
        """Forget a collection."""
        with self._lock:
            self._loaded.pop(collection_pk, None)

    def clear(self) -> None:
        """Forget every collection."""
        with self._lock:
            self._loaded.clear()

    def _forget_deleted(self) -> None:
        """Forget what other processes deleted. Searches never ask for it again, so a load is when to look."""
        with self._database.read() as connection:
            kept = collections.keys(connection)
        with self._lock:
            for pk in self._loaded.keys() - kept:
                del self._loaded[pk]
