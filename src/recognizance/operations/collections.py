"""CreateCollection, DescribeCollection, ListCollections, DeleteCollection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recognizance.operations.paging import next_token, page_start
from recognizance.operations.registry import operation

if TYPE_CHECKING:
    from mypy_boto3_rekognition import type_defs as aws

    from recognizance.operations import outputs
    from recognizance.operations.context import Context

_LARGEST_PAGE = 4096


@operation("CreateCollection")
def create_collection(context: Context, request: aws.CreateCollectionRequestTypeDef) -> outputs.CreateCollection:
    """Create an empty collection, pinned to the server's model contract of today."""
    made = context.services.collections.create_collection(request["CollectionId"], request.get("Tags"))
    return {"StatusCode": 200, "CollectionArn": made.arn, "FaceModelVersion": made.contract_version}


@operation("DescribeCollection")
def describe_collection(context: Context, request: aws.DescribeCollectionRequestTypeDef) -> outputs.DescribeCollection:
    """Count a collection's faces and users."""
    found = context.services.collections.describe_collection(request["CollectionId"])
    return {
        "FaceCount": found.face_count,
        "UserCount": found.user_count,
        "FaceModelVersion": found.contract_version,
        "CollectionARN": found.arn,
        "CreationTimestamp": found.created_at,
    }


@operation("ListCollections")
def list_collections(context: Context, request: aws.ListCollectionsRequestTypeDef) -> outputs.ListCollections:
    """List the collections, oldest first."""
    page = context.services.collections.list_collections(
        limit=request.get("MaxResults") or _LARGEST_PAGE, after=page_start(context, "ListCollections", request)
    )
    answer: outputs.ListCollections = {
        "CollectionIds": [item.collection_id for item in page.items],
        "FaceModelVersions": [item.contract_version for item in page.items],
    }
    if page.next_position is not None:
        answer["NextToken"] = next_token(context, "ListCollections", request, page.next_position)
    return answer


@operation("DeleteCollection")
def delete_collection(context: Context, request: aws.DeleteCollectionRequestTypeDef) -> outputs.DeleteCollection:
    """Delete a collection with its faces and users."""
    context.services.collections.delete_collection(request["CollectionId"])
    return {"StatusCode": 200}
