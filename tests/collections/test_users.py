from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.collections.model import Associations, UnsuccessfulFace, User
from recognizance.core.errors import (
    ConflictError,
    IdempotentParameterMismatchError,
    ResourceNotFoundError,
    ServiceQuotaExceededError,
)
from recognizance.storage.idempotency import Once

if TYPE_CHECKING:
    from tests.collections.conftest import People

    from recognizance.collections.service import CollectionService

ABSENT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def collection(service: CollectionService) -> str:
    service.create_collection("c")
    return "c"


def once(operation: str, **request: object) -> Once:
    return Once.of(operation, "123456789012", str(request.pop("token", "t")), request)


def test_a_new_user_has_no_faces(service: CollectionService, collection: str) -> None:
    service.create_user(collection, "u:1")
    assert service.list_users(collection).items == (User("u:1", "CREATED"),)
    assert service.describe_collection(collection).user_count == 1


def test_a_user_id_is_taken_within_its_collection(service: CollectionService, collection: str) -> None:
    service.create_user(collection, "u")
    with pytest.raises(ConflictError, match="The user id: u already exists"):
        service.create_user(collection, "u")
    service.create_collection("d")
    service.create_user("d", "u")
    service.delete_user(collection, "u")
    assert service.list_users(collection).items == ()
    assert service.list_users("d").items == (User("u", "CREATED"),)
    assert service.describe_collection(collection).user_count == 0


def test_pages_of_users_join_without_gap_or_repetition(service: CollectionService, collection: str) -> None:
    names = [f"u{number}" for number in (3, 1, 4, 5, 9, 2, 6)]
    for name in names:
        service.create_user(collection, name)
    service.delete_user(collection, "u5")
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = service.list_users(collection, limit=2, after=after)
        assert len(page.items) == 2
        seen += [user.user_id for user in page.items]
        after = page.next_position
    assert seen == [name for name in names if name != "u5"], "oldest first, whatever the names"


def test_faces_of_a_deleted_user_are_nobodys(service: CollectionService, collection: str, people: People) -> None:
    ids = people.index(service, collection, people.strangers(2))
    service.create_user(collection, "u")
    service.associate_faces(collection, "u", ids)
    service.delete_user(collection, "u")
    assert [face.user_id for face in service.list_faces(collection).items] == [None, None]
    assert service.delete_faces(collection, ids).deleted == tuple(ids)


@pytest.mark.parametrize("known", ["user", "collection"])
def test_whatever_names_a_missing_user_says_so(
    service: CollectionService, collection: str, people: People, known: str
) -> None:
    ids = people.index(service, collection, people.strangers(1))
    if known == "user":  # of another collection
        service.create_collection("d")
        service.create_user("d", "u")
    for call in (
        lambda: service.delete_user(collection, "u"),
        lambda: service.associate_faces(collection, "u", ids),
        lambda: service.disassociate_faces(collection, "u", ids),
        lambda: service.search_users_by_user_id(collection, "u"),
    ):
        with pytest.raises(ResourceNotFoundError, match="The user id: u does not exist"):
            call()


def test_a_first_association_takes_faces_however_different(
    service: CollectionService, collection: str, people: People
) -> None:
    ids = people.index(service, collection, people.strangers(3))
    service.create_user(collection, "u")
    done = service.associate_faces(collection, "u", [ids[2], ids[0], ids[2]], threshold=100)
    assert done == Associations((ids[2], ids[0]), (), "ACTIVE")
    assert service.list_users(collection).items == (User("u", "ACTIVE"),)
    assert [face.user_id for face in service.list_faces(collection).items] == ["u", None, "u"]


def test_later_faces_must_resemble_the_user(service: CollectionService, collection: str, people: People) -> None:
    (person,) = people.strangers(1)
    similar = [people.like(person, people.cosine(similarity)) for similarity in (90, 78, 70)]
    ids = people.index(service, collection, np.stack([person, *similar]))
    service.create_user(collection, "u")
    service.associate_faces(collection, "u", ids[:1])
    done = service.associate_faces(collection, "u", ids[1:])
    assert done.face_ids == (ids[1], ids[2]), "the default threshold is 75"
    (failure,) = done.unsuccessful
    assert failure == replace(UnsuccessfulFace(ids[3], ("LOW_MATCH_CONFIDENCE",)), confidence=failure.confidence)
    assert failure.confidence == pytest.approx(70, abs=1)
    assert service.associate_faces(collection, "u", ids[3:], threshold=60).face_ids == (ids[3],)


def test_impostor_levels_count_when_a_face_joins_a_user(
    service: CollectionService, collection: str, people: People
) -> None:
    """A face of somebody who looks like everybody needs a higher cosine."""
    (person,) = people.strangers(1)
    near = people.like(person, people.cosine(90, level=0.0))
    ids = people.index(service, collection, np.stack([person, near]), np.array([0.2, 0.2], np.float32))
    service.create_user(collection, "u")
    service.associate_faces(collection, "u", ids[:1])
    (failure,) = service.associate_faces(collection, "u", ids[1:]).unsuccessful
    assert failure.reasons == ("LOW_MATCH_CONFIDENCE",)


def test_faces_are_compared_with_the_user_as_it_was_before_the_request(
    service: CollectionService, collection: str, people: People
) -> None:
    one, two = people.strangers(2)
    ids = people.index(service, collection, np.stack([one, two, two]))
    service.create_user(collection, "u")
    service.associate_faces(collection, "u", ids[:1])
    done = service.associate_faces(collection, "u", ids[1:])
    assert [failure.face_id for failure in done.unsuccessful] == ids[1:]


