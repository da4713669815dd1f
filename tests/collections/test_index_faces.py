from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.collections import faces as face_rows
from recognizance.core.errors import InvalidParameterError, ServiceQuotaExceededError

if TYPE_CHECKING:
    from tests.collections.conftest import People

    from recognizance.collections.model import StoredFace
    from recognizance.collections.service import CollectionService
    from recognizance.vision.faces import Faces

PICTURE = b"\x07" * 32
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
def collection(service: CollectionService) -> str:
    service.create_collection("c")
    return "c"


def index(
    service: CollectionService,
    faces: Faces,
    people: People,
    *,
    collection_id: str = "c",
    picture: bytes = PICTURE,
    name: str | None = None,
) -> list[StoredFace]:
    return service.index_faces(
        collection_id, faces, picture_digest=picture, contract_version=people.version, external_image_id=name
    )


def list_all(service: CollectionService, collection_id: str = "c") -> list[StoredFace]:
    return list(service.list_faces(collection_id).items)


@pytest.mark.usefixtures("collection")
def test_faces_come_back_as_they_were_stored(service: CollectionService, people: People) -> None:
    faces = people.faces(people.strangers(3))
    stored = index(service, faces, people, name="a:picture")
    assert stored == list_all(service)
    assert service.describe_collection("c").face_count == 3
    for face, box in zip(stored, faces.box_ratios, strict=True):
        assert UUID.fullmatch(face.face_id)
        assert UUID.fullmatch(face.image_id)
        assert face.box == pytest.approx(box.tolist())
        assert face.confidence == 75
        assert face.external_image_id == "a:picture"
        assert face.contract_version == people.version
        assert face.user_id is None
    assert len({face.face_id for face in stored}) == 3
    assert len({face.image_id for face in stored}) == 1


@pytest.mark.usefixtures("collection")
def test_the_same_picture_is_stored_once(service: CollectionService, people: People) -> None:
    faces = people.faces(people.strangers(4))
    first = index(service, faces[:2], people)
    again = index(service, faces[[3, 1, 0]], people)
    assert again[1:] == [first[1], first[0]]
    assert list_all(service) == [*first, again[0]]
    assert service.describe_collection("c").face_count == 3


@pytest.mark.usefixtures("collection")
def test_a_face_named_twice_in_one_call_is_stored_once(service: CollectionService, people: People) -> None:
    stored = index(service, people.faces(people.strangers(1))[[0, 0]], people)
    assert stored == list_all(service) * 2
    assert service.describe_collection("c").face_count == 1


@pytest.mark.usefixtures("collection")
def test_another_external_id_or_another_picture_makes_another_face(service: CollectionService, people: People) -> None:
    faces = people.faces(people.strangers(1))
    (plain,) = index(service, faces, people)
    (named,) = index(service, faces, people, name="x")
    (other,) = index(service, faces, people, picture=b"\x08" * 32)
    assert len({plain.face_id, named.face_id, other.face_id}) == 3
    assert plain.image_id == named.image_id != other.image_id


@pytest.mark.usefixtures("collection")
def test_a_picture_has_the_same_ids_in_every_collection(service: CollectionService, people: People) -> None:
    service.create_collection("d")
    faces = people.faces(people.strangers(2))
    assert index(service, faces, people) == index(service, faces, people, collection_id="d")


@pytest.mark.usefixtures("collection")
def test_another_processors_rounding_does_not_change_an_id(service: CollectionService, people: People) -> None:
    faces = people.faces(people.strangers(1))
    shifted = replace(faces, boxes=faces.boxes + np.float32(0.01))
    assert index(service, faces, people) == index(service, shifted, people)


@pytest.mark.usefixtures("collection")
def test_a_deleted_face_can_be_stored_again(service: CollectionService, people: People) -> None:
    faces = people.faces(people.strangers(1))
    (face,) = index(service, faces, people)
    service.delete_faces("c", [face.face_id])
    assert list_all(service) == []
    assert index(service, faces, people) == [face]
    assert list_all(service) == [face]


@pytest.mark.usefixtures("collection")
def test_a_picture_without_faces_stores_nothing(service: CollectionService, people: People) -> None:
    assert index(service, people.faces(people.strangers(1))[:0], people) == []
    assert service.describe_collection("c").face_count == 0


