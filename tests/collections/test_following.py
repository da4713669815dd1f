"""Two services on one data folder stand for two processes: each has its own connections and indexes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from recognizance.collections.gallery import Gallery
from recognizance.storage import schema
from recognizance.storage.repositories import face_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collections.conftest import People

    from recognizance.collections.service import CollectionService
    from recognizance.vision.faces import FloatArray


@pytest.fixture
def other(open_service: Callable[[], CollectionService], service: CollectionService) -> CollectionService:
    del service  # opened first
    return open_service()


def found(service: CollectionService, people: People, person: FloatArray) -> list[str]:
    (matches,) = service.search_faces("c", people.probes(person[None]), threshold=90)
    return [match.face.face_id for match in matches]


def users_found(service: CollectionService, people: People, person: FloatArray) -> list[str]:
    (matches,) = service.search_users("c", people.probes(person[None]), threshold=90)
    return [match.user.user_id for match in matches]


def test_what_one_process_writes_the_other_finds_at_once(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    service.create_collection("c")
    (person,) = people.strangers(1)
    assert found(service, people, person) == found(other, people, person) == []
    ids: list[str] = []
    for turn in range(6):
        writer, reader = (service, other) if turn % 2 else (other, service)
        ids += people.index(writer, "c", np.stack([person] * 2))
        assert found(reader, people, person) == ids
        reader.delete_faces("c", [ids.pop(0)])
        assert found(writer, people, person) == found(reader, people, person) == ids


def test_users_are_followed_too(service: CollectionService, other: CollectionService, people: People) -> None:
    service.create_collection("c")
    one, two = people.strangers(2)
    ids = people.index(service, "c", np.stack([one, two]))
    assert users_found(other, people, one) == []
    service.create_user("c", "u")
    service.associate_faces("c", "u", ids[:1])
    assert users_found(other, people, one) == ["u"]
    other.associate_faces("c", "u", ids[1:], threshold=0)
    other.disassociate_faces("c", "u", ids[:1])
    assert (users_found(service, people, one), users_found(service, people, two)) == ([], ["u"])
    service.delete_user("c", "u")
    assert users_found(other, people, two) == []


def test_a_collection_deleted_and_made_again_elsewhere_is_a_new_one(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    service.create_collection("c")
    (person,) = people.strangers(1)
    people.index(service, "c", person[None])
    assert len(found(service, people, person)) == 1
    other.delete_collection("c")
    other.create_collection("c")
    assert found(service, people, person) == []
    ids = people.index(other, "c", person[None])
    assert found(service, people, person) == ids


def test_collections_deleted_elsewhere_leave_the_memory(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    probes = people.probes(people.strangers(1))
    for name in ("gone", "kept"):
        service.create_collection(name)
        service.search_faces(name, probes)
    assert len(service._galleries.loaded()) == 2
    other.delete_collection("gone")
    deadline = time.monotonic() + 60
    while len(service._galleries.loaded()) == 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(service._galleries.loaded()) == 1


def test_a_process_that_missed_more_than_the_log_keeps_loads_everything_again(
    service: CollectionService, other: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_log, "KEPT", 4)
    service.create_collection("c")
    (person,) = people.strangers(1)
    ids = people.index(service, "c", np.stack([person] * 3))
    assert found(other, people, person) == ids
    ids += people.index(service, "c", np.stack([person] * 20))
    service.delete_faces("c", [ids.pop(1)])
    with service._database.read() as connection:
        assert len(connection.execute(sa.select(schema.face_log)).all()) < 8
    assert found(other, people, person) == found(service, people, person) == ids
    ids += people.index(service, "c", person[None])
    assert found(other, people, person) == ids


def test_a_write_is_taken_over_without_reading_it_back(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create_collection("c")
    (person,) = people.strangers(1)
    ids = people.index(service, "c", person[None])
    assert found(service, people, person) == ids
    monkeypatch.setattr(Gallery, "follow", lambda *_: pytest.fail("the log was read"))
    ids += people.index(service, "c", np.stack([person] * 3))
    service.delete_faces("c", [ids.pop(0)])
    assert found(service, people, person) == ids


def test_counters_and_log_agree_with_the_rows_after_many_threads_wrote(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    service.create_collection("c")
    strangers = people.strangers(6)
    batches = [people.faces(strangers[[number]]) for number in range(6)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        one = (service, other)[number % 2]
        probes = people.probes(strangers[[number]])
        try:
            for step in range(12):
                (face,) = one.index_faces(
                    "c",
                    batches[number],
                    picture_digest=bytes([number, step] * 16),
                    contract_version=people.version,
                )
                (matches,) = one.search_faces("c", probes, threshold=99)
                assert face.face_id in {match.face.face_id for match in matches}
                if step % 3 == 0:
                    one.delete_faces("c", [face.face_id])
                    (matches,) = one.search_faces("c", probes, threshold=99)
                    assert face.face_id not in {match.face.face_id for match in matches}
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert service.describe_collection("c").face_count == len(service.list_faces("c").items) == 6 * 8
    with service._database.read() as connection:
        revision = connection.execute(sa.select(schema.collections.c.revision)).scalar_one()
        log = list(connection.scalars(sa.select(schema.face_log.c.revision).order_by(schema.face_log.c.revision)))
    assert log == list(range(1, revision + 1)), "without gaps"
    for number in range(6):
        one, two = (found(s, people, strangers[number]) for s in (service, other))
        assert sorted(one) == sorted(two)
        assert len(one) == 8
