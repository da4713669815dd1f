"""Users of a collection: faces of one person under one name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from recognizance.collections.changes import Change
from recognizance.collections.model import Associations, Page, UnsuccessfulFace, User, UserMatch, UserStatus
from recognizance.collections.search import Query, Target
from recognizance.collections.vectors import embedding_and_level, from_rows
from recognizance.core.errors import ConflictError, ResourceNotFoundError, ServiceQuotaExceededError
from recognizance.storage.repositories import faces, users
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.storage.repositories.faces import FaceRow
from recognizance.storage.repositories.users import UserRow
from recognizance.vision.contracts import contract_of_version

MAX_FACES_OF_USER = 100
"""The most faces of a user (API reference, AssociateFaces)."""


def _status(*, has_faces: bool) -> UserStatus:
    return "ACTIVE" if has_faces else "CREATED"


def from_row(row: UserRow) -> User:
    """Return a row as callers see it."""
    return User(row.user_id, _status(has_faces=row.has_faces))


TARGET: Target[UserRow, UserMatch] = Target(
    searches=lambda gallery: gallery.user_searches,
    rows=users.by_pk,
    match=lambda similarity, row: UserMatch(similarity, from_row(row)),
)


def get(connection: Connection, collection: CollectionRow, user_id: str) -> UserRow:
    """Return a user's row.

    Raises:
        ResourceNotFoundError: The collection has no such user.
    """
    row = users.get(connection, collection.pk, user_id)
    if row is None:
        raise ResourceNotFoundError(f"The user id: {user_id} does not exist")
    return row


def create(change: Change, user_id: str) -> None:
    """Create a user without faces.

    Raises:
        ConflictError: There is one of that name.
    """
    if users.get(change.connection, change.collection.pk, user_id) is not None:
        raise ConflictError(f"The user id: {user_id} already exists")
    change.add_user(user_id)


def page(connection: Connection, collection: CollectionRow, *, limit: int, after: int) -> Page[User]:
    """Return one page of a collection's users, oldest first."""
    rows = users.page(connection, collection.pk, after, limit + 1)
    shown = rows[:limit]
    return Page(tuple(map(from_row, shown)), shown[-1].pk if len(rows) > limit else None)


def associate(change: Change, user_id: str, face_ids: Sequence[str], threshold: float) -> Associations:
    """Give faces to a user: those that exist, are nobody's, and resemble it enough if it has faces already.

    Raises:
        ResourceNotFoundError: There is no such user.
        ServiceQuotaExceededError: The user is full, and a face could have been added otherwise.
    """
    user = get(change.connection, change.collection, user_id)
    wanted = list(dict.fromkeys(face_ids))
    rows = faces.by_id(change.connection, change.collection.pk, wanted)
    free = [row for one in wanted if (row := rows.get(one)) and row.user_pk is None]
    too_low = _too_low(change, user, free, threshold)
    fitting = [row for row in free if row.face_id not in too_low]
    room = MAX_FACES_OF_USER - faces.count_of_user(change.connection, user.pk)
    if fitting and room <= 0:
        raise ServiceQuotaExceededError(f"The user id: {user_id} has {MAX_FACES_OF_USER} faces already")
    failures = {row.face_id: UnsuccessfulFace(row.face_id, ()) for row in fitting[room:]} | too_low
    for one in wanted:
        if (reason := _not_for(user, one, rows.get(one))) is not None:
            failures[one] = reason
    associated = fitting[:room]
    if associated:
        change.assign_faces([row.pk for row in associated], to=user, of=user)
    return Associations(
        tuple(row.face_id for row in associated),
        tuple(failures[one] for one in wanted if one in failures),
        _status(has_faces=user.has_faces or bool(associated)),
    )


def _too_low(change: Change, user: UserRow, free: Sequence[FaceRow], threshold: float) -> dict[str, UnsuccessfulFace]:
    """Return which of these faces do not resemble the user enough; a user without faces resembles everybody."""
    vector = users.vector(change.connection, user.pk)
    if vector is None or not free:
        return {}
    contract = contract_of_version(change.collection.contract_version)
    found = dict(faces.some_vectors(change.connection, [row.pk for row in free]))
    embeddings, levels = embedding_and_level(from_rows([found[row.pk] for row in free]))
    own, own_level = embedding_and_level(from_rows([vector]))
    scores = embeddings.astype(float) @ own[0].astype(float) - (levels + own_level[0]) / 2
    least = contract.score(threshold)
    return {
        row.face_id: UnsuccessfulFace(row.face_id, ("LOW_MATCH_CONFIDENCE",), confidence=float(similarity))
        for row, score, similarity in zip(free, scores, contract.similarity(scores), strict=True)
        if score < least
    }


def _not_for(user: UserRow, face_id: str, row: FaceRow | None) -> UnsuccessfulFace | None:
    """Return why a face has nothing to do with a user, if it does not exist or is another's."""
    if row is None:
        return UnsuccessfulFace(face_id, ("FACE_NOT_FOUND",))
    if row.user_pk not in {None, user.pk}:
        return UnsuccessfulFace(face_id, ("ASSOCIATED_TO_A_DIFFERENT_USER",), row.user_id)
    return None


def disassociate(change: Change, user_id: str, face_ids: Sequence[str]) -> Associations:
    """Take faces from a user.

    Raises:
        ResourceNotFoundError: There is no such user.
    """
    user = get(change.connection, change.collection, user_id)
    wanted = list(dict.fromkeys(face_ids))
    rows = faces.by_id(change.connection, change.collection.pk, wanted)
    own = [row for one in wanted if (row := rows.get(one)) and row.user_pk == user.pk]
    if own:
        change.assign_faces([row.pk for row in own], to=None, of=user)
    failures = (_not_for(user, one, rows.get(one)) for one in wanted)
    return Associations(
        tuple(row.face_id for row in own),
        tuple(failure for failure in failures if failure is not None),
        _status(has_faces=faces.count_of_user(change.connection, user.pk) > 0),
    )


def query(connection: Connection, collection: CollectionRow, user_id: str) -> Query:
    """Return the query that looks for users like a user; a user without faces asks for nobody.

    Raises:
        ResourceNotFoundError: There is no such user.
    """
    user = get(connection, collection, user_id)
    vector = users.vector(connection, user.pk)
    if vector is None:
        return Query.empty(contract_of_version(collection.contract_version).dimensions)
    return Query.of_row(vector, leave_out=user.pk)


def to_json(done: Associations) -> dict[str, Any]:
    """Return an answer in a form that JSON can keep."""
    return asdict(done)


def from_json(kept: Mapping[str, Any]) -> Associations:
    """Return the answer that :func:`to_json` was given."""
    failures = (UnsuccessfulFace(**(one | {"reasons": tuple(one["reasons"])})) for one in kept["unsuccessful"])
    return Associations(tuple(kept["face_ids"]), tuple(failures), kept["status"])