@pytest.mark.usefixtures("collection")
def test_faces_of_another_contract_are_refused(service: CollectionService, people: People) -> None:
    faces = people.faces(people.strangers(1))
    with pytest.raises(InvalidParameterError, match=rf"uses face model {re.escape(people.version)}"):
        service.index_faces("c", faces, picture_digest=PICTURE, contract_version="2.0")
    assert list_all(service) == []


@pytest.mark.usefixtures("collection")
def test_faces_that_were_not_embedded_are_refused(service: CollectionService, people: People) -> None:
    faces = replace(people.faces(people.strangers(1)), embeddings=None, impostor_levels=None)
    with pytest.raises(InvalidParameterError, match="no embeddings"):
        index(service, faces, people)


@pytest.mark.usefixtures("collection")
def test_a_full_collection_takes_all_of_a_picture_or_none(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_rows, "MAX_FACES", 4)
    people.index(service, "c", people.strangers(3))
    with pytest.raises(ServiceQuotaExceededError):
        index(service, people.faces(people.strangers(2)), people)
    assert len(list_all(service)) == 3
    (last,) = index(service, people.faces(people.strangers(1)), people)
    assert index(service, people.faces(people.strangers(1)), people) == [last]


@pytest.mark.usefixtures("collection")
def test_pages_of_faces_join_without_gap_or_repetition(service: CollectionService, people: People) -> None:
    ids = people.index(service, "c", people.strangers(7))
    service.delete_faces("c", [ids[2]])
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = service.list_faces("c", limit=3, after=after)
        assert len(page.items) == 3
        seen += [face.face_id for face in page.items]
        after = page.next_position
    assert seen == ids[:2] + ids[3:]


@pytest.mark.usefixtures("collection")
def test_faces_are_listed_by_user_and_by_id(service: CollectionService, people: People) -> None:
    ids = people.index(service, "c", people.strangers(6))
    service.create_user("c", "u")
    service.create_user("c", "nobody")
    service.associate_faces("c", "u", ids[3:0:-1])

    def listed(**filters: object) -> list[str]:
        page = service.list_faces("c", **filters)  # type: ignore[arg-type] # filters by name
        return [face.face_id for face in page.items]

    assert listed(user_id="u") == ids[1:4]
    assert listed(user_id="nobody") == listed(user_id="unknown") == []
    assert listed(face_ids=[ids[5], ids[0], ids[5], "0" * 36]) == [ids[0], ids[5]]
    assert listed(face_ids=[ids[5], ids[2]], user_id="u") == [ids[2]]
    first = service.list_faces("c", face_ids=ids[::-1], limit=4)
    assert first.next_position is not None
    rest = service.list_faces("c", face_ids=ids[::-1], limit=4, after=first.next_position)
    assert [face.face_id for face in (*first.items, *rest.items)] == ids
    assert rest.next_position is None
    page = service.list_faces("c", user_id="u", limit=2)
    assert page.next_position is not None
    assert page.items[0].user_id == "u"
    (last,) = service.list_faces("c", user_id="u", limit=2, after=page.next_position).items
    assert last.face_id == ids[3]


@pytest.mark.usefixtures("collection")
def test_faces_are_deleted_except_those_of_users(service: CollectionService, people: People) -> None:
    ids = people.index(service, "c", people.strangers(4))
    service.create_user("c", "u")
    service.associate_faces("c", "u", [ids[1]])
    absent = "00000000-0000-4000-8000-000000000000"
    done = service.delete_faces("c", [ids[3], ids[1], absent, ids[0], ids[3]])
    assert done.deleted == (ids[3], ids[0])
    assert [(one.face_id, one.reasons, one.user_id) for one in done.unsuccessful] == [
        (ids[1], ("ASSOCIATED_TO_AN_EXISTING_USER",), "u"),
        (absent, ("FACE_NOT_FOUND",), None),
    ]
    assert [face.face_id for face in list_all(service)] == ids[1:3]
    assert service.describe_collection("c").face_count == 2


@pytest.mark.usefixtures("collection")
def test_faces_of_another_collection_are_not_found(service: CollectionService, people: People) -> None:
    service.create_collection("d")
    (elsewhere,) = people.index(service, "d", people.strangers(1))
    (failure,) = service.delete_faces("c", [elsewhere]).unsuccessful
    assert failure.reasons == ("FACE_NOT_FOUND",)
    assert service.list_faces("c", face_ids=[elsewhere]).items == ()
    with pytest.raises(InvalidParameterError, match="faceId was not found in the collection"):
        service.search_faces_by_id("c", elsewhere)
