"""Every write and every search on collections, faces and users.

A write is one transaction in the database (rows, vectors and log together); only then do the indexes in memory learn
of it. A search first catches up with what other processes wrote, so that it sees every acknowledged write.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recognizance.collections.model import (
    Associations,
    Collection,
    FaceDeletions,
    FaceMatch,
    Page,
    Probes,
    StoredFace,
    User,
    UserMatch,
)
from recognizance.core.settings import Settings
from recognizance.storage.database import Database
from recognizance.storage.idempotency import Once
from recognizance.vision.faces import Faces

if TYPE_CHECKING:
    from recognizance.vision.analyser import Analysers
    from recognizance.vision.contracts import Contract

__all__ = ["CollectionService"]


class CollectionService:
    """Collections, their faces and their users. Safe to call from many threads.

    Every method that names a collection raises :class:`ResourceNotFoundError` when there is none of that name.
    ``threshold`` is always a similarity, 0 to 100; ``limit`` is the most results wanted, at least 1; ``after`` is the
    ``next_position`` of the page before, 0 for the first page.

    Args:
        database: Where everything is kept.
        analysers: Tells the model contract of new collections.
        settings: Region and account id for ARNs.
    """

    def __init__(self, database: Database, analysers: "Analysers", settings: Settings) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the indexes in memory."""
        raise NotImplementedError

    # Collections

    def create_collection(self, collection_id: str, tags: Mapping[str, str] | None = None) -> Collection:
        """Create an empty collection, pinned to the default model contract.

        Raises:
            ResourceAlreadyExistsError: The name is taken.
            ServiceQuotaExceededError: More than 200 tags.
        """
        raise NotImplementedError

    def describe_collection(self, collection_id: str) -> Collection:
        """Return a collection as it stands."""
        raise NotImplementedError

    def contract(self, collection_id: str) -> "Contract":
        """Return the model contract that a collection is pinned to: what its pictures must be embedded with.

        Raises:
            SetupError: This version of the program no longer has that contract.
        """
        raise NotImplementedError

    def list_collections(self, *, limit: int = 4096, after: int = 0) -> Page[Collection]:
        """List collections, oldest first."""
        raise NotImplementedError

    def delete_collection(self, collection_id: str) -> None:
        """Delete a collection with its faces, users and tags."""
        raise NotImplementedError

    # Tags of a collection

    def tag_collection(self, collection_id: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that exists takes the new value.

        Raises:
            ServiceQuotaExceededError: The collection would have more than 200 tags; none is added.
        """
        raise NotImplementedError

    def untag_collection(self, collection_id: str, keys: Sequence[str]) -> None:
        """Remove tags; keys that are not there are ignored."""
        raise NotImplementedError

    def collection_tags(self, collection_id: str) -> dict[str, str]:
        """Return the tags, sorted by key."""
        raise NotImplementedError

    # Faces

    def index_faces(
        self,
        collection_id: str,
        faces: Faces,
        *,
        picture_digest: bytes,
        contract_version: str,
        external_image_id: str | None = None,
    ) -> list[StoredFace]:
        """Store embedded faces of one picture, all or none.

        A face that the collection has already (same picture, place and ``external_image_id``) is not stored again;
        what is stored is returned.

        Args:
            collection_id: The collection.
            faces: The faces to keep, embedded; quality filters are the caller's.
            picture_digest: SHA-256 of the picture file (``Picture.digest``).
            contract_version: The version of the contract that embedded them.
            external_image_id: The caller's name for the picture.

        Returns:
            One stored face for each of ``faces``, in their order.

        Raises:
            InvalidParameterError: Faces without embeddings, or of another contract than the collection's.
            ServiceQuotaExceededError: The collection would hold more than 20,000,000 faces.
        """
        raise NotImplementedError

    def list_faces(
        self,
        collection_id: str,
        *,
        limit: int = 4096,
        after: int = 0,
        user_id: str | None = None,
        face_ids: Sequence[str] | None = None,
    ) -> Page[StoredFace]:
        """List faces in the order they were stored, only those of a user or of some ids where these are given."""
        raise NotImplementedError

    def delete_faces(self, collection_id: str, face_ids: Sequence[str]) -> FaceDeletions:
        """Delete faces; those of a user stay (ASSOCIATED_TO_AN_EXISTING_USER) until they are disassociated."""
        raise NotImplementedError

    def search_faces(
        self, collection_id: str, probes: Probes, *, threshold: float = 80.0, limit: int = 4096
    ) -> list[list[FaceMatch]]:
        """Find the stored faces most similar to each probe.

        Returns:
            One list for each probe, the most similar face first; equals in the order they were stored.

        Raises:
            InvalidParameterError: The probes were embedded by another contract than the collection's.
        """
        raise NotImplementedError

    def search_faces_by_id(
        self, collection_id: str, face_id: str, *, threshold: float = 80.0, limit: int = 4096
    ) -> list[FaceMatch]:
        """Find the faces most similar to a stored one, itself left out.

        Raises:
            InvalidParameterError: The collection has no such face.
        """
        raise NotImplementedError

    # Users

    def create_user(self, collection_id: str, user_id: str, *, once: Once | None = None) -> None:
        """Create a user without faces.

        Raises:
            ConflictError: The collection has a user of that name.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """
        raise NotImplementedError

    def delete_user(self, collection_id: str, user_id: str, *, once: Once | None = None) -> None:
        """Delete a user; its faces stay, associated with nobody.

        Raises:
            ResourceNotFoundError: No such user.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """
        raise NotImplementedError

    def list_users(self, collection_id: str, *, limit: int = 500, after: int = 0) -> Page[User]:
        """List users, oldest first."""
        raise NotImplementedError

    def associate_faces(
        self,
        collection_id: str,
        user_id: str,
        face_ids: Sequence[str],
        *,
        threshold: float = 75.0,
        once: Once | None = None,
    ) -> Associations:
        """Associate faces with a user.

        The threshold counts only when the user has a face already: then each face must resemble the user as it was
        before this request. Faces that are the user's already are passed over in silence.

        Raises:
            ResourceNotFoundError: No such user.
            ServiceQuotaExceededError: The user has 100 faces already.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """
        raise NotImplementedError

    def disassociate_faces(
        self, collection_id: str, user_id: str, face_ids: Sequence[str], *, once: Once | None = None
    ) -> Associations:
        """Take faces from a user; faces that are nobody's are passed over in silence.

        Raises:
            ResourceNotFoundError: No such user.
            IdempotentParameterMismatchError: ``once`` names a request that asked for something else.
        """
        raise NotImplementedError

    def search_users(
        self, collection_id: str, probes: Probes, *, threshold: float = 80.0, limit: int = 500
    ) -> list[list[UserMatch]]:
        """Find the users most similar to each probe, the most similar first; users without faces match nobody.

        Raises:
            InvalidParameterError: The probes were embedded by another contract than the collection's.
        """
        raise NotImplementedError

    def search_users_by_face_id(
        self, collection_id: str, face_id: str, *, threshold: float = 80.0, limit: int = 500
    ) -> list[UserMatch]:
        """Find the users most similar to a stored face, its own user among them.

        Raises:
            InvalidParameterError: The collection has no such face.
        """
        raise NotImplementedError

    def search_users_by_user_id(
        self, collection_id: str, user_id: str, *, threshold: float = 80.0, limit: int = 500
    ) -> list[UserMatch]:
        """Find the users most similar to a user, itself left out; a user without faces resembles nobody.

        Raises:
            ResourceNotFoundError: No such user.
        """
        raise NotImplementedError
