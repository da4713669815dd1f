"""Collections whose vectors lie in Milvus. Two services on one database and one Milvus stand for two processes."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from recognizance.collections import shared
from recognizance.collections.index.milvus import MilvusServer
from recognizance.collections.index.milvus import server as server_module
from recognizance.collections.shared import SharedGalleries, SharedGallery
from recognizance.collections.upkeep import Upkeep
from recognizance.core.errors import ResourceNotFoundError, TemporarilyUnavailableError
from recognizance.storage import schema
from recognizance.storage.repositories import face_log
from recognizance.storage.turns import turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collections.conftest import People

    from recognizance.collections.service import CollectionService
    from recognizance.core.settings import Settings
    from recognizance.vision.faces import FloatArray


@pytest.fixture
def settings(settings: Settings, milvus_url: str) -> Settings:
    return settings.model_copy(update={"milvus_url": milvus_url, "milvus_timeout_seconds": 60.0})


@pytest.fixture
def other(open_service: Callable[[], CollectionService], service: CollectionService) -> CollectionService:
    del service  # opened first
    return open_service()


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let Milvus be down, or not."""
    monkeypatch.setattr(server_module, "_PAUSE_SECONDS", 0.0)
    asked = MilvusServer._opened

    def switch(off: bool) -> None:
        def refuse(_: MilvusServer) -> object:
            from pymilvus.exceptions import ConnectError

            raise ConnectError(message="refused")

        monkeypatch.setattr(MilvusServer, "_opened", refuse if off else asked)

    return switch


def found(service: CollectionService, people: People, person: FloatArray) -> list[str]:
    (matches,) = service.search_faces("c", people.probes(person[None]), threshold=90)
    return [match.face.face_id for match in matches]


def users_found(service: CollectionService, people: People, person: FloatArray) -> list[str]:
    (matches,) = service.search_users("c", people.probes(person[None]), threshold=90)
    return [match.user.user_id for match in matches]


def gallery(service: CollectionService) -> SharedGallery:
    assert isinstance(service._galleries, SharedGalleries)
    (row,) = service._galleries._rows()
    one = service._galleries.get(row)
    assert isinstance(one, SharedGallery)
    return one


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; the test's time limit ends it."""
    tick = threading.Event()
    while not condition():
        tick.wait(0.02)


