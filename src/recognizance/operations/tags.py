"""TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recognizance.core.errors import ResourceNotFoundError
from recognizance.core.ids import parse_collection_arn
from recognizance.operations.registry import operation

if TYPE_CHECKING:
    from mypy_boto3_rekognition import type_defs as aws

    from recognizance.operations import outputs
    from recognizance.operations.context import Context

_MISSING = "resources other than collections"


def _collection_id(context: Context, arn: str) -> str:
    """Return the id of the collection that an ARN names; whether it exists is for the collections room to say.

    Raises:
        ResourceNotFoundError: Another kind of resource, or another account's or region's.
    """
    settings = context.services.settings
    match parse_collection_arn(arn):
        case (settings.region, settings.account_id, collection_id):
            return collection_id
        case _:
            raise ResourceNotFoundError(f"The resource {arn} does not exist")


@operation("TagResource", missing=_MISSING)
def tag_resource(context: Context, request: aws.TagResourceRequestTypeDef) -> outputs.Empty:
    """Add tags to a collection; a key that exists takes the new value."""
    context.services.collections.tag_collection(_collection_id(context, request["ResourceArn"]), request["Tags"])
    return {}


@operation("UntagResource", missing=_MISSING)
def untag_resource(context: Context, request: aws.UntagResourceRequestTypeDef) -> outputs.Empty:
    """Remove tags from a collection; keys that are not there are ignored."""
    context.services.collections.untag_collection(_collection_id(context, request["ResourceArn"]), request["TagKeys"])
    return {}


@operation("ListTagsForResource", missing=_MISSING)
def list_tags_for_resource(
    context: Context, request: aws.ListTagsForResourceRequestTypeDef
) -> outputs.ListTagsForResource:
    """List a collection's tags."""
    return {"Tags": context.services.collections.collection_tags(_collection_id(context, request["ResourceArn"]))}
