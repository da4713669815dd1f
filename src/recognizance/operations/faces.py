"""IndexFaces, ListFaces, DeleteFaces, SearchFaces, SearchFacesByImage."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from recognizance.collections.model import Probes
from recognizance.core.errors import InvalidParameterError
from recognizance.operations.images import read_picture
from recognizance.operations.paging import next_token, page_start
from recognizance.operations.registry import operation
from recognizance.operations.rendering import (
    bounding_box,
    confidence,
    face_detail,
    face_matches,
    stored_face,
    unsuccessful,
)
from recognizance.operations.selection import largest_if_good, select_to_index

if TYPE_CHECKING:
    from mypy_boto3_rekognition import type_defs as aws

    from recognizance.operations import outputs
    from recognizance.operations.context import Context

_LARGEST_PAGE = 4096
_MOST_MATCHES = 4096
_DEFAULT_THRESHOLD = 80.0


@operation("IndexFaces", missing="detection attributes beyond the default ones, and the 25 further landmarks of `ALL`")
def index_faces(context: Context, request: aws.IndexFacesRequestTypeDef) -> outputs.IndexFaces:
    """Store the faces of a picture in a collection. The picture itself is not kept.

    The same picture indexed again under the same ExternalImageId adds nothing, and answers with the same ids.
    """
    collections, collection_id = context.services.collections, request["CollectionId"]
    contract = collections.contract(collection_id)
    analyser = context.services.analysers.get(contract.name)
    picture = read_picture(context, request["Image"])

    found = analyser.detect(picture)
    selection = select_to_index(found, request.get("QualityFilter", "AUTO"), request.get("MaxFaces"))
    faces = analyser.embed(picture, found[selection.kept])
    stored = collections.index_faces(
        collection_id,
        faces,
        picture_digest=picture.digest,
        contract_version=contract.version,
        external_image_id=request.get("ExternalImageId"),
    )
    return {
        "FaceRecords": [
            {"Face": stored_face(face), "FaceDetail": face_detail(faces, row)} for row, face in enumerate(stored)
        ],
        "FaceModelVersion": contract.version,
        "UnindexedFaces": [
            {"Reasons": reasons, "FaceDetail": face_detail(found, row)} for row, reasons in selection.reasons.items()
        ],
    }


@operation("ListFaces")
def list_faces(context: Context, request: aws.ListFacesRequestTypeDef) -> outputs.ListFaces:
    """List a collection's faces in the order they were stored: all, or those of a user, or those of some ids."""
    collections, collection_id = context.services.collections, request["CollectionId"]
    page = collections.list_faces(
        collection_id,
        limit=request.get("MaxResults") or _LARGEST_PAGE,
        after=page_start(context, "ListFaces", request),
        user_id=request.get("UserId"),
        face_ids=request.get("FaceIds"),
    )
    answer: outputs.ListFaces = {
        "Faces": [stored_face(face) for face in page.items],
        "FaceModelVersion": collections.contract(collection_id).version,
    }
    if page.next_position is not None:
        answer["NextToken"] = next_token(context, "ListFaces", request, page.next_position)
    return answer


@operation("DeleteFaces")
def delete_faces(context: Context, request: aws.DeleteFacesRequestTypeDef) -> outputs.DeleteFaces:
    """Delete faces from a collection; those of a user stay until they are disassociated."""
    done = context.services.collections.delete_faces(request["CollectionId"], request["FaceIds"])
    return {
        "DeletedFaces": list(done.deleted),
        "UnsuccessfulFaceDeletions": [
            cast("aws.UnsuccessfulFaceDeletionTypeDef", unsuccessful(face)) for face in done.unsuccessful
        ],
    }


@operation("SearchFaces")
def search_faces(context: Context, request: aws.SearchFacesRequestTypeDef) -> outputs.SearchFaces:
    """Find the faces of a collection that resemble one of them; that one is not among the answers.

    Raises:
        InvalidParameterError: The collection has no face of that id.
    """
    collections, collection_id = context.services.collections, request["CollectionId"]
    matches = collections.search_faces_by_id(
        collection_id,
        request["FaceId"],
        threshold=request.get("FaceMatchThreshold", _DEFAULT_THRESHOLD),
        limit=request.get("MaxFaces", _MOST_MATCHES),
    )
    return {
        "SearchedFaceId": request["FaceId"],
        "FaceMatches": face_matches(matches),
        "FaceModelVersion": collections.contract(collection_id).version,
    }


@operation("SearchFacesByImage")
def search_faces_by_image(
    context: Context, request: aws.SearchFacesByImageRequestTypeDef
) -> outputs.SearchFacesByImage:
    """Find the faces of a collection that resemble the largest face of a picture; nothing is kept.

    Raises:
        InvalidParameterError: The picture has no face, or its largest one does not pass the quality filter.
    """
    collections, collection_id = context.services.collections, request["CollectionId"]
    contract = collections.contract(collection_id)
    analyser = context.services.analysers.get(contract.name)
    picture = read_picture(context, request["Image"])

    probe = largest_if_good(analyser.detect(picture), request.get("QualityFilter", "NONE"))
    if not len(probe):
        raise InvalidParameterError("There are no faces in the image. Should be at least 1.")
    (matches,) = collections.search_faces(
        collection_id,
        Probes.of(analyser.embed(picture, probe), contract.version),
        threshold=request.get("FaceMatchThreshold", _DEFAULT_THRESHOLD),
        limit=request.get("MaxFaces", _MOST_MATCHES),
    )
    return {
        "SearchedFaceBoundingBox": bounding_box(probe, 0),
        "SearchedFaceConfidence": confidence(probe, 0),
        "FaceMatches": face_matches(matches),
        "FaceModelVersion": contract.version,
    }