def test_what_one_process_writes_the_other_finds_at_once(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    service.create_collection("c")
    (person,) = people.strangers(1)
    assert found(service, people, person) == found(other, people, person) == []
    ids: list[str] = []
    for turn_ in range(4):
        writer, reader = (service, other) if turn_ % 2 else (other, service)
        ids += people.index(writer, "c", np.stack([person] * 2))
        assert found(reader, people, person) == ids
        reader.delete_faces("c", [ids.pop(0)])
        assert found(writer, people, person) == found(reader, people, person) == ids
    assert gallery(service).faces.watermark == gallery(other).users.watermark == 12


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


def test_collections_do_not_see_each_other(service: CollectionService, people: People) -> None:
    (person,) = people.strangers(1)
    for name in ("c", "d"):
        service.create_collection(name)
    people.index(service, "d", person[None])
    assert found(service, people, person) == []


def test_commits_and_deletions_are_pushed_without_a_search(service: CollectionService, people: People) -> None:
    service.create_collection("c")
    ids = people.index(service, "c", people.strangers(3))
    eventually(lambda: len(gallery(service).faces) == 3)
    service.delete_faces("c", ids[:2])
    eventually(lambda: len(gallery(service).faces) == 1)


def test_what_a_process_commits_last_is_pushed_before_it_ends(
    open_service: Callable[[], CollectionService], service: CollectionService, people: People
) -> None:
    last = open_service()
    last.create_collection("c")
    people.index(last, "c", people.strangers(3))
    last.close()
    assert len(gallery(service).faces) == 3


def test_a_process_that_missed_more_than_the_log_keeps_compares_everything(
    service: CollectionService, other: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create_collection("c")
    (person,) = people.strangers(1)
    ids = people.index(service, "c", np.stack([person] * 3))
    assert found(other, people, person) == ids
    monkeypatch.setattr(face_log, "KEPT", 4)
    monkeypatch.setattr(Upkeep, "_once", lambda _: None)  # so that nobody pushes in between
    monkeypatch.setattr(SharedGallery, "apply", lambda *_: None)
    ids += people.index(service, "c", np.stack([person] * 20))
    service.delete_faces("c", [ids.pop(1)])
    with service._database.read() as connection:
        assert len(connection.execute(sa.select(schema.face_log)).all()) < 8
    with capture_logs() as logs:
        assert found(other, people, person) == found(service, people, person) == ids
    (line,) = (line for line in logs if line["event"] == "Milvus was made equal to the database")
    assert (line["written"], line["removed"]) == (20, 1)


def test_users_vectors_that_changed_long_ago_are_pushed_again(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create_collection("c")
    one, two = people.strangers(2)
    ids = people.index(service, "c", np.stack([one, two]))
    service.create_user("c", "u")
    service.associate_faces("c", "u", ids[:1])
    assert users_found(service, people, one) == ["u"]
    monkeypatch.setattr(face_log, "KEPT", 2)
    monkeypatch.setattr(Upkeep, "_once", lambda _: None)
    monkeypatch.setattr(SharedGallery, "apply", lambda *_: None)
    service.associate_faces("c", "u", ids[1:], threshold=0)
    service.disassociate_faces("c", "u", ids[:1])
    people.index(service, "c", people.strangers(4))
    assert (users_found(service, people, one), users_found(service, people, two)) == ([], ["u"])


def test_a_collection_that_is_deleted_while_it_is_filled_leaves_nothing(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(SharedGallery, "apply", lambda *_: None)
    service.create_collection("c")
    people.index(service, "c", people.strangers(5))
    one = gallery(service)

    def delete(_: int) -> None:
        service.delete_collection("c")
        service._galleries.sweep()

    with pytest.raises(ResourceNotFoundError):
        one.fill(on_rows=delete)
    assert len(one.faces) == 0
    assert one.faces.watermark == -1


def test_a_deleted_collection_is_erased_by_the_next_sweep(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    service.create_collection("c")
    people.index(service, "c", people.strangers(2))
    index = gallery(service).faces
    eventually(lambda: len(index) == 2)
    service.delete_collection("c")
    other._galleries.sweep()
    assert len(index) == 0
    assert index.watermark == -1
    with pytest.raises(ResourceNotFoundError):
        found(service, people, people.strangers(1)[0])


def test_while_milvus_is_down_writes_succeed_and_afterwards_they_are_found(
    service: CollectionService, other: CollectionService, people: People, down: Callable[[bool], None]
) -> None:
    service.create_collection("c")
    one, two = people.strangers(2)
    ids = people.index(service, "c", one[None])
    assert found(service, people, one) == found(other, people, one) == ids
    down(True)
    more = people.index(service, "c", np.stack([one, two]))
    service.delete_faces("c", ids)
    for asked in (service, other):
        with pytest.raises(TemporarilyUnavailableError):
            found(asked, people, one)
    assert service.describe_collection("c").face_count == 2
    down(False)
    assert found(other, people, one) == found(service, people, one) == more[:1]
    assert found(other, people, two) == more[1:]


def test_a_milvus_that_was_emptied_is_filled_again(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    service.create_collection("c")
    (person,) = people.strangers(1)
    ids = people.index(service, "c", np.stack([person] * 5))
    assert found(service, people, person) == found(other, people, person) == ids
    server = gallery(service)._server
    for name in server.call("list_collections"):
        if shared.installation(service._database) in name:
            server.call("drop_collection", name)
    for asked in (service, other):
        with suppress(TemporarilyUnavailableError):
            found(asked, people, person)
        assert found(asked, people, person) == ids


def test_an_older_copy_of_the_database_is_noticed(
    service: CollectionService, open_service: Callable[[], CollectionService], people: People
) -> None:
    """As if the database had been put back to a state before the last faces, and written to since."""
    service.create_collection("c")
    (one,) = people.strangers(1)
    people.index(service, "c", np.stack([one, one]))
    assert len(found(service, people, one)) == 2
    with service._database.begin() as connection:  # the newest face is another one now, at the same revision
        newest = sa.select(sa.func.max(schema.faces.c.pk)).scalar_subquery()
        vector = connection.execute(sa.select(schema.faces.c.vector)).scalars().first()
        assert vector is not None
        changed = (np.frombuffer(vector, np.float16) * np.float16(-1)).tobytes()
        connection.execute(schema.faces.update().where(schema.faces.c.pk == newest).values(vector=changed))
        connection.execute(schema.faces.delete().where(schema.faces.c.pk != newest))
        connection.execute(schema.collections.update().values(face_count=1))
    with capture_logs() as logs:
        assert found(open_service(), people, one) == []
    assert "what Milvus holds is not this database's, and is filled again" in {line["event"] for line in logs}


def test_a_database_that_milvus_is_ahead_of_is_pushed_again(
    service: CollectionService, open_service: Callable[[], CollectionService], people: People
) -> None:
    service.create_collection("c")
    one, two = people.strangers(2)
    ids = people.index(service, "c", one[None])
    people.index(service, "c", two[None])
    assert len(found(service, people, two)) == 1
    with service._database.begin() as connection:  # as it was before the second face
        connection.execute(schema.faces.delete().where(schema.faces.c.face_id != ids[0]))
        connection.execute(schema.face_log.delete().where(schema.face_log.c.revision > 1))
        connection.execute(schema.collections.update().values(face_count=1, revision=1))
    later = open_service()
    assert (found(later, people, one), found(later, people, two)) == (ids, [])
    assert len(gallery(later).faces) == 1


def test_a_rebuild_brings_back_what_milvus_lost_or_got_wrong(service: CollectionService, people: People) -> None:
    service.create_collection("c")
    (person,) = people.strangers(1)
    ids = people.index(service, "c", np.stack([person] * 4))
    assert found(service, people, person) == ids
    index = gallery(service).faces
    held, vectors = index.get(np.arange(1, 100))
    index.remove(held[:1].tolist())
    index.add(held[1:2], -vectors[1:2])
    index.add(np.array([10_000]), vectors[:1])
    assert found(service, people, person) != ids
    assert not service.verify("c").sound
    seen: list[tuple[int, int]] = []
    service.rebuild("c", lambda done, total: seen.append((done, total)))
    assert found(service, people, person) == ids
    assert service.verify("c").sound
    assert seen[-1] == (4, 4)


def test_a_large_collection_is_filled_beside_the_requests(
    service: CollectionService,
    open_service: Callable[[], CollectionService],
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "FILLED_AT_ONCE", 3)
    monkeypatch.setattr(shared, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(SharedGallery, "apply", lambda *_: None)
    service.create_collection("c")
    (person,) = people.strangers(1)
    ids = people.index(service, "c", np.stack([person] * 7))
    with pytest.raises(TemporarilyUnavailableError, match="being filled"):
        found(service, people, person)
    filler = gallery(service)._filler
    assert filler is not None
    filler.join()
    assert found(service, people, person) == found(open_service(), people, person) == ids


def test_an_interrupted_filling_goes_on_where_it_was(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(SharedGallery, "apply", lambda *_: None)
    service.create_collection("c")
    (person,) = people.strangers(1)
    ids = people.index(service, "c", np.stack([person] * 7))
    one = gallery(service)

    def stop(_: int) -> None:
        raise TemporarilyUnavailableError

    with pytest.raises(TemporarilyUnavailableError):
        one.fill(on_rows=stop)
    assert one.faces.watermark == -1
    assert one.fill().written == 5
    assert found(service, people, person) == ids


def test_nobody_pushes_while_another_has_the_turn(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a late process cannot push what another one has deleted meanwhile: whoever comes reads what is so by then."""
    service.create_collection("c")
    (person,) = people.strangers(1)
    assert found(service, people, person) == []
    one = gallery(service)
    monkeypatch.setattr(one._server, "timeout", 0.1)
    with turn(service._database, "milvus", str(one._pk), timeout_seconds=1):
        people.index(service, "c", person[None])
        with pytest.raises(TemporarilyUnavailableError):
            found(service, people, person)
        assert len(one.faces) == 0
    monkeypatch.undo()
    assert len(found(service, people, person)) == 1


def test_many_threads_of_two_processes_see_their_own_writes(
    service: CollectionService, other: CollectionService, people: People
) -> None:
    service.create_collection("c")
    strangers = people.strangers(4)
    batches = [people.faces(strangers[[number]]) for number in range(4)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        one = (service, other)[number % 2]
        probes = people.probes(strangers[[number]])
        try:
            for step in range(4):
                (face,) = one.index_faces(
                    "c", batches[number], picture_digest=bytes([number, step] * 16), contract_version=people.version
                )
                (matches,) = one.search_faces("c", probes, threshold=99)
                assert face.face_id in {match.face.face_id for match in matches}
                if step % 2 == 0:
                    one.delete_faces("c", [face.face_id])
                    (matches,) = one.search_faces("c", probes, threshold=99)
                    assert face.face_id not in {match.face.face_id for match in matches}
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number in range(4):
        one, two = (found(s, people, strangers[number]) for s in (service, other))
        assert sorted(one) == sorted(two)
        assert len(one) == 2
    assert len(gallery(service).faces) == 8
