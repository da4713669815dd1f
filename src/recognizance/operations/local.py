"""What the command line does beyond the API's operations, by the same rules: authorised, and validated by its caller.

Rekognition searches for the largest face of a picture only, and indexes one picture a request. Whoever has the
pictures on disk wants every face of a group photograph named, and a folder of 100,000 portraits stored in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from recognizance.collections.model import PictureFaces, Probes, RenamedPicture
from recognizance.governance.roles import authorize
from recognizance.operations.images import read_picture
from recognizance.operations.rendering import face_detail, face_matches
from recognizance.operations.selection import select_to_index
from recognizance.vision.image import MAX_OBJECT_BYTES, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_rekognition import type_defs as aws
    from mypy_boto3_rekognition.literals import QualityFilterType
    from sqlalchemy import Connection

    from recognizance.operations.context import Context
    from recognizance.vision.analyser import FaceAnalyser


def search_every_face(
    context: Context, request: aws.SearchFacesByImageRequestTypeDef, *, largest_only: bool = False
) -> dict[str, Any]:
    """Search a collection for each face of a picture, or for the largest; nothing is kept.

    Args:
        context: Who asks, and where.
        request: As for SearchFacesByImage; a QualityFilter does not count.
        largest_only: Whether the other faces are left out.

    Returns:
        ``FaceModelVersion``, and under ``Faces`` for each face, the largest first, its ``FaceDetail`` and its
        ``FaceMatches``.

    Raises:
        AccessDeniedError: The principal may not search.
        ServiceError: The collection does not exist, or the picture cannot be read.
    """
    authorize(context.principal, "SearchFacesByImage")
    collections, collection_id = context.services.collections, request["CollectionId"]
    contract = collections.contract(collection_id)
    picture = read_picture(context, request["Image"])

    analyser = context.services.analysers.get(contract.name)
    found = analyser.detect(picture)
    faces = analyser.embed(picture, found[:1] if largest_only else found)
    searches = collections.search_faces(
        collection_id,
        Probes.of(faces, contract.version),
        threshold=request.get("FaceMatchThreshold", 80.0),
        limit=request.get("MaxFaces", 4096),
    )
    return {
        "FaceModelVersion": contract.version,
        "Faces": [
            {"FaceDetail": face_detail(faces, row), "FaceMatches": face_matches(matches)}
            for row, matches in enumerate(searches)
        ],
    }


@dataclass(frozen=True, slots=True)
class Analysed:
    """A picture's faces, ready to be stored.

    Attributes:
        picture: The faces that the quality filter lets pass; possibly none.
        rejected: For each other face the reasons why not, as in ``UnindexedFace.Reasons``.
    """

    picture: PictureFaces | RenamedPicture
    rejected: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.picture.rows if isinstance(self.picture, RenamedPicture) else self.picture.faces)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of a picture's faces are stored.

    Attributes:
        quality_filter: As for IndexFaces.
        max_faces: As for IndexFaces; None stores every face.
    """

    quality_filter: QualityFilterType = "AUTO"
    max_faces: int | None = None


def analyse(analyser: FaceAnalyser, choice: Choice, data: bytes, external_image_id: str | None) -> Analysed:
    """Find and embed the faces of a picture file of at most 15 MiB, as IndexFaces does; nothing is stored.

    Raises:
        InvalidImageFormatError: Not a JPEG or PNG that decodes.
        ImageTooLargeError: Too many bytes or pixels.
        InvalidParameterError: The picture is too small.
    """
    picture = decode(data, max_bytes=MAX_OBJECT_BYTES)
    found = analyser.detect(picture)
    selection = select_to_index(found, choice.quality_filter, choice.max_faces)
    faces = analyser.embed(picture, found[selection.kept])
    rejected = cast("Mapping[int, list[str]]", selection.reasons)
    return Analysed(
        PictureFaces(faces, picture.digest, external_image_id), tuple(tuple(why) for why in rejected.values())
    )


class BulkIndexer:
    """Indexes many pictures: analysed one by one in any thread, stored many in one transaction.

    What is stored is what IndexFaces would have stored, with the same ids.

    Attributes:
        contract: The model contract that the collection is pinned to.

    Args:
        context: Who asks, and where.
        collection_id: The collection.
        quality_filter: As for IndexFaces.
        max_faces: As for IndexFaces; None stores every face.
        analyser: What analyses pictures instead of this process; it chooses faces likewise.

    Raises:
        AccessDeniedError: The principal may not index.
        ResourceNotFoundError: There is no such collection.
        SetupError: A model of the collection's contract is not installed.
    """

    def __init__(
        self,
        context: Context,
        collection_id: str,
        *,
        quality_filter: QualityFilterType = "AUTO",
        max_faces: int | None = None,
        analyser: Callable[[bytes, str | None], Analysed] | None = None,
    ) -> None:
        authorize(context.principal, "IndexFaces")
        self._collections, self._collection_id = context.services.collections, collection_id
        self.contract = self._collections.contract(collection_id)
        self._analyse = analyser or partial(
            analyse, context.services.analysers.get(self.contract.name), Choice(quality_filter, max_faces)
        )

    def analyse(self, data: bytes, external_image_id: str | None) -> Analysed:
        """Find and embed the faces of a picture file; see :func:`analyse`. Safe to call from many threads."""
        return self._analyse(data, external_image_id)

    def renamed(self, face_ids: Sequence[str], digest: bytes, external_image_id: str | None) -> Analysed | None:
        """Return a picture that the collection has, as it is under another name; None when a face was deleted.

        Args:
            face_ids: All its faces under the name that it has.
            digest: SHA-256 of the picture file.
            external_image_id: The other name.
        """
        known = self._collections.renamed_picture(
            self._collection_id, face_ids, picture_digest=digest, external_image_id=external_image_id
        )
        return None if known is None else Analysed(known)

    def store(
        self, pictures: Sequence[Analysed], also: Callable[[Connection, int], None] | None = None
    ) -> tuple[list[list[str]], int]:
        """Store the faces of these pictures, all or none.

        Args:
            pictures: The pictures.
            also: What else to write in the same transaction, given how many faces are new.

        Returns:
            The face ids of each picture, and how many faces were not there before.

        Raises:
            ResourceNotFoundError: The collection was deleted meanwhile.
            ServiceQuotaExceededError: The collection would hold more than 20,000,000 faces.
        """
        stored = self._collections.index_pictures(
            self._collection_id,
            [one.picture for one in pictures],
            contract_version=self.contract.version,
            also=also,
        )
        return [[face.face_id for face in faces] for faces in stored.pictures], stored.added
