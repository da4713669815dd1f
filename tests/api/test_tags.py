"""TagResource, UntagResource, ListTagsForResource over the wire."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api

OTHER_ARNS = [
    "arn:aws:rekognition:us-east-1:123456789012:collection/no-such-collection",
    "arn:aws:rekognition:eu-west-1:123456789012:collection/{collection}",
    "arn:aws:rekognition:us-east-1:999999999999:collection/{collection}",
    "arn:aws:rekognition:us-east-1:123456789012:streamprocessor/{collection}",
    "arn:aws:rekognition:us-east-1:123456789012:project/{collection}/1690474772815",
    "arn:aws:s3:::{collection}",
]


@pytest.fixture
def arn(api: Api, collection: str) -> str:
    answer: str = api.call("DescribeCollection", CollectionId=collection)["CollectionARN"]
    return answer


def tags(api: Api, arn: str) -> dict[str, str]:
    found: dict[str, str] = api.call("ListTagsForResource", ResourceArn=arn)["Tags"]
    return found


def test_a_collection_starts_without_tags(api: Api, arn: str) -> None:
    assert tags(api, arn) == {}


def test_tags_given_at_creation_are_listed(api: Api) -> None:
    name = f"test-{uuid.uuid4()}"
    arn = api.call("CreateCollection", CollectionId=name, Tags={"team": "door", "empty": ""})["CollectionArn"]
    assert tags(api, arn) == {"team": "door", "empty": ""}
    api.call("DeleteCollection", CollectionId=name)
    api.refused("ResourceNotFoundException", "ListTagsForResource", ResourceArn=arn)


def test_tagging_adds_and_overwrites_and_untagging_removes(api: Api, arn: str) -> None:
    assert api.call("TagResource", ResourceArn=arn, Tags={"a": "1", "b": "2"}) == {}
    api.call("TagResource", ResourceArn=arn, Tags={"b": "3", "ö +-=._:/@": "x" * 256})
    assert tags(api, arn) == {"a": "1", "b": "3", "ö +-=._:/@": "x" * 256}
    assert api.call("UntagResource", ResourceArn=arn, TagKeys=["a", "ö +-=._:/@", "never there"]) == {}
    assert tags(api, arn) == {"b": "3"}


def test_the_arn_form_of_awss_own_examples_is_understood(api: Api, arn: str) -> None:
    api.call("TagResource", ResourceArn=arn, Tags={"a": "1"})
    assert tags(api, arn.removeprefix("arn:")) == {"a": "1"}


def test_tags_do_not_outlive_their_collection(api: Api, arn: str, collection: str) -> None:
    api.call("TagResource", ResourceArn=arn, Tags={"a": "1"})
    api.call("DeleteCollection", CollectionId=collection)
    api.call("CreateCollection", CollectionId=collection)
    assert tags(api, arn) == {}


def test_a_collection_holds_200_tags_and_no_more(api: Api, arn: str) -> None:
    api.call("TagResource", ResourceArn=arn, Tags={f"key{i}": "v" for i in range(200)})
    api.refused("ServiceQuotaExceededException", "TagResource", ResourceArn=arn, Tags={"new": "v", "key1": "w"})
    assert len(tags(api, arn)) == 200
    assert tags(api, arn)["key1"] == "v"
    api.call("TagResource", ResourceArn=arn, Tags={"key1": "w"})
    assert tags(api, arn)["key1"] == "w"


@pytest.mark.parametrize("template", OTHER_ARNS)
@pytest.mark.parametrize(
    ("operation", "members"),
    [("TagResource", {"Tags": {"a": "1"}}), ("UntagResource", {"TagKeys": ["a"]}), ("ListTagsForResource", {})],
)
def test_an_arn_that_names_no_collection_here_is_not_found(
    api: Api, collection: str, operation: str, members: dict[str, Any], template: str
) -> None:
    arn = template.format(collection=collection)
    api.refused("ResourceNotFoundException", operation, ResourceArn=arn, **members)


@pytest.mark.parametrize(
    "bad",
    [{"aws:reserved": "v"}, {"k" * 129: "v"}, {"": "v"}, {"k": "v" * 257}, {f"key{i}": "v" for i in range(201)}],
    ids=["reserved", "long key", "empty key", "long value", "201 tags"],
)
def test_tags_that_break_the_rules_are_refused(api: Api, arn: str, bad: dict[str, str]) -> None:
    api.refused("InvalidParameterException", "TagResource", ResourceArn=arn, Tags=bad)
    assert tags(api, arn) == {}
