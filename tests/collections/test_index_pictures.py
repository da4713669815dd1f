"""Many pictures in one write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recognizance.collections import faces as face_rows
from recognizance.collections.model import PictureFaces, Probes
from recognizance.core.errors import ServiceQuotaExceededError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from tests.collections.conftest import People

    from recognizance.collections.service import CollectionService


@pytest.fixture
def pictures(service: CollectionService, people: People) -> list[PictureFaces]:
    """Three pictures with one face, none and two faces, for the collection ``c``."""
    service.create_collection("c")
    embeddings = people.strangers(3)
    return [
        PictureFaces(people.faces(embeddings[rows]), bytes([number]) * 32, f"picture-{number}")
        for number, rows in enumerate((slice(1), slice(0), slice(1, 3)))
    ]


def test_each_picture_gets_what_it_would_have_got_alone(
    service: CollectionService, people: People, pictures: list[PictureFaces]
) -> None:
    done = service.index_pictures("c", pictures, contract_version=people.version)
    assert [len(stored) for stored in done.pictures] == [1, 0, 2]
    assert done.added == 3
    service.create_collection("alone")
    for one, stored in zip(pictures, done.pictures, strict=True):
        alone = service.index_faces(
            "alone",
            one.faces,
            picture_digest=one.picture_digest,
            contract_version=people.version,
            external_image_id=one.external_image_id,
        )
        assert [face.face_id for face in alone] == [face.face_id for face in stored]


def test_what_is_there_already_is_not_counted_as_added(
    service: CollectionService, people: People, pictures: list[PictureFaces]
) -> None:
    service.index_pictures("c", pictures[:1], contract_version=people.version)
    done = service.index_pictures("c", [*pictures, *pictures], contract_version=people.version)
    assert done.added == 2
    assert [len(stored) for stored in done.pictures] == [1, 0, 2, 1, 0, 2]
    assert service.describe_collection("c").face_count == 3


def test_every_picture_is_found_afterwards(
    service: CollectionService, people: People, pictures: list[PictureFaces]
) -> None:
    service.index_pictures("c", pictures, contract_version=people.version)
    found = service.search_faces("c", Probes.of(pictures[2].faces, people.version))
    assert [matches[0].face.external_image_id for matches in found] == ["picture-2", "picture-2"]


def test_a_collection_that_would_overflow_takes_no_picture_at_all(
    service: CollectionService, people: People, pictures: list[PictureFaces], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_rows, "MAX_FACES", 2)
    with pytest.raises(ServiceQuotaExceededError):
        service.index_pictures("c", pictures, contract_version=people.version)
    assert service.describe_collection("c").face_count == 0


def test_a_picture_stored_under_another_name_is_as_if_it_were_indexed_under_it(
    service: CollectionService, people: People, pictures: list[PictureFaces]
) -> None:
    """Without being embedded again: the same ids, places and vectors."""
    old = pictures[2]
    (stored,) = service.index_pictures("c", [old], contract_version=people.version).pictures
    renamed = service.renamed_picture(
        "c", [face.face_id for face in stored], picture_digest=old.picture_digest, external_image_id="new"
    )
    assert renamed is not None
    done = service.index_pictures("c", [renamed], contract_version=people.version)
    assert done.added == 2

    service.create_collection("alone")
    indexed = PictureFaces(old.faces, old.picture_digest, "new")
    expected = service.index_pictures("alone", [indexed], contract_version=people.version)
    assert done.pictures == expected.pictures
    wanted = face_rows.new_faces(old.faces, old.picture_digest, people.version, "new")
    assert list(renamed.rows) == wanted


def test_a_picture_of_which_a_face_was_deleted_is_not_known_any_more(
    service: CollectionService, people: People, pictures: list[PictureFaces]
) -> None:
    (stored,) = service.index_pictures("c", pictures[2:], contract_version=people.version).pictures
    ids = [face.face_id for face in stored]
    service.delete_faces("c", ids[:1])
    assert service.renamed_picture("c", ids, picture_digest=bytes(32), external_image_id="new") is None


def test_what_is_written_along_with_pictures_is_written_with_them_or_not_at_all(
    service: CollectionService, people: People, pictures: list[PictureFaces]
) -> None:
    added: list[int] = []

    def note(_connection: Connection, count: int) -> None:
        added.append(count)

    def fail(_connection: Connection, _count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        service.index_pictures("c", pictures, contract_version=people.version, also=fail)
    assert service.describe_collection("c").face_count == 0
    service.index_pictures("c", pictures, contract_version=people.version, also=note)
    assert added == [3]
