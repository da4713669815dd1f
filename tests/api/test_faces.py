"""ListFaces, DeleteFaces, SearchFaces and SearchFacesByImage over the wire."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageFilter

from recognizance.vision.contracts import load_contract

if TYPE_CHECKING:
    from tests.api.conftest import Api

VERSION = load_contract("core").version

NOBODY = "00000000-0000-0000-0000-000000000000"
ABSENT = "The collection id: no-such-collection does not exist"


@pytest.fixture
def gallery(api: Api, collection: str, photos: dict[str, bytes]) -> dict[str, str]:
    """Face ids by photograph: three of one person and one of another."""
    found = {}
    for name in ("obama", "obama2", "obama3", "biden"):
        answer = api.call(
            "IndexFaces", CollectionId=collection, Image={"Bytes": photos[name]}, ExternalImageId=name, MaxFaces=1
        )
        found[name] = answer["FaceRecords"][0]["Face"]["FaceId"]
    return found


def names(matches: list[dict[str, Any]]) -> list[str]:
    return [match["Face"]["ExternalImageId"] for match in matches]


# ListFaces


def test_listing_gives_every_face_once_whatever_the_page_size(api: Api, collection: str, people: list[str]) -> None:
    for size in (7, 13, 65, 130, 4096):
        pages = list(
            api.client.get_paginator("list_faces").paginate(
                CollectionId=collection, PaginationConfig={"PageSize": size}
            )
        )
        assert [face["FaceId"] for page in pages for face in page["Faces"]] == people
        assert len(pages) == -(-len(people) // size)


def test_a_page_of_zero_means_the_default(api: Api, collection: str, people: list[str]) -> None:
    answer = api.call("ListFaces", CollectionId=collection, MaxResults=0)
    assert len(answer["Faces"]) == len(people)
    assert "NextToken" not in answer


def test_an_empty_collection_lists_no_faces(api: Api, collection: str) -> None:
    assert api.call("ListFaces", CollectionId=collection) == {"Faces": [], "FaceModelVersion": VERSION}


def test_listing_by_ids_leaves_out_the_unknown(api: Api, collection: str, people: list[str]) -> None:
    answer = api.call("ListFaces", CollectionId=collection, FaceIds=[people[5], NOBODY, people[2]])
    assert {face["FaceId"] for face in answer["Faces"]} == {people[5], people[2]}


def test_listing_by_user_gives_its_faces_and_pages_through_them(api: Api, collection: str, people: list[str]) -> None:
    api.call("CreateUser", CollectionId=collection, UserId="someone")
    api.call("AssociateFaces", CollectionId=collection, UserId="someone", FaceIds=people[10:13])
    first = api.call("ListFaces", CollectionId=collection, UserId="someone", MaxResults=2)
    second = api.call("ListFaces", CollectionId=collection, UserId="someone", NextToken=first["NextToken"])
    faces = first["Faces"] + second["Faces"]
    assert [face["FaceId"] for face in faces] == people[10:13]
    assert {face["UserId"] for face in faces} == {"someone"}
    api.refused("InvalidPaginationTokenException", "ListFaces", CollectionId=collection, NextToken=first["NextToken"])


def test_a_face_deleted_between_two_pages_does_not_disturb_the_rest(
    api: Api, collection: str, people: list[str]
) -> None:
    first = api.call("ListFaces", CollectionId=collection, MaxResults=10)
    api.call("DeleteFaces", CollectionId=collection, FaceIds=[people[9], people[10]])
    second = api.call("ListFaces", CollectionId=collection, NextToken=first["NextToken"])
    assert [face["FaceId"] for face in second["Faces"]] == people[11:]


# DeleteFaces


def test_deleting_says_of_each_id_what_became_of_it(api: Api, collection: str, people: list[str]) -> None:
    api.call("CreateUser", CollectionId=collection, UserId="someone")
    api.call("AssociateFaces", CollectionId=collection, UserId="someone", FaceIds=[people[1]])
    answer = api.call("DeleteFaces", CollectionId=collection, FaceIds=[people[0], people[1], NOBODY])
    assert answer["DeletedFaces"] == [people[0]]
    assert answer["UnsuccessfulFaceDeletions"] == [
        {"FaceId": people[1], "UserId": "someone", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]},
        {"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]},
    ]
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == len(people) - 1


def test_a_deleted_face_is_found_no_more(api: Api, collection: str, gallery: dict[str, str]) -> None:
    api.call("DeleteFaces", CollectionId=collection, FaceIds=[gallery["obama2"]])
    api.refused("InvalidParameterException", "SearchFaces", CollectionId=collection, FaceId=gallery["obama2"])
    matches = api.call("SearchFaces", CollectionId=collection, FaceId=gallery["obama"])["FaceMatches"]
    assert "obama2" not in names(matches)


# SearchFaces


def test_a_face_finds_the_others_of_its_person_and_not_itself(
    api: Api, collection: str, gallery: dict[str, str]
) -> None:
    answer = api.call("SearchFaces", CollectionId=collection, FaceId=gallery["obama"])
    assert answer["SearchedFaceId"] == gallery["obama"]
    assert answer["FaceModelVersion"] == VERSION
    assert sorted(names(answer["FaceMatches"])) == ["obama2", "obama3"]


def test_matches_come_most_similar_first_and_no_fewer_below_a_lower_threshold(
    api: Api, collection: str, gallery: dict[str, str]
) -> None:
    answer = api.call("SearchFaces", CollectionId=collection, FaceId=gallery["obama"], FaceMatchThreshold=0)
    similarities = [match["Similarity"] for match in answer["FaceMatches"]]
    assert similarities == sorted(similarities, reverse=True)
    assert sorted(names(answer["FaceMatches"])) == ["biden", "obama2", "obama3"]
    assert names(answer["FaceMatches"])[-1] == "biden"
    one = api.call("SearchFaces", CollectionId=collection, FaceId=gallery["obama"], MaxFaces=1)
    assert one["FaceMatches"] == answer["FaceMatches"][:1]


@pytest.mark.parametrize("threshold", [0.0, 50.0, 80.0, 99.0, 100.0])
def test_no_match_is_below_the_threshold(api: Api, collection: str, gallery: dict[str, str], threshold: float) -> None:
    request: dict[str, Any] = {"CollectionId": collection, "FaceId": gallery["obama"]}
    everything = api.call("SearchFaces", **request, FaceMatchThreshold=0)["FaceMatches"]
    found = api.call("SearchFaces", **request, FaceMatchThreshold=threshold)["FaceMatches"]
    assert found == [match for match in everything if match["Similarity"] >= threshold]


def test_an_unknown_face_id_is_an_invalid_parameter(api: Api, collection: str) -> None:
    message = api.refused("InvalidParameterException", "SearchFaces", CollectionId=collection, FaceId=NOBODY)
    assert message == "faceId was not found in the collection."


# SearchFacesByImage


def test_a_photograph_finds_its_person_alone(
    api: Api, collection: str, gallery: dict[str, str], photos: dict[str, bytes]
) -> None:
    answer = api.call("SearchFacesByImage", CollectionId=collection, Image={"Bytes": photos["obama"]})
    assert names(answer["FaceMatches"])[0] == "obama"
    assert sorted(names(answer["FaceMatches"])) == ["obama", "obama2", "obama3"]
    assert answer["FaceMatches"][0]["Face"]["FaceId"] == gallery["obama"]
    assert answer["FaceMatches"][0]["Similarity"] > 99
    assert answer["SearchedFaceConfidence"] > 50
    assert 0 < answer["SearchedFaceBoundingBox"]["Width"] < 1


def test_only_the_largest_face_is_searched_for(
    api: Api, collection: str, gallery: dict[str, str], photos: dict[str, bytes]
) -> None:
    assert gallery
    answer = api.call("SearchFacesByImage", CollectionId=collection, Image={"Bytes": photos["both"]})
    assert names(answer["FaceMatches"])[0] == "obama"
    assert "biden" not in names(answer["FaceMatches"])


def test_searching_keeps_nothing(api: Api, collection: str, gallery: dict[str, str], photos: dict[str, bytes]) -> None:
    api.call("SearchFacesByImage", CollectionId=collection, Image={"Bytes": photos["obama_partial_face"]})
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == len(gallery)


def test_an_empty_collection_matches_nothing(api: Api, collection: str, photos: dict[str, bytes]) -> None:
    answer = api.call("SearchFacesByImage", CollectionId=collection, Image={"Bytes": photos["obama"]})
    assert answer["FaceMatches"] == []


def test_a_picture_without_a_face_cannot_be_searched_with(api: Api, collection: str, empty: bytes) -> None:
    message = api.refused(
        "InvalidParameterException", "SearchFacesByImage", CollectionId=collection, Image={"Bytes": empty}
    )
    assert message == "There are no faces in the image. Should be at least 1."


def test_the_quality_filter_refuses_a_blurred_probe_that_none_lets_pass(
    api: Api, collection: str, photos: dict[str, bytes]
) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(photos["obama"])).filter(ImageFilter.GaussianBlur(14)).save(file, "JPEG")
    request: dict[str, Any] = {"CollectionId": collection, "Image": {"Bytes": file.getvalue()}}
    api.call("SearchFacesByImage", **request)
    api.call("SearchFacesByImage", **request, QualityFilter="NONE")
    api.refused("InvalidParameterException", "SearchFacesByImage", **request, QualityFilter="HIGH")


# Errors that they share


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("ListFaces", {}),
        ("DeleteFaces", {"FaceIds": [NOBODY]}),
        ("SearchFaces", {"FaceId": NOBODY}),
        ("SearchFacesByImage", {"Image": {"Bytes": b"no picture"}}),
    ],
)
def test_a_collection_that_does_not_exist_is_not_found(api: Api, operation: str, members: dict[str, Any]) -> None:
    message = api.refused("ResourceNotFoundException", operation, CollectionId="no-such-collection", **members)
    assert message == ABSENT


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("ListFaces", {"MaxResults": 4097}),
        ("ListFaces", {"MaxResults": -1}),
        ("ListFaces", {"FaceIds": []}),
        ("ListFaces", {"FaceIds": ["not an id"]}),
        ("ListFaces", {"UserId": "a b"}),
        ("ListFaces", {"NextToken": "x" * 256}),
        ("DeleteFaces", {}),
        ("DeleteFaces", {"FaceIds": []}),
        ("DeleteFaces", {"FaceIds": [NOBODY.upper().replace("0", "A")]}),
        ("DeleteFaces", {"FaceIds": [NOBODY] * 4097}),
        ("SearchFaces", {}),
        ("SearchFaces", {"FaceId": NOBODY, "MaxFaces": 0}),
        ("SearchFaces", {"FaceId": NOBODY, "MaxFaces": 4097}),
        ("SearchFaces", {"FaceId": NOBODY, "FaceMatchThreshold": -0.1}),
        ("SearchFaces", {"FaceId": NOBODY, "FaceMatchThreshold": 100.1}),
        ("SearchFacesByImage", {}),
        ("SearchFacesByImage", {"Image": {}}),
        ("SearchFacesByImage", {"Image": {"Bytes": b"x"}, "MaxFaces": 0}),
        ("SearchFacesByImage", {"Image": {"Bytes": b"x"}, "QualityFilter": "BEST"}),
    ],
)
def test_members_out_of_range_are_refused(api: Api, collection: str, operation: str, members: dict[str, Any]) -> None:
    api.refused("InvalidParameterException", operation, CollectionId=collection, **members)
