"""What the collections room gives back, as plain values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from recognizance.core.errors import InvalidParameterError
from recognizance.storage.repositories.faces import NewFace
from recognizance.vision.faces import Faces

T = TypeVar("T")

UserStatus = Literal["CREATED", "ACTIVE"]
"""A user without faces, and one with faces. The other two of the API are for servers that lag behind."""

FailureReason = Literal[
    "FACE_NOT_FOUND",
    "ASSOCIATED_TO_AN_EXISTING_USER",
    "ASSOCIATED_TO_A_DIFFERENT_USER",
    "LOW_MATCH_CONFIDENCE",
]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: The page's items, in the list's order.
        next_position: Where the next page begins (pass it as ``after``); None on the last page.
    """

    items: tuple[T, ...]
    next_position: int | None


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as it stands.

    Attributes:
        collection_id: The name that its owner gave it.
        arn: Its Amazon resource name.
        contract_version: The version of the model contract that it was made with and stays with.
        face_count: How many faces it holds.
        user_count: How many users it holds.
        created_at: When it was created, aware, UTC.
    """

    collection_id: str
    arn: str
    contract_version: str
    face_count: int
    user_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face in a collection.

    Attributes:
        face_id: Lowercase UUID, derived from the picture and the box: the same picture gives the same id.
        image_id: Lowercase UUID, derived from the picture.
        external_image_id: What the caller named the picture, if it did.
        box: Left, top, width and height as ratios of the upright picture; may reach beyond 0 and 1.
        confidence: The detector's confidence that this is a face, 0 to 100.
        contract_version: The model contract that embedded it.
        user_id: The user that it is associated with, if any.
    """

    face_id: str
    image_id: str
    external_image_id: str | None
    box: tuple[float, float, float, float]
    confidence: float
    contract_version: str
    user_id: str | None


@dataclass(frozen=True, slots=True, eq=False)
class PictureFaces:
    """The embedded faces of one picture, to be stored.

    Attributes:
        faces: The faces; quality filters are the caller's.
        picture_digest: SHA-256 of the picture file (``Picture.digest``).
        external_image_id: The caller's name for the picture, if it has one.
    """

    faces: Faces
    picture_digest: bytes
    external_image_id: str | None = None


@dataclass(frozen=True, slots=True)
class RenamedPicture:
    """A picture that the collection has already, to be stored under another name as well.

    Attributes:
        rows: Its faces under that name.
    """

    rows: tuple[NewFace, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a write of pictures stored.

    Attributes:
        pictures: For each picture its faces as they are stored, in the pictures' and faces' order.
        added: How many faces were not there before.
    """

    pictures: tuple[tuple[StoredFace, ...], ...]
    added: int


@dataclass(frozen=True, slots=True)
class User:
    """A user: some faces of one person under one name.

    Attributes:
        user_id: The name that its owner gave it.
        status: ``CREATED`` without faces, ``ACTIVE`` with.
    """

    user_id: str
    status: UserStatus


@dataclass(frozen=True, slots=True)
class FaceMatch:
    """A stored face that resembles a probe; ``similarity`` is 0 to 100."""

    similarity: float
    face: StoredFace


@dataclass(frozen=True, slots=True)
class UserMatch:
    """A user that resembles a probe; ``similarity`` is 0 to 100."""

    similarity: float
    user: User


@dataclass(frozen=True, slots=True)
class UnsuccessfulFace:
    """A face that a request named and could not be served for.

    Attributes:
        face_id: The id that the request named.
        reasons: Why not; empty when the only reason is that the user is full.
        user_id: The other user that the face belongs to, where that is the reason.
        confidence: The similarity that was too low, 0 to 100, where that is the reason.
    """

    face_id: str
    reasons: tuple[FailureReason, ...]
    user_id: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class FaceDeletions:
    """What DeleteFaces did: the ids deleted, in the request's order, and the others."""

    deleted: tuple[str, ...]
    unsuccessful: tuple[UnsuccessfulFace, ...]


@dataclass(frozen=True, slots=True)
class Associations:
    """What AssociateFaces or DisassociateFaces did.

    Attributes:
        face_ids: The ids newly associated or disassociated, in the request's order.
        unsuccessful: The ids that could not be.
        status: The user's status afterwards.
    """

    face_ids: tuple[str, ...]
    unsuccessful: tuple[UnsuccessfulFace, ...]
    status: UserStatus


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Faces to search with.

    Attributes:
        embeddings: (k, d) float32 of unit length.
        impostor_levels: (k,) float32.
        contract_version: The model contract that embedded them.
    """

    embeddings: NDArray[np.float32]
    impostor_levels: NDArray[np.float32]
    contract_version: str

    @classmethod
    def of(cls, faces: Faces, contract_version: str) -> Self:
        """Take the embeddings of faces.

        Raises:
            InvalidParameterError: The faces have not been embedded.
        """
        if faces.embeddings is None or faces.impostor_levels is None:
            raise InvalidParameterError("The faces have no embeddings.")
        return cls(faces.embeddings, faces.impostor_levels, contract_version)

    def __len__(self) -> int:
        return len(self.embeddings)
