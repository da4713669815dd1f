"""CreateCollection, DescribeCollection, ListCollections, DeleteCollection over the wire."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from recognizance.vision.contracts import load_contract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Api

VERSION = load_contract("core").version

ARN = "arn:aws:rekognition:us-east-1:123456789012:collection/"


def test_a_new_collection_is_empty_and_says_what_it_was_made_with(api: Api, collection: str) -> None:
    described = api.call("DescribeCollection", CollectionId=collection)
    age = datetime.now(UTC) - described.pop("CreationTimestamp")
    assert timedelta(0) <= age < timedelta(minutes=10)
    assert described == {
        "FaceCount": 0,
        "UserCount": 0,
        "FaceModelVersion": VERSION,
        "CollectionARN": ARN + collection,
    }


def test_creating_answers_with_the_whole_arn_and_the_status(api: Api) -> None:
    name = f"Made_here.{uuid.uuid4()}"
    assert api.call("CreateCollection", CollectionId=name) == {
        "StatusCode": 200,
        "CollectionArn": ARN + name,
        "FaceModelVersion": VERSION,
    }
    assert api.call("DeleteCollection", CollectionId=name) == {"StatusCode": 200}


def test_a_name_can_be_taken_once(api: Api, collection: str) -> None:
    message = api.refused("ResourceAlreadyExistsException", "CreateCollection", CollectionId=collection)
    assert message == f"The collection id: {collection} already exists"


def test_names_differ_by_case(api: Api, collection: str) -> None:
    api.call("CreateCollection", CollectionId=collection.upper())
    api.call("DeleteCollection", CollectionId=collection.upper())
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 0


def test_a_deleted_collection_is_gone_and_its_name_free(api: Api, collection: str) -> None:
    api.call("DeleteCollection", CollectionId=collection)
    message = api.refused("ResourceNotFoundException", "DescribeCollection", CollectionId=collection)
    assert message == f"The collection id: {collection} does not exist"
    api.refused("ResourceNotFoundException", "DeleteCollection", CollectionId=collection)
    api.call("CreateCollection", CollectionId=collection)


def test_deleting_takes_the_faces_and_users_along(api: Api, collection: str, people: list[str]) -> None:
    api.call("CreateUser", CollectionId=collection, UserId="someone")
    api.call("AssociateFaces", CollectionId=collection, UserId="someone", FaceIds=people[:2])
    api.call("DeleteCollection", CollectionId=collection)
    api.call("CreateCollection", CollectionId=collection)
    described = api.call("DescribeCollection", CollectionId=collection)
    assert (described["FaceCount"], described["UserCount"]) == (0, 0)
    assert api.call("ListFaces", CollectionId=collection)["Faces"] == []
    assert api.call("ListUsers", CollectionId=collection)["Users"] == []


@pytest.fixture
def several(api: Api) -> Iterator[list[str]]:
    """Five collections, oldest first; the last name is as long as a name may be."""
    mark = uuid.uuid4().hex
    names = [f"{mark}-{letter}" for letter in "cabd"] + [mark + "x" * (255 - len(mark))]
    for name in names:
        api.call("CreateCollection", CollectionId=name)
    yield names
    for name in names:
        api.call("DeleteCollection", CollectionId=name)


def test_listing_gives_every_collection_once_whatever_the_page_size(api: Api, several: list[str]) -> None:
    for size in (1, 2, 5):
        pages = list(api.client.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": size}))
        assert all(len(page["CollectionIds"]) == len(page["FaceModelVersions"]) <= size for page in pages)
        listed = [name for page in pages for name in page["CollectionIds"] if name in several]
        assert listed == several
        assert "NextToken" not in pages[-1]


def test_a_page_of_zero_means_the_default(api: Api, several: list[str]) -> None:
    answer = api.call("ListCollections", MaxResults=0)
    assert set(several) <= set(answer["CollectionIds"])
    assert "NextToken" not in answer


def test_an_exact_page_has_no_next_one(api: Api, several: list[str]) -> None:
    assert several
    everything = api.call("ListCollections")["CollectionIds"]
    assert "NextToken" not in api.call("ListCollections", MaxResults=len(everything))
    assert "NextToken" in api.call("ListCollections", MaxResults=len(everything) - 1)


@pytest.mark.parametrize("token", ["", "nonsense", "!", "AAAA" * 40])
def test_a_token_of_somebody_elses_making_is_refused(api: Api, token: str) -> None:
    assert api.refused("InvalidPaginationTokenException", "ListCollections", NextToken=token)


def test_a_token_is_good_for_its_own_list_only(
    api: Api, several: list[str], people: list[str], collection: str
) -> None:
    assert several
    assert people
    token = api.call("ListCollections", MaxResults=1)["NextToken"]
    api.refused("InvalidPaginationTokenException", "ListFaces", CollectionId=collection, NextToken=token)
    token = api.call("ListFaces", CollectionId=collection, MaxResults=1)["NextToken"]
    api.refused("InvalidPaginationTokenException", "ListCollections", NextToken=token)
    api.refused("InvalidPaginationTokenException", "ListFaces", CollectionId=several[0], NextToken=token)


@pytest.mark.parametrize(
    "request_",
    [{}, {"CollectionId": ""}, {"CollectionId": "a b"}, {"CollectionId": "a" * 256}, {"CollectionId": 7}],
    ids=str,
)
@pytest.mark.parametrize("operation", ["CreateCollection", "DescribeCollection", "DeleteCollection"])
def test_a_name_that_breaks_the_rules_is_refused(api: Api, operation: str, request_: dict[str, object]) -> None:
    wrong_type = isinstance(request_.get("CollectionId"), int)
    api.refused("SerializationException" if wrong_type else "InvalidParameterException", operation, **request_)


@pytest.mark.parametrize("size", [-1, 4097])
def test_a_page_size_out_of_range_is_refused(api: Api, size: int) -> None:
    assert "maxResults" in api.refused("InvalidParameterException", "ListCollections", MaxResults=size)