def test_faces_that_cannot_be_associated_are_named_with_their_reason(
    service: CollectionService, collection: str, people: People
) -> None:
    ids = people.index(service, collection, people.strangers(3))
    for user in ("u", "other"):
        service.create_user(collection, user)
    service.associate_faces(collection, "other", ids[:1])
    service.associate_faces(collection, "u", ids[1:2])
    done = service.associate_faces(collection, "u", [ids[0], ABSENT, ids[1], ids[2]], threshold=0)
    assert done == Associations(
        (ids[2],),
        (
            UnsuccessfulFace(ids[0], ("ASSOCIATED_TO_A_DIFFERENT_USER",), "other"),
            UnsuccessfulFace(ABSENT, ("FACE_NOT_FOUND",)),
        ),
        "ACTIVE",
    ), "a face that is the user's already is in neither list"


def test_nothing_associated_leaves_a_user_as_it_was(service: CollectionService, collection: str) -> None:
    service.create_user(collection, "u")
    done = service.associate_faces(collection, "u", [ABSENT])
    assert (done.face_ids, done.status) == ((), "CREATED")


def test_a_user_takes_a_hundred_faces(service: CollectionService, collection: str, people: People) -> None:
    (person,) = people.strangers(1)
    ids = people.index(service, collection, np.stack([person] * 103))
    service.create_user(collection, "u")
    assert service.associate_faces(collection, "u", ids[:98]).unsuccessful == ()
    done = service.associate_faces(collection, "u", [*ids[98:102], ABSENT])
    assert done.face_ids == tuple(ids[98:100])
    assert done.unsuccessful == (
        UnsuccessfulFace(ids[100], ()),
        UnsuccessfulFace(ids[101], ()),
        UnsuccessfulFace(ABSENT, ("FACE_NOT_FOUND",)),
    )
    with pytest.raises(ServiceQuotaExceededError):
        service.associate_faces(collection, "u", ids[102:])
    assert service.associate_faces(collection, "u", ids[:2]).face_ids == (), "no new face, so no error"
    service.disassociate_faces(collection, "u", ids[:1])
    assert service.associate_faces(collection, "u", ids[102:]).face_ids == (ids[102],)


def test_faces_are_disassociated_with_reasons_for_the_others(
    service: CollectionService, collection: str, people: People
) -> None:
    ids = people.index(service, collection, people.strangers(4))
    for user in ("u", "other"):
        service.create_user(collection, user)
    service.associate_faces(collection, "u", ids[:2])
    service.associate_faces(collection, "other", ids[2:3])
    done = service.disassociate_faces(collection, "u", [ids[3], ids[2], ABSENT, ids[0], ids[0]])
    assert done == Associations(
        (ids[0],),
        (
            UnsuccessfulFace(ids[2], ("ASSOCIATED_TO_A_DIFFERENT_USER",), "other"),
            UnsuccessfulFace(ABSENT, ("FACE_NOT_FOUND",)),
        ),
        "ACTIVE",
    ), "a face that is nobody's is in neither list"
    assert service.disassociate_faces(collection, "u", ids[:2]) == Associations((ids[1],), (), "CREATED")
    assert service.list_users(collection).items == (User("u", "CREATED"), User("other", "ACTIVE"))


def test_a_repeated_request_is_answered_again_and_done_once(
    service: CollectionService, collection: str, people: People
) -> None:
    ids = people.index(service, collection, people.strangers(2))
    for _ in range(2):
        service.create_user(collection, "u", once=once("CreateUser", user="u"))
    request = once("AssociateFaces", ids=ids)
    first = service.associate_faces(collection, "u", [*ids, ABSENT], once=request)
    service.disassociate_faces(collection, "u", ids[:1], once=once("DisassociateFaces"))
    assert service.associate_faces(collection, "u", [*ids, ABSENT], once=request) == first
    assert [face.user_id for face in service.list_faces(collection).items] == [None, "u"]
    assert service.disassociate_faces(collection, "u", ids[:1], once=once("DisassociateFaces")).face_ids == (ids[0],)
    for _ in range(2):
        service.delete_user(collection, "u", once=once("DeleteUser"))
    assert service.describe_collection(collection).user_count == 0


def test_a_token_stands_for_one_request(service: CollectionService, collection: str) -> None:
    service.create_user(collection, "u", once=once("CreateUser", user="u"))
    with pytest.raises(IdempotentParameterMismatchError, match="The ClientRequestToken: t you have supplied"):
        service.create_user(collection, "v", once=once("CreateUser", user="v"))
    assert service.describe_collection(collection).user_count == 1
    service.create_user(collection, "v", once=once("CreateUser", token="t2", user="v"))


def test_a_request_that_failed_may_be_tried_again_with_its_token(service: CollectionService, collection: str) -> None:
    request = once("DeleteUser", user="u")
    with pytest.raises(ResourceNotFoundError):
        service.delete_user(collection, "u", once=request)
    service.create_user(collection, "u")
    service.delete_user(collection, "u", once=request)
    assert service.list_users(collection).items == ()


def test_a_token_does_not_answer_for_a_collection_made_again(service: CollectionService, collection: str) -> None:
    """What was done under the token is gone with the first collection; to say "done" would be false."""
    request = once("CreateUser", user="u")
    service.create_user(collection, "u", once=request)
    service.delete_collection(collection)
    service.create_collection(collection)
    with pytest.raises(IdempotentParameterMismatchError):
        service.create_user(collection, "u", once=request)
    service.create_user(collection, "u", once=once("CreateUser", user="u", token="another"))
    assert service.list_users(collection).items == (User("u", "CREATED"),)
