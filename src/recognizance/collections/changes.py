"""One write to one collection: rows, vectors, counters and log in a single transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from recognizance.collections.vectors import aggregate, from_rows
from recognizance.core import clock
from recognizance.core.errors import ResourceNotFoundError
from recognizance.storage.notifications import announce
from recognizance.storage.repositories import collections, face_log, faces, transfers, users
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.storage.repositories.users import UserRow
from recognizance.storage.schema import FACE, USER

Vector = NDArray[np.float16]


def find(connection: Connection, collection_id: str, *, lock: bool = False) -> CollectionRow:
    """Return a collection's row.

    Raises:
        ResourceNotFoundError: There is none of that name.
    """
    row = collections.get(connection, collection_id, lock=lock)
    if row is None:
        raise ResourceNotFoundError(f"The collection id: {collection_id} does not exist")
    return row


class Change:
    """A write in progress, and afterwards what it changed.

    Every change of a face's or a user's vector goes through here, so that none can miss the log.

    Attributes:
        connection: The transaction.
        collection: The row as it was before.
        revision: The collection's revision: the one before until :meth:`finish`, the new one from then on.
        faces: By key, the vectors of the faces added, and None for those removed.
        users: By key, the new vectors of users, and None for those that have no faces any more.
    """

    def __init__(self, connection: Connection, collection: CollectionRow) -> None:
        self.connection = connection
        self.collection = collection
        self.revision = collection.revision
        self.faces: dict[int, Vector | None] = {}
        self.users: dict[int, Vector | None] = {}
        self._face_count = collection.face_count
        self._user_count = collection.user_count

    @classmethod
    def open(cls, connection: Connection, collection_id: str) -> Self:
        """Begin to change a collection, and keep others from changing it meanwhile.

        Raises:
            ResourceNotFoundError: There is none of that name.
        """
        return cls(connection, find(connection, collection_id, lock=True))

    def add_faces(self, new: Sequence[faces.NewFace]) -> list[int]:
        """Insert faces; return their keys in the same order."""
        pks = faces.insert(self.connection, self.collection.pk, new, clock.now())
        for pk, face in zip(pks, new, strict=True):
            self.faces[pk] = from_rows([face.vector])[0]
        self._face_count += len(pks)
        return pks

    def remove_faces(self, pks: Sequence[int]) -> None:
        """Delete faces that belong to no user."""
        faces.delete(self.connection, pks)
        self.faces.update(dict.fromkeys(pks))
        self._face_count -= len(pks)

    def add_user(self, user_id: str) -> None:
        """Insert a user without faces."""
        users.insert(self.connection, self.collection.pk, user_id, clock.now())
        self._user_count += 1

    def remove_user(self, user: UserRow) -> None:
        """Delete a user; its faces become nobody's."""
        faces.clear_user(self.connection, user.pk)
        users.delete(self.connection, user.pk)
        self._user_count -= 1
        if user.has_faces:
            self.users[user.pk] = None

    def assign_faces(self, pks: Sequence[int], *, to: UserRow | None, of: UserRow) -> None:
        """Give faces to a user, or (``to`` None) take them from it; ``of`` is the user whose vector that changes."""
        faces.set_user(self.connection, pks, to.pk if to else None)
        rows = faces.vectors_of_user(self.connection, of.pk)
        vector = aggregate(from_rows(rows)) if rows else None
        users.set_vector(self.connection, of.pk, None if vector is None else vector.tobytes())
        self.users[of.pk] = vector

    def import_users(self, created_at: Mapping[str, datetime]) -> dict[str, int]:
        """Insert users without faces, each with the time when it was made; return their keys by user id."""
        if not created_at:
            return {}
        columns: dict[str, Sequence[Any]] = {"user_id": list(created_at), "created_at": list(created_at.values())}
        pks = transfers.insert_users(self.connection, self.collection.pk, columns)
        self._user_count += len(pks)
        return dict(zip(created_at, pks, strict=True))

    def import_faces(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Insert at least one face with all that is kept of it, users' among them; the users' vectors follow.

        Args:
            columns: Every column of the table but the keys of face and collection, as the database keeps them.
        """
        pks = transfers.insert_faces(self.connection, self.collection.pk, columns)
        self.faces.update(zip(pks, from_rows(list(columns["vector"])), strict=True))
        self._face_count += len(pks)
        owners = sorted({owner for owner in columns["user_pk"] if owner is not None})
        rows = transfers.vectors_of_users(self.connection, owners)
        vectors = {owner: aggregate(from_rows(found)) for owner, found in rows.items()}
        transfers.set_vectors(self.connection, {owner: vector.tobytes() for owner, vector in vectors.items()})
        self.users.update(vectors)

    def finish(self) -> None:
        """Write the log and the counters, and announce them."""
        entries = [(FACE, pk) for pk in self.faces] + [(USER, pk) for pk in self.users]
        self.revision = face_log.append(self.connection, self.collection.pk, self.collection.revision, entries)
        if entries or self._user_count != self.collection.user_count:
            collections.update(
                self.connection,
                self.collection.pk,
                revision=self.revision,
                face_count=self._face_count,
                user_count=self._user_count,
            )
        if entries:
            announce(self.connection, self.collection.pk)
