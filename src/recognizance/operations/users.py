"""CreateUser, DeleteUser, ListUsers, AssociateFaces, DisassociateFaces, SearchUsers, SearchUsersByImage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from recognizance.collections.model import Probes
from recognizance.core.errors import InvalidParameterError
from recognizance.operations.images import read_picture
from recognizance.operations.paging import next_token, page_start
from recognizance.operations.registry import operation
from recognizance.operations.rendering import face_detail, unsuccessful, user_matches
from recognizance.operations.selection import select_largest
from recognizance.storage.idempotency import Once

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_rekognition import type_defs as aws

    from recognizance.operations import outputs
    from recognizance.operations.context import Context

_LARGEST_PAGE = 500
_MOST_MATCHES = 500
_ASSOCIATION_THRESHOLD = 75.0
_SEARCH_THRESHOLD = 80.0


def _once(context: Context, operation_name: str, request: Mapping[str, Any]) -> Once | None:
    """Return the name under which the request is done once, when it carries a ClientRequestToken."""
    token = request.get("ClientRequestToken")
    return None if token is None else Once.of(operation_name, context.principal.account_id, token, request)


@operation("CreateUser")
def create_user(context: Context, request: aws.CreateUserRequestTypeDef) -> outputs.Empty:
    """Create a user without faces."""
    context.services.collections.create_user(
        request["CollectionId"], request["UserId"], once=_once(context, "CreateUser", request)
    )
    return {}


@operation("DeleteUser")
def delete_user(context: Context, request: aws.DeleteUserRequestTypeDef) -> outputs.Empty:
    """Delete a user; its faces stay in the collection."""
    context.services.collections.delete_user(
        request["CollectionId"], request["UserId"], once=_once(context, "DeleteUser", request)
    )
    return {}


@operation("ListUsers")
def list_users(context: Context, request: aws.ListUsersRequestTypeDef) -> outputs.ListUsers:
    """List a collection's users in the order they were created."""
    page = context.services.collections.list_users(
        request["CollectionId"],
        limit=request.get("MaxResults") or _LARGEST_PAGE,
        after=page_start(context, "ListUsers", request),
    )
    answer: outputs.ListUsers = {"Users": [{"UserId": user.user_id, "UserStatus": user.status} for user in page.items]}
    if page.next_position is not None:
        answer["NextToken"] = next_token(context, "ListUsers", request, page.next_position)
    return answer


@operation("AssociateFaces")
def associate_faces(context: Context, request: aws.AssociateFacesRequestTypeDef) -> outputs.AssociateFaces:
    """Associate faces with a user; once it has any, further ones have to resemble it."""
    done = context.services.collections.associate_faces(
        request["CollectionId"],
        request["UserId"],
        request["FaceIds"],
        threshold=request.get("UserMatchThreshold", _ASSOCIATION_THRESHOLD),
        once=_once(context, "AssociateFaces", request),
    )
    return {
        "AssociatedFaces": [{"FaceId": face_id} for face_id in done.face_ids],
        "UnsuccessfulFaceAssociations": [
            cast("aws.UnsuccessfulFaceAssociationTypeDef", unsuccessful(face)) for face in done.unsuccessful
        ],
        "UserStatus": done.status,
    }


@operation("DisassociateFaces")
def disassociate_faces(context: Context, request: aws.DisassociateFacesRequestTypeDef) -> outputs.DisassociateFaces:
    """Take faces from a user; they stay in the collection."""
    done = context.services.collections.disassociate_faces(
        request["CollectionId"],
        request["UserId"],
        request["FaceIds"],
        once=_once(context, "DisassociateFaces", request),
    )
    return {
        "DisassociatedFaces": [{"FaceId": face_id} for face_id in done.face_ids],
        "UnsuccessfulFaceDisassociations": [
            cast("aws.UnsuccessfulFaceDisassociationTypeDef", unsuccessful(face)) for face in done.unsuccessful
        ],
        "UserStatus": done.status,
    }


@operation("SearchUsers")
def search_users(context: Context, request: aws.SearchUsersRequestTypeDef) -> outputs.SearchUsers:
    """Find the users that resemble a face of the collection, or another user of it.

    Raises:
        InvalidParameterError: Neither or both of FaceId and UserId; or the collection has no face of that id.
    """
    collections, collection_id = context.services.collections, request["CollectionId"]
    face_id, user_id = request.get("FaceId"), request.get("UserId")
    threshold = request.get("UserMatchThreshold", _SEARCH_THRESHOLD)
    limit = request.get("MaxUsers", _MOST_MATCHES)
    answer: outputs.SearchUsers = {
        "UserMatches": [],
        "FaceModelVersion": collections.contract(collection_id).version,
    }
    if face_id is not None and user_id is None:
        found = collections.search_users_by_face_id(collection_id, face_id, threshold=threshold, limit=limit)
        answer["SearchedFace"] = {"FaceId": face_id}
    elif user_id is not None and face_id is None:
        found = collections.search_users_by_user_id(collection_id, user_id, threshold=threshold, limit=limit)
        answer["SearchedUser"] = {"UserId": user_id}
    else:
        raise InvalidParameterError("Exactly one of FaceId and UserId must be given.")
    answer["UserMatches"] = user_matches(found)
    return answer


@operation("SearchUsersByImage")
def search_users_by_image(
    context: Context, request: aws.SearchUsersByImageRequestTypeDef
) -> outputs.SearchUsersByImage:
    """Find the users that resemble the largest face of a picture; nothing is kept.

    A picture without a face, unlike in SearchFacesByImage, is no error: the answer is empty.
    """
    collections, collection_id = context.services.collections, request["CollectionId"]
    contract = collections.contract(collection_id)
    analyser = context.services.analysers.get(contract.name)
    picture = read_picture(context, request["Image"])

    found = analyser.detect(picture)
    selection = select_largest(found, request.get("QualityFilter", "NONE"))
    answer: outputs.SearchUsersByImage = {
        "UserMatches": [],
        "FaceModelVersion": contract.version,
        "UnsearchedFaces": [
            {"FaceDetails": face_detail(found, row), "Reasons": reasons} for row, reasons in selection.reasons.items()
        ],
    }
    if selection.kept:
        probe = found[selection.kept]
        (matches,) = collections.search_users(
            collection_id,
            Probes.of(analyser.embed(picture, probe), contract.version),
            threshold=request.get("UserMatchThreshold", _SEARCH_THRESHOLD),
            limit=request.get("MaxUsers", _MOST_MATCHES),
        )
        answer["UserMatches"] = user_matches(matches)
        answer["SearchedFace"] = {"FaceDetail": face_detail(probe, 0)}
    return answer
