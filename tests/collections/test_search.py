from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.core.errors import InvalidParameterError, ResourceNotFoundError

if TYPE_CHECKING:
    from tests.collections.conftest import People

    from recognizance.collections.model import FaceMatch, UserMatch
    from recognizance.collections.service import CollectionService
    from recognizance.vision.faces import FloatArray


@pytest.fixture
def collection(service: CollectionService) -> str:
    service.create_collection("c")
    return "c"


def ids_of(matches: list[FaceMatch]) -> list[str]:
    return [match.face.face_id for match in matches]


def users_of(matches: list[UserMatch]) -> list[str]:
    return [match.user.user_id for match in matches]


def resembling(people: People, person: FloatArray, *similarities: float, level: float = 0.0) -> FloatArray:
    """Faces that have these similarities with a person, all of one impostor level."""
    return np.stack([people.like(person, people.cosine(similarity, level)) for similarity in similarities])


@pytest.mark.parametrize("level", [0.0, 0.35])
def test_matches_above_the_threshold_come_most_similar_first(
    service: CollectionService, collection: str, people: People, level: float
) -> None:
    """The impostor levels of both faces count, so equal similarities need higher cosines where levels are higher."""
    (person,) = people.strangers(1)
    wanted = [60.0, 95.0, 85.0, 99.0]
    ids = people.index(service, collection, resembling(people, person, *wanted, level=level), level)
    (matches,) = service.search_faces(collection, people.probes(person[None], level), threshold=80)
    assert ids_of(matches) == [ids[3], ids[1], ids[2]]
    assert [match.similarity for match in matches] == pytest.approx([99, 95, 85], abs=1)
    (all_of_them,) = service.search_faces(collection, people.probes(person[None], level), threshold=0)
    assert ids_of(all_of_them) == [ids[3], ids[1], ids[2], ids[0]]


def test_threshold_zero_finds_even_the_opposite_face(
    service: CollectionService, collection: str, people: People
) -> None:
    (person,) = people.strangers(1)
    people.index(service, collection, -person[None])
    ((match,),) = service.search_faces(collection, people.probes(person[None]), threshold=0)
    assert match.similarity == pytest.approx(float(people.contract.similarity(-1.0)), abs=0.1)


def test_no_similarity_lies_below_its_threshold(service: CollectionService, collection: str, people: People) -> None:
    (person,) = people.strangers(1)
    faces = resembling(people, person, *np.linspace(40, 99.9, 40))
    ids = people.index(service, collection, faces)
    (everything,) = service.search_faces(collection, people.probes(person[None]), threshold=0)
    assert set(ids_of(everything)) == set(ids)
    for match in everything:
        (found,) = service.search_faces(collection, people.probes(person[None]), threshold=match.similarity)
        assert all(one.similarity >= match.similarity for one in found)


def test_each_probe_gets_its_own_matches(service: CollectionService, collection: str, people: People) -> None:
    strangers = people.strangers(3)
    ids = people.index(service, collection, strangers[:2])
    found = service.search_faces(collection, people.probes(strangers[[1, 2, 0]]), threshold=99)
    assert [ids_of(matches) for matches in found] == [[ids[1]], [], [ids[0]]]
    assert service.search_faces(collection, people.probes(strangers[:0])) == []


def test_no_more_matches_come_than_wanted(service: CollectionService, collection: str, people: People) -> None:
    (person,) = people.strangers(1)
    ids = people.index(service, collection, np.stack([person] * 5))
    (matches,) = service.search_faces(collection, people.probes(person[None]), limit=3)
    assert ids_of(matches) == ids[:3], "equals come in the order they were stored"
    assert ids_of(service.search_faces_by_id(collection, ids[1], limit=3)) == [ids[0], ids[2], ids[3]]


def test_a_stored_face_finds_others_but_not_itself(service: CollectionService, collection: str, people: People) -> None:
    (person,) = people.strangers(1)
    ids = people.index(service, collection, np.stack([person, *resembling(people, person, 95, 20)]))
    (match,) = service.search_faces_by_id(collection, ids[0])
    assert match.face.face_id == ids[1]
    assert match.similarity == pytest.approx(95, abs=1)


