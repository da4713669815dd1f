"""Faces of a collection: storing, listing, deleting."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection

from recognizance.collections.changes import Change
from recognizance.collections.model import FaceDeletions, FaceMatch, Page, Probes, StoredFace, UnsuccessfulFace
from recognizance.collections.search import Target, check_contract
from recognizance.collections.vectors import stored
from recognizance.core.errors import InvalidParameterError, ServiceQuotaExceededError
from recognizance.core.ids import derived_id
from recognizance.storage.repositories import faces, users
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.storage.repositories.faces import FaceRow, NewFace
from recognizance.vision.faces import Faces, FloatArray

MAX_FACES = 20_000_000
"""The most faces of a collection: Rekognition's own quota (developer guide, "Guidelines and quotas")."""


def from_row(row: FaceRow | NewFace) -> StoredFace:
    """Return a row as callers see it."""
    return StoredFace(
        row.face_id,
        row.image_id,
        row.external_image_id,
        row.box,
        row.confidence,
        row.contract_version,
        row.user_id if isinstance(row, FaceRow) else None,
    )


TARGET: Target[FaceRow, FaceMatch] = Target(
    searches=lambda gallery: gallery.face_searches,
    rows=faces.by_pk,
    match=lambda similarity, row: FaceMatch(similarity, from_row(row)),
)


def face_id(contract_version: str, picture_digest: bytes, box: FloatArray, external_image_id: str | None) -> str:
    """Return the id that a face always gets: the same in every collection, and when it is indexed again.

    The box (ratios) counts to a thousandth of the picture: finer than two faces can lie apart, coarser than what
    another processor's rounding changes.
    """
    place = ",".join(str(round(float(ratio) * 1000)) for ratio in box)
    return derived_id("face", contract_version, picture_digest, place, external_image_id or "")


def new_faces(
    found: Faces, picture_digest: bytes, contract_version: str, external_image_id: str | None
) -> list[NewFace]:
    """Return the rows of embedded faces.

    Raises:
        InvalidParameterError: The faces have not been embedded.
    """
    embedded = Probes.of(found, contract_version)
    image_id = derived_id("image", picture_digest)
    vectors = stored(embedded.embeddings, embedded.impostor_levels)
    return [
        NewFace(
            face_id(contract_version, picture_digest, box, external_image_id),
            image_id,
            external_image_id,
            (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            float(score) * 100,
            contract_version,
            vector.tobytes(),
        )
        for box, score, vector in zip(found.box_ratios, found.scores, vectors, strict=True)
    ]


def renamed(
    connection: Connection,
    collection: CollectionRow,
    face_ids: Sequence[str],
    picture_digest: bytes,
    external_image_id: str | None,
) -> list[NewFace] | None:
    """Return the rows that indexing a stored picture under another name would make; None when a face is gone."""
    rows = faces.by_id(connection, collection.pk, face_ids)
    vectors = dict(faces.some_vectors(connection, [row.pk for row in rows.values()]))
    if any(one not in rows for one in face_ids):
        return None
    return [
        NewFace(
            face_id(row.contract_version, picture_digest, np.array(row.box, np.float32), external_image_id),
            row.image_id,
            external_image_id,
            row.box,
            row.confidence,
            row.contract_version,
            bytes(vectors[row.pk]),
        )
        for row in (rows[one] for one in face_ids)
    ]


def index(change: Change, new: Sequence[NewFace], contract_version: str) -> list[StoredFace]:
    """Store those of the faces that are not stored yet; return all of them as stored, in the same order.

    Raises:
        InvalidParameterError: The collection is pinned to another contract.
        ServiceQuotaExceededError: The collection would have too many faces.
    """
    check_contract(change.collection, contract_version)
    existing = faces.by_id(change.connection, change.collection.pk, [face.face_id for face in new])
    missing = {face.face_id: face for face in new if face.face_id not in existing}
    if change.collection.face_count + len(missing) > MAX_FACES:
        raise ServiceQuotaExceededError(
            f"The collection {change.collection.collection_id} would hold more than {MAX_FACES} faces."
        )
    change.add_faces(list(missing.values()))
    stored_now = {key: from_row(row) for key, row in (existing | missing).items()}
    return [stored_now[face.face_id] for face in new]


def page(
    connection: Connection,
    collection: CollectionRow,
    *,
    limit: int,
    after: int,
    user_id: str | None,
    face_ids: Sequence[str] | None,
) -> Page[StoredFace]:
    """Return one page of a collection's faces in the order they were stored."""
    user = users.get(connection, collection.pk, user_id) if user_id is not None else None
    if user_id is not None and user is None:
        return Page((), None)
    if face_ids is None:
        rows = faces.page(connection, collection.pk, after, limit + 1, user.pk if user else None)
    else:
        named = faces.by_id(connection, collection.pk, list(dict.fromkeys(face_ids))).values()
        rows = sorted(
            (row for row in named if row.pk > after and (user is None or row.user_pk == user.pk)),
            key=lambda row: row.pk,
        )
    shown = rows[:limit]
    return Page(tuple(map(from_row, shown)), shown[-1].pk if len(rows) > limit else None)


def delete(change: Change, face_ids: Sequence[str]) -> FaceDeletions:
    """Delete the faces that exist and belong to no user."""
    wanted = list(dict.fromkeys(face_ids))
    rows = faces.by_id(change.connection, change.collection.pk, wanted)
    deleted: list[str] = []
    unsuccessful: list[UnsuccessfulFace] = []
    for one in wanted:
        row = rows.get(one)
        if row is None:
            unsuccessful.append(UnsuccessfulFace(one, ("FACE_NOT_FOUND",)))
        elif row.user_id is not None:
            unsuccessful.append(UnsuccessfulFace(one, ("ASSOCIATED_TO_AN_EXISTING_USER",), row.user_id))
        else:
            deleted.append(one)
    change.remove_faces([rows[one].pk for one in deleted])
    return FaceDeletions(tuple(deleted), tuple(unsuccessful))


def vector(connection: Connection, collection: CollectionRow, wanted: str) -> tuple[int, bytes]:
    """Return the key and vector of a face.

    Raises:
        InvalidParameterError: The collection has no such face.
    """
    row = faces.by_id(connection, collection.pk, [wanted]).get(wanted)
    if row is None:
        raise InvalidParameterError("faceId was not found in the collection.")
    return faces.some_vectors(connection, [row.pk])[0]
