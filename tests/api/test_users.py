"""The operations on users, over the wire."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.vision.contracts import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.conftest import Api

VERSION = load_contract("core").version

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def user(api: Api, collection: str) -> str:
    """A user without faces."""
    api.call("CreateUser", CollectionId=collection, UserId="user:1")
    return "user:1"


@pytest.fixture
def gallery(api: Api, collection: str, photos: dict[str, bytes]) -> dict[str, str]:
    """Face ids by photograph."""
    found = {}
    for name in ("obama", "obama2", "obama3", "biden"):
        answer = api.call("IndexFaces", CollectionId=collection, Image={"Bytes": photos[name]}, MaxFaces=1)
        found[name] = answer["FaceRecords"][0]["Face"]["FaceId"]
    return found


@pytest.fixture
def two_users(api: Api, collection: str, gallery: dict[str, str]) -> dict[str, str]:
    """The users ``o`` (two of three pictures) and ``b`` of the gallery, which is returned."""
    for name, faces in {"o": ["obama", "obama2"], "b": ["biden"]}.items():
        api.call("CreateUser", CollectionId=collection, UserId=name)
        api.call("AssociateFaces", CollectionId=collection, UserId=name, FaceIds=[gallery[face] for face in faces])
    return gallery


def status(api: Api, collection: str, user: str) -> str:
    users = {item["UserId"]: item["UserStatus"] for item in api.call("ListUsers", CollectionId=collection)["Users"]}
    return str(users[user])


# CreateUser, DeleteUser, ListUsers


def test_a_new_user_is_counted_and_listed_as_created(api: Api, collection: str) -> None:
    assert api.call("CreateUser", CollectionId=collection, UserId="Anna:1_2.-") == {}
    assert api.call("ListUsers", CollectionId=collection) == {
        "Users": [{"UserId": "Anna:1_2.-", "UserStatus": "CREATED"}]
    }
    assert api.call("DescribeCollection", CollectionId=collection)["UserCount"] == 1


def test_a_user_name_can_be_taken_once_in_a_collection(api: Api, collection: str, user: str) -> None:
    api.refused("ConflictException", "CreateUser", CollectionId=collection, UserId=user)
    api.call("CreateUser", CollectionId=collection, UserId=user.upper())


def test_listing_gives_every_user_once_whatever_the_page_size(api: Api, collection: str) -> None:
    names = [f"{letter}{'x' * 127}" for letter in "dacbe"]
    for name in names:
        api.call("CreateUser", CollectionId=collection, UserId=name)
    for size in (1, 2, 5, 500):
        pages = list(
            api.client.get_paginator("list_users").paginate(
                CollectionId=collection, PaginationConfig={"PageSize": size}
            )
        )
        assert [item["UserId"] for page in pages for item in page["Users"]] == names
        assert len(pages) == -(-len(names) // size)


def test_a_deleted_user_is_gone_and_its_faces_belong_to_nobody(
    api: Api, collection: str, two_users: dict[str, str]
) -> None:
    assert api.call("DeleteUser", CollectionId=collection, UserId="o") == {}
    assert [item["UserId"] for item in api.call("ListUsers", CollectionId=collection)["Users"]] == ["b"]
    faces = api.call("ListFaces", CollectionId=collection)["Faces"]
    assert len(faces) == 4
    assert [face["FaceId"] for face in faces if "UserId" in face] == [two_users["biden"]]
    matches = api.call("SearchUsers", CollectionId=collection, FaceId=two_users["obama"])["UserMatches"]
    assert matches == []
    api.refused("ResourceNotFoundException", "DeleteUser", CollectionId=collection, UserId="o")
    api.call("CreateUser", CollectionId=collection, UserId="o")
    assert status(api, collection, "o") == "CREATED"


# AssociateFaces, DisassociateFaces


def test_the_first_face_makes_a_user_active_and_the_last_one_gone_does_not(
    api: Api, collection: str, user: str, people: list[str]
) -> None:
    request: dict[str, Any] = {"CollectionId": collection, "UserId": user, "FaceIds": people[:2]}
    assert api.call("AssociateFaces", **request) == {
        "AssociatedFaces": [{"FaceId": people[0]}, {"FaceId": people[1]}],
        "UnsuccessfulFaceAssociations": [],
        "UserStatus": "ACTIVE",
    }
    assert status(api, collection, user) == "ACTIVE"
    assert api.call("DisassociateFaces", **request) == {
        "DisassociatedFaces": [{"FaceId": people[0]}, {"FaceId": people[1]}],
        "UnsuccessfulFaceDisassociations": [],
        "UserStatus": "CREATED",
    }
    assert status(api, collection, user) == "CREATED"


def test_faces_that_are_the_users_already_are_passed_over(
    api: Api, collection: str, user: str, people: list[str]
) -> None:
    api.call("AssociateFaces", CollectionId=collection, UserId=user, FaceIds=people[:1])
    again = api.call("AssociateFaces", CollectionId=collection, UserId=user, FaceIds=people[:1])
    assert again == {"AssociatedFaces": [], "UnsuccessfulFaceAssociations": [], "UserStatus": "ACTIVE"}
    api.call("DisassociateFaces", CollectionId=collection, UserId=user, FaceIds=people[:1])
    again = api.call("DisassociateFaces", CollectionId=collection, UserId=user, FaceIds=people[:1])
    assert again == {"DisassociatedFaces": [], "UnsuccessfulFaceDisassociations": [], "UserStatus": "CREATED"}


def test_each_face_that_cannot_be_associated_says_why(api: Api, collection: str, user: str, people: list[str]) -> None:
    api.call("CreateUser", CollectionId=collection, UserId="other")
    api.call("AssociateFaces", CollectionId=collection, UserId="other", FaceIds=[people[0]])
    api.call("AssociateFaces", CollectionId=collection, UserId=user, FaceIds=[people[1]])
    answer = api.call("AssociateFaces", CollectionId=collection, UserId=user, FaceIds=[people[0], NOBODY, people[2]])
    taken, unknown, stranger = answer["UnsuccessfulFaceAssociations"]
    assert taken == {"FaceId": people[0], "UserId": "other", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]}
    assert unknown == {"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]}
    assert stranger["FaceId"] == people[2]
    assert stranger["Reasons"] == ["LOW_MATCH_CONFIDENCE"]
    assert stranger["Confidence"] < 75
    assert answer["AssociatedFaces"] == []


def test_each_face_that_cannot_be_disassociated_says_why(
    api: Api, collection: str, user: str, people: list[str]
) -> None:
    api.call("CreateUser", CollectionId=collection, UserId="other")
    api.call("AssociateFaces", CollectionId=collection, UserId="other", FaceIds=[people[0]])
    answer = api.call("DisassociateFaces", CollectionId=collection, UserId=user, FaceIds=[people[0], NOBODY])
    assert answer["UnsuccessfulFaceDisassociations"] == [
        {"FaceId": people[0], "UserId": "other", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
        {"FaceId": NOBODY, "Reasons": ["FACE_NOT_FOUND"]},
    ]
    assert status(api, collection, "other") == "ACTIVE"


def test_a_further_face_has_to_resemble_the_user_unless_the_threshold_is_lowered(
    api: Api, collection: str, user: str, gallery: dict[str, str]
) -> None:
    request: dict[str, Any] = {"CollectionId": collection, "UserId": user}
    api.call("AssociateFaces", **request, FaceIds=[gallery["obama"]])
    answer = api.call("AssociateFaces", **request, FaceIds=[gallery["obama3"], gallery["biden"]])
    assert answer["AssociatedFaces"] == [{"FaceId": gallery["obama3"]}]
    assert answer["UnsuccessfulFaceAssociations"][0]["Reasons"] == ["LOW_MATCH_CONFIDENCE"]
    answer = api.call("AssociateFaces", **request, FaceIds=[gallery["biden"]], UserMatchThreshold=0)
    assert answer["AssociatedFaces"] == [{"FaceId": gallery["biden"]}]


def test_a_user_holds_a_hundred_faces(api: Api, collection: str, user: str, people: list[str]) -> None:
    request: dict[str, Any] = {"CollectionId": collection, "UserId": user, "UserMatchThreshold": 0}
    answer = api.call("AssociateFaces", **request, FaceIds=people[:100])
    assert len(answer["AssociatedFaces"]) == 100
    api.refused("ServiceQuotaExceededException", "AssociateFaces", **request, FaceIds=people[100:101])
    assert len(api.call("ListFaces", CollectionId=collection, UserId=user)["Faces"]) == 100


# ClientRequestToken


@pytest.mark.parametrize(
    ("operation", "members", "changed"),
    [
        ("CreateUser", {"UserId": "new"}, {"UserId": "newer"}),
        ("DeleteUser", {"UserId": "user:1"}, {"UserId": "other"}),
        ("AssociateFaces", {"UserId": "user:1"}, {"UserId": "other"}),
        ("DisassociateFaces", {"UserId": "user:1"}, {"UserId": "other"}),
    ],
)
def test_a_repeated_token_repeats_the_answer_and_with_other_members_is_refused(
    api: Api,
    collection: str,
    user: str,
    people: list[str],
    operation: str,
    members: dict[str, Any],
    changed: dict[str, Any],
) -> None:
    api.call("CreateUser", CollectionId=collection, UserId="other")
    faces = {"FaceIds": people[:2]} if operation.endswith("Faces") else {}
    if operation == "DisassociateFaces":
        api.call("AssociateFaces", CollectionId=collection, UserId=user, **faces)
    token = {"CollectionId": collection, "ClientRequestToken": f"token_{uuid.uuid4()}"} | faces
    first = api.call(operation, **token, **members)
    assert api.call(operation, **token, **members) == first
    api.refused("IdempotentParameterMismatchException", operation, **token, **changed)


def test_without_a_token_of_ones_own_the_sdk_makes_a_new_one_each_time(api: Api, collection: str, user: str) -> None:
    """A second CreateUser is a second request, not a repetition."""
    api.refused("ConflictException", "CreateUser", CollectionId=collection, UserId=user)


def test_a_token_that_failed_may_be_used_again(api: Api, collection: str) -> None:
    """Nothing was done, so there is nothing to repeat."""
    request: dict[str, Any] = {"CollectionId": collection, "UserId": "late", "ClientRequestToken": str(uuid.uuid4())}
    api.refused("ResourceNotFoundException", "DeleteUser", **request)
    api.call("CreateUser", CollectionId=collection, UserId="late")
    api.call("DeleteUser", **request)


# SearchUsers, SearchUsersByImage


def test_a_face_finds_the_user_it_resembles(api: Api, collection: str, two_users: dict[str, str]) -> None:
    answer = api.call("SearchUsers", CollectionId=collection, FaceId=two_users["obama3"])
    assert [match["User"] for match in answer["UserMatches"]] == [{"UserId": "o", "UserStatus": "ACTIVE"}]
    assert answer["UserMatches"][0]["Similarity"] >= 80
    assert answer["SearchedFace"] == {"FaceId": two_users["obama3"]}
    assert "SearchedUser" not in answer
    assert answer["FaceModelVersion"] == VERSION


def test_a_user_finds_others_and_not_itself(api: Api, collection: str, two_users: dict[str, str]) -> None:
    api.call("CreateUser", CollectionId=collection, UserId="o2")
    api.call("AssociateFaces", CollectionId=collection, UserId="o2", FaceIds=[two_users["obama3"]])
    answer = api.call("SearchUsers", CollectionId=collection, UserId="o")
    assert [match["User"]["UserId"] for match in answer["UserMatches"]] == ["o2"]
    assert answer["SearchedUser"] == {"UserId": "o"}
    assert "SearchedFace" not in answer


def test_user_matches_come_most_similar_first(api: Api, collection: str, two_users: dict[str, str]) -> None:
    request: dict[str, Any] = {"CollectionId": collection, "FaceId": two_users["obama3"], "UserMatchThreshold": 0}
    matches = api.call("SearchUsers", **request)["UserMatches"]
    assert [match["User"]["UserId"] for match in matches] == ["o", "b"]
    assert matches[0]["Similarity"] > matches[1]["Similarity"]
    assert api.call("SearchUsers", **request, MaxUsers=1)["UserMatches"] == matches[:1]


def test_a_photograph_finds_its_user(
    api: Api, collection: str, two_users: dict[str, str], photos: dict[str, bytes]
) -> None:
    assert two_users
    answer = api.call("SearchUsersByImage", CollectionId=collection, Image={"Bytes": photos["both"]})
    assert [match["User"]["UserId"] for match in answer["UserMatches"]] == ["o"]
    (other,) = answer["UnsearchedFaces"]
    assert other["Reasons"] == ["FACE_NOT_LARGEST"]
    left = answer["SearchedFace"]["FaceDetail"]["BoundingBox"]["Left"]
    assert left < other["FaceDetails"]["BoundingBox"]["Left"]


def test_a_picture_without_a_face_finds_no_user_and_is_no_error(api: Api, collection: str, empty: bytes) -> None:
    answer = api.call("SearchUsersByImage", CollectionId=collection, Image={"Bytes": empty})
    assert answer == {"UserMatches": [], "UnsearchedFaces": [], "FaceModelVersion": VERSION}


def test_a_largest_face_of_poor_quality_is_not_replaced_by_another(
    api: Api,
    collection: str,
    two_users: dict[str, str],
    photos: dict[str, bytes],
    blur_left: Callable[[bytes], bytes],
) -> None:
    assert two_users
    answer = api.call(
        "SearchUsersByImage",
        CollectionId=collection,
        Image={"Bytes": blur_left(photos["both"])},
        QualityFilter="HIGH",
    )
    assert answer["UserMatches"] == []
    assert "SearchedFace" not in answer
    poor, small = answer["UnsearchedFaces"]
    assert "LOW_SHARPNESS" in poor["Reasons"]
    assert "FACE_NOT_LARGEST" in small["Reasons"]


@pytest.mark.parametrize("members", [{}, {"FaceId": NOBODY, "UserId": "user:1"}], ids=["neither", "both"])
def test_exactly_one_probe_must_be_named(api: Api, collection: str, user: str, members: dict[str, str]) -> None:
    assert user
    api.refused("InvalidParameterException", "SearchUsers", CollectionId=collection, **members)


def test_unknown_probes_are_refused_each_in_its_way(api: Api, collection: str) -> None:
    api.refused("InvalidParameterException", "SearchUsers", CollectionId=collection, FaceId=NOBODY)
    api.refused("ResourceNotFoundException", "SearchUsers", CollectionId=collection, UserId="nobody")


# Errors that they share


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("CreateUser", {"UserId": "u"}),
        ("DeleteUser", {"UserId": "u"}),
        ("ListUsers", {}),
        ("AssociateFaces", {"UserId": "u", "FaceIds": [NOBODY]}),
        ("DisassociateFaces", {"UserId": "u", "FaceIds": [NOBODY]}),
        ("SearchUsers", {"UserId": "u"}),
        ("SearchUsers", {"FaceId": NOBODY}),
        ("SearchUsersByImage", {"Image": {"Bytes": b"no picture"}}),
    ],
)
def test_a_collection_that_does_not_exist_is_not_found(api: Api, operation: str, members: dict[str, Any]) -> None:
    message = api.refused("ResourceNotFoundException", operation, CollectionId="no-such-collection", **members)
    assert message == "The collection id: no-such-collection does not exist"


@pytest.mark.parametrize("operation", ["AssociateFaces", "DisassociateFaces"])
def test_a_user_that_does_not_exist_is_not_found(api: Api, collection: str, people: list[str], operation: str) -> None:
    api.refused("ResourceNotFoundException", operation, CollectionId=collection, UserId="nobody", FaceIds=people[:1])


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("CreateUser", {}),
        ("CreateUser", {"UserId": ""}),
        ("CreateUser", {"UserId": "a b"}),
        ("CreateUser", {"UserId": "u" * 129}),
        ("CreateUser", {"UserId": "u", "ClientRequestToken": "with space"}),
        ("CreateUser", {"UserId": "u", "ClientRequestToken": "t" * 65}),
        ("DeleteUser", {}),
        ("ListUsers", {"MaxResults": 0}),
        ("ListUsers", {"MaxResults": 501}),
        ("AssociateFaces", {"UserId": "u"}),
        ("AssociateFaces", {"UserId": "u", "FaceIds": []}),
        ("AssociateFaces", {"UserId": "u", "FaceIds": [NOBODY] * 101}),
        ("AssociateFaces", {"UserId": "u", "FaceIds": [NOBODY], "UserMatchThreshold": 101}),
        ("DisassociateFaces", {"UserId": "u", "FaceIds": []}),
        ("DisassociateFaces", {"UserId": "u", "FaceIds": ["x"]}),
        ("SearchUsers", {"UserId": "u", "MaxUsers": 0}),
        ("SearchUsers", {"UserId": "u", "MaxUsers": 501}),
        ("SearchUsers", {"UserId": "u", "UserMatchThreshold": -1}),
        ("SearchUsersByImage", {}),
        ("SearchUsersByImage", {"Image": {}}),
        ("SearchUsersByImage", {"Image": {"Bytes": b"x"}, "MaxUsers": 501}),
    ],
)
def test_members_out_of_range_are_refused(api: Api, collection: str, operation: str, members: dict[str, Any]) -> None:
    api.refused("InvalidParameterException", operation, CollectionId=collection, **members)