def test_a_search_sees_what_was_stored_and_deleted_before_it(
    service: CollectionService, collection: str, people: People
) -> None:
    (person,) = people.strangers(1)
    probes = people.probes(person[None])
    assert service.search_faces(collection, probes) == [[]]
    for _ in range(3):
        ids = people.index(service, collection, np.stack([person] * 3))
        assert [ids_of(matches) for matches in service.search_faces(collection, probes)] == [ids]
        service.delete_faces(collection, ids[1:2])
        assert [ids_of(matches) for matches in service.search_faces(collection, probes)] == [[ids[0], ids[2]]]
        service.delete_faces(collection, ids)
    assert service.search_faces(collection, probes) == [[]]


def test_a_recreated_collection_is_empty(service: CollectionService, collection: str, people: People) -> None:
    (person,) = people.strangers(1)
    people.index(service, collection, person[None])
    assert len(service.search_faces(collection, people.probes(person[None]))[0]) == 1
    service.delete_collection(collection)
    with pytest.raises(ResourceNotFoundError):
        service.search_faces(collection, people.probes(person[None]))
    service.create_collection(collection)
    assert service.search_faces(collection, people.probes(person[None])) == [[]]


def test_probes_of_another_contract_are_refused(service: CollectionService, collection: str, people: People) -> None:
    probes = people.probes(people.strangers(1))
    people.version = "2.0"
    other = people.probes(probes.embeddings)
    with pytest.raises(InvalidParameterError, match="analysed with"):
        service.search_faces(collection, other)
    with pytest.raises(InvalidParameterError, match="analysed with"):
        service.search_users(collection, other)


def test_users_are_found_by_probe_by_face_and_by_user(
    service: CollectionService, collection: str, people: People
) -> None:
    one, two = people.strangers(2)
    alike = resembling(people, one, 95)[0]
    ids = people.index(service, collection, np.stack([one, alike, two, one]))
    for user, face_ids in {"one": ids[:1], "alike": ids[1:2], "two": ids[2:3], "empty": []}.items():
        service.create_user(collection, user)
        if face_ids:
            service.associate_faces(collection, user, face_ids)
    (by_probe,) = service.search_users(collection, people.probes(one[None]))
    assert users_of(by_probe) == ["one", "alike"]
    assert [match.similarity for match in by_probe] == pytest.approx([100, 95], abs=1)
    assert {match.user.status for match in by_probe} == {"ACTIVE"}
    assert users_of(service.search_users(collection, people.probes(one[None]), limit=1)[0]) == ["one"]
    assert users_of(service.search_users_by_face_id(collection, ids[3])) == ["one", "alike"]
    assert users_of(service.search_users_by_face_id(collection, ids[0])) == ["one", "alike"]
    assert users_of(service.search_users_by_user_id(collection, "one")) == ["alike"]
    assert service.search_users_by_user_id(collection, "empty") == []
    (everybody,) = service.search_users(collection, people.probes(one[None]), threshold=0)
    assert set(users_of(everybody)) == {"one", "alike", "two"}, "a user without faces resembles nobody"
    with pytest.raises(ResourceNotFoundError, match="The user id: nobody does not exist"):
        service.search_users_by_user_id(collection, "nobody")
    with pytest.raises(InvalidParameterError, match="faceId was not found"):
        service.search_users_by_face_id(collection, "00000000-0000-4000-8000-000000000000")


def test_a_user_is_searched_as_its_faces_are_now(service: CollectionService, collection: str, people: People) -> None:
    one, two = people.strangers(2)
    ids = people.index(service, collection, np.stack([one, two]))
    service.create_user(collection, "u")

    def found(person: FloatArray) -> list[str]:
        (matches,) = service.search_users(collection, people.probes(person[None]), threshold=99)
        return users_of(matches)

    assert found(one) == []
    service.associate_faces(collection, "u", ids[:1])
    assert found(one) == ["u"]
    service.associate_faces(collection, "u", ids[1:], threshold=0)
    service.disassociate_faces(collection, "u", ids[:1])
    assert (found(one), found(two)) == ([], ["u"])
    service.disassociate_faces(collection, "u", ids)
    assert found(two) == []
    service.associate_faces(collection, "u", ids[:1])
    assert found(one) == ["u"]
    service.delete_user(collection, "u")
    assert found(one) == []
    assert len(service.list_faces(collection).items) == 2
