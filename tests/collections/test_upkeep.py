"""Large collections under a service: sealed and purged beside the searches, and found as they were after a restart."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from recognizance.collections import upkeep as upkeep_module
from recognizance.collections.index import ScanIndex
from recognizance.collections.index.scoring import exact_scores
from recognizance.collections.register import CacheRegister
from recognizance.collections.vectors import from_rows, probes
from recognizance.storage import schema
from recognizance.storage.repositories import collections, face_log, meta

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.collections.conftest import People

    from recognizance.collections.gallery import Gallery
    from recognizance.collections.index import Source
    from recognizance.collections.service import CollectionService
    from recognizance.core.settings import Settings
    from recognizance.vision.faces import FloatArray

BUILT_ANEW = "is built anew"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"exact_faces": 40})


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make segments of few faces, and often."""
    options: dict[str, Any] = dict(ScanIndex.__init__.__kwdefaults__ or {})
    few = {"tail_up_to": 16, "capacity": 64, "purge_after": 0.0}
    monkeypatch.setattr(ScanIndex.__init__, "__kwdefaults__", options | few)
    monkeypatch.setattr(upkeep_module, "_WAIT_SECONDS", 0.05)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def embeddings(count: int, seed: int) -> FloatArray:
    made = np.random.default_rng(seed).normal(size=(count, 128))
    unit: FloatArray = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return unit


def index(service: CollectionService, people: People, count: int, seed: int) -> list[str]:
    """Index so many faces as of one picture; the same seed stands for the same faces."""
    stored = service.index_faces(
        "c",
        people.faces(embeddings(count, seed)),
        picture_digest=seed.to_bytes(32, "big"),
        contract_version=people.version,
    )
    return [face.face_id for face in stored]


def give_users(service: CollectionService, face_ids: Sequence[str]) -> None:
    """Give each of the faces a user of its own, named like it."""
    for face_id in face_ids:
        service.create_user("c", face_id)
        service.associate_faces("c", face_id, [face_id])


def check(service: CollectionService, people: People) -> None:
    """Searches answer what follows from the database's rows, compared one by one."""
    asked = people.probes(embeddings(5, 999))
    wide = probes(asked.embeddings)
    for table, name, search in (
        (schema.faces, schema.faces.c.face_id, service.search_faces),
        (schema.users, schema.users.c.user_id, service.search_users),
    ):
        statement = sa.select(name, table.c.vector).where(table.c.vector.is_not(None)).order_by(table.c.pk)
        with service._database.read() as connection:
            rows = connection.execute(statement).all()
        found: Any = search("c", asked, threshold=0, limit=7)
        for probe, matches in zip(wide, found, strict=True):
            got = [one.face.face_id if name.name == "face_id" else one.user.user_id for one in matches]
            if not rows:
                assert got == []
                continue
            scores = exact_scores(from_rows([row[1] for row in rows]).astype(np.float32), probe)
            assert got == [rows[place][0] for place in np.argsort(-scores, kind="stable")[:7]]


def gallery(service: CollectionService) -> Gallery:
    (one,) = service._galleries.loaded().values()
    return one


def segments(service: CollectionService, kind: str = "faces") -> int:
    (one,) = service._galleries.loaded().values()
    found = getattr(one, kind)
    assert isinstance(found, ScanIndex)
    return found.segments


def folders(settings: Settings) -> list[Path]:
    return sorted((settings.data / "cache").glob("*"))


def published(settings: Settings) -> list[Path]:
    return sorted((settings.data / "cache").glob("*/*/manifest.json"))


@pytest.fixture
def service(service: CollectionService) -> CollectionService:
    service.create_collection("c")
    return service


# While it runs


def test_faces_are_sealed_in_the_background_and_no_search_misses_one(
    service: CollectionService, people: People
) -> None:
    stopped = threading.Event()
    stored: list[tuple[str, FloatArray]] = []
    errors: list[BaseException] = []

    def look() -> None:
        rng = np.random.default_rng()
        try:
            while not stopped.is_set():
                known = len(stored)
                if known:
                    face_id, embedding = stored[int(rng.integers(known))]
                    (matches,) = service.search_faces("c", people.probes(embedding[None]), threshold=99)
                    assert matches[0].face.face_id == face_id
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    with capture_logs() as logs:
        for seed in range(20):
            ids = index(service, people, 12, seed)
            service.delete_faces("c", ids[:2])
            stored += zip(ids[2:], embeddings(12, seed)[2:], strict=True)
            if errors:
                break
        eventually(lambda: errors or segments(service) > 2)
    stopped.set()
    for thread in threads:
        thread.join()
    assert errors == []
    check(service, people)
    assert [line for line in logs if line["log_level"] in {"warning", "error"}] == []


def test_a_collection_grown_fourfold_is_coded_anew(service: CollectionService, people: People) -> None:
    index(service, people, 50, 0)
    check(service, people)
    eventually(lambda: segments(service))
    with capture_logs() as logs:
        for seed in range(1, 5):
            index(service, people, 50, seed)
        eventually(lambda: [line for line in logs if "trained anew" in line["event"]])
    check(service, people)


def test_of_deleted_faces_and_changed_users_nothing_is_left_in_the_cache(
    service: CollectionService, people: People, settings: Settings
) -> None:
    ids = index(service, people, 60, 0)
    give_users(service, ids[:50])
    gone, changed = ids[5:8], ids[9]
    service.associate_faces("c", changed, ids[55:56], threshold=0)
    check(service, people)
    eventually(lambda: len(published(settings)) == 2)
    with service._database.read() as connection:
        columns = (schema.faces.c.face_id, schema.faces.c.vector)
        secrets = [row[1] for row in connection.execute(sa.select(*columns)) if row[0] in gone]
        columns = (schema.users.c.user_id, schema.users.c.vector)
        secrets += [row[1] for row in connection.execute(sa.select(*columns)) if row[0] in {*gone, changed}]
    assert len(secrets) == 7

    def left() -> int:
        try:
            stored = b"".join(path.read_bytes() for path in (settings.data / "cache").rglob("*") if path.is_file())
        except FileNotFoundError:  # just swept away
            return -1
        return sum(one in stored for one in secrets)

    assert left() == 7
    for one in gone:
        service.delete_user("c", one)
    service.delete_faces("c", gone)
    service.disassociate_faces("c", changed, ids[55:56])
    eventually(lambda: left() == 0)
    check(service, people)


def test_a_deleted_collection_leaves_no_files(
    service: CollectionService, people: People, settings: Settings, open_service: Callable[[], CollectionService]
) -> None:
    for other in (service, open_service()):
        index(service, people, 60, 0)
        check(service, people)
        eventually(lambda: published(settings))
        other.delete_collection("c")
        eventually(lambda: folders(settings) == [])
        service.create_collection("c")
        check(service, people)
    service._galleries.sweep()
    with service._database.read() as connection:
        assert meta.names(connection, "cache marks ") == []


def test_folders_of_collections_that_do_not_exist_are_swept(
    service: CollectionService, people: People, settings: Settings
) -> None:
    index(service, people, 60, 0)
    check(service, people)
    eventually(lambda: published(settings))
    (own,) = folders(settings)
    for name in ("77-1234567890", "not-ours", "notes"):
        (settings.data / "cache" / name).mkdir()
        (settings.data / "cache" / name / "file").write_text("x")
    service._galleries.sweep()
    assert [path.name for path in folders(settings)] == sorted([own.name, "not-ours", "notes"])
    check(service, people)


def test_a_sweep_spares_what_is_made_while_it_looks(
    service: CollectionService, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings.data / "cache").mkdir(parents=True, exist_ok=True)
    new = settings.data / "cache" / "999-1"
    asked = collections.revisions

    made: list[Path] = []

    def ask(connection: sa.Connection) -> dict[int, int]:
        found = asked(connection)
        if not made:
            new.mkdir()
            made.append(new)
        return found

    monkeypatch.setattr(collections, "revisions", ask)
    service._galleries.sweep()
    assert new.exists()


def test_the_trouble_of_one_collection_is_not_the_others(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    tended: list[str] = []
    for name in ("a", "b"):
        service.create_collection(name)
        service.search_faces(name, people.probes(people.strangers(1)))
    for pk, one in service._galleries.loaded().items():

        def tend(pk: int = pk) -> None:
            tended.append(str(pk))
            raise ConnectionError

        monkeypatch.setattr(one, "tend", tend)
    with capture_logs() as logs:
        eventually(lambda: len(set(tended)) == 2)
        eventually(lambda: logs)
        for one in service._galleries.loaded().values():
            monkeypatch.setattr(one, "tend", lambda: tended.append("well"))
        eventually(lambda: "well" in tended)
    assert len(logs) == 1
    index(service, people, 3, 0)


def test_a_collection_that_cannot_be_loaded_does_not_keep_the_others_from_it(
    service: CollectionService, people: People
) -> None:
    index(service, people, 60, 0)
    service.create_collection("strange")
    row = schema.collections
    with service._database.begin() as connection:
        strange = row.c.collection_id == "strange"
        connection.execute(row.update().where(strange).values(contract_version="0.0-none", face_count=60))
        connection.execute(row.update().where(~strange).values(created_at=row.c.created_at))
    with capture_logs() as logs:
        service.keep_up(load=True)
        eventually(lambda: [line for line in logs if line["event"] == "a large collection was loaded"])
        eventually(lambda: segments(service))
    assert [line["collection"] for line in logs if line["log_level"] == "warning"] == ["strange"]


def test_a_damaged_collection_keeps_no_other_from_being_loaded(
    open_service: Callable[[], CollectionService], people: People
) -> None:
    before = open_service()
    for name in ("damaged", "c"):
        before.create_collection(name)
        before.index_faces(
            name, people.faces(embeddings(60, 1)), picture_digest=bytes(32), contract_version=people.version
        )
    service = open_service()
    with service._database.begin() as connection:
        first = sa.select(sa.func.min(schema.faces.c.pk)).scalar_subquery()
        connection.execute(schema.faces.update().where(schema.faces.c.pk == first).values(vector=b"odd"))
    with capture_logs() as logs:
        service.keep_up(load=True)
        eventually(lambda: [line for line in logs if line["event"] == "a large collection was loaded"])
    assert [line["collection"] for line in logs if line["event"] == "a collection cannot be loaded"] == ["damaged"]


# Searches while an index is filled anew


class Filling:
    """Lets something happen whenever an index is being filled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
        self.times = 0
        original = ScanIndex.reload

        def reload(one: ScanIndex, source: Source) -> None:
            meanwhile()
            self.times += 1
            original(one, source)
            meanwhile()

        monkeypatch.setattr(ScanIndex, "reload", reload)


def test_searches_go_on_in_the_old_index_while_a_new_one_is_filled(
    service: CollectionService,
    people: People,
    open_service: Callable[[], CollectionService],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face_log, "KEPT", 4)
    ids = index(service, people, 8, 0)
    give_users(service, ids)
    other = open_service()
    check(other, people)
    asked = probes(embeddings(8, 0))
    one = gallery(other)

    def look() -> None:
        for searches in (one.face_searches, one.user_searches):
            found = searches.search(asked, 1, np.full(8, 0.9))
            assert [len(hits.ids) for hits in found] == [1] * 8

    filling = Filling(monkeypatch, look)
    give_users(service, index(service, people, 6, 1))  # more than the log keeps
    check(other, people)
    assert filling.times
    filling.times = 0
    other.rebuild("c")
    assert filling.times == 2
    check(other, people)


def test_an_index_that_could_not_be_opened_is_opened_by_the_next_search(
    service: CollectionService,
    people: People,
    open_service: Callable[[], CollectionService],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = index(service, people, 60, 0)
    check(service, people)
    eventually(lambda: published(settings))
    service.close()
    other = open_service()
    with monkeypatch.context() as broken:
        broken.setattr(face_log, "since", _broken)
        broken.setattr(collections, "counters", _broken)
        with pytest.raises(ConnectionError):
            check(other, people)
    other.delete_faces("c", ids[:3])
    check(other, people)


def _broken(*_: object) -> None:
    raise ConnectionError


# Restarts


@pytest.fixture
def large(service: CollectionService, people: People, settings: Settings) -> list[str]:
    """A collection of which faces and users are in the cache, as a service left it that has ended."""
    ids = index(service, people, 60, 0)
    give_users(service, ids)
    check(service, people)
    eventually(lambda: len(published(settings)) == 2)
    service.close()
    return ids


def restarted(
    open_service: Callable[[], CollectionService], people: People
) -> tuple[CollectionService, list[dict[str, Any]]]:
    service = open_service()
    with capture_logs() as logs:
        check(service, people)
    return service, [dict(line) for line in logs]


def change(service: CollectionService, people: People, ids: Sequence[str], seed: int) -> None:
    """Delete, add, and give users other vectors."""
    service.disassociate_faces("c", ids[0], ids[:1])
    service.delete_faces("c", ids[:1])
    more = index(service, people, 3, seed)
    service.associate_faces("c", ids[1], more[:2], threshold=0)
    service.delete_user("c", ids[2])


def test_nobody_searches_what_was_kept_before_it_is_known_to_belong_to_the_database(
    large: list[str], people: People, open_service: Callable[[], CollectionService], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert large
    other = open_service()
    row = schema.collections
    with other._database.begin() as connection:
        # What the cache holds and what the log says do not lead to this count of faces.
        connection.execute(row.update().values(face_count=row.c.face_count + 1))
        kept = collections.get(connection, "c")
    assert kept is not None
    one = other._galleries.get(kept)
    seen: list[int] = []
    Filling(monkeypatch, lambda: seen.append(one.revision))
    with capture_logs() as logs:
        check(other, people)
    assert [line["event"] for line in logs if BUILT_ANEW in line["event"]]
    assert seen
    assert set(seen) == {-1}


def test_a_restart_takes_the_cache_and_what_was_written_since(
    large: list[str], people: People, open_service: Callable[[], CollectionService]
) -> None:
    writer = open_service()
    change(writer, people, large, 5)  # it has not searched, so it keeps no index
    again, logs = restarted(open_service, people)
    assert logs == []
    assert segments(again) > 0
    assert segments(again, "users") > 0
    change(again, people, large[10:], 6)
    check(again, people)


def test_a_log_that_does_not_reach_back_leads_to_the_same(
    large: list[str],
    people: People,
    open_service: Callable[[], CollectionService],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face_log, "KEPT", 4)
    writer = open_service()
    for turn in range(3):
        change(writer, people, large[10 * turn :], 5 + turn)
    before = {path: path.read_bytes() for path in published(settings)}
    again, logs = restarted(open_service, people)
    assert logs == []
    assert segments(again) > 0
    eventually(lambda: all(path.read_bytes() != data for path, data in before.items()))
    check(again, people)


def test_a_damaged_cache_is_made_anew_and_told(
    large: list[str], people: People, open_service: Callable[[], CollectionService], settings: Settings
) -> None:
    for path in published(settings):
        path.write_bytes(path.read_bytes()[:-1])
    before = {path: path.read_bytes() for path in published(settings)}
    again, logs = restarted(open_service, people)
    assert len([line for line in logs if BUILT_ANEW in line["event"]]) == 2
    eventually(lambda: {path: path.read_bytes() for path in published(settings)} != before)
    again.close()
    again, logs = restarted(open_service, people)
    assert not [line for line in logs if "faces" in line.get("folder", "")]
    change(again, people, large, 5)
    check(again, people)


def copied(settings: Settings, name: str) -> Path:
    return settings.data.parent / name


def save(settings: Settings) -> None:
    shutil.copy(settings.data / "recognizance.db", copied(settings, "older.db"))


def put_back(settings: Settings) -> None:
    for ending in ("-wal", "-shm"):
        (settings.data / f"recognizance.db{ending}").unlink(missing_ok=True)
    shutil.copy(copied(settings, "older.db"), settings.data / "recognizance.db")


def closed(service: CollectionService) -> None:
    service.close()
    service._database.close()


@pytest.mark.sqlite
@pytest.mark.parametrize("since", ["nothing", "as much as was lost", "more"])
def test_an_older_database_put_back_by_hand_does_not_get_the_newer_ones_cache(
    service: CollectionService,
    people: People,
    settings: Settings,
    open_service: Callable[[], CollectionService],
    since: str,
) -> None:
    """Its keys and revisions count on from where they were, so that others get those of what was lost."""
    ids = index(service, people, 60, 0)
    give_users(service, ids)
    closed(service)
    save(settings)
    newer = open_service()
    change(newer, people, ids, 1)
    index(newer, people, 30, 2)
    check(newer, people)
    eventually(lambda: len(published(settings)) == 2)
    closed(newer)
    put_back(settings)
    of_newer = {path: path.read_bytes() for path in published(settings)}
    older = open_service()
    if since != "nothing":
        change(older, people, ids[20:], 3)
        index(older, people, 30, 4)
    if since == "more":
        index(older, people, 1, 5)
    with capture_logs() as logs:
        check(older, people)
    assert [line["log_level"] for line in logs if BUILT_ANEW in line["event"]]
    # And from then on the cache is the older one's.
    (of_faces,) = [path for path in of_newer if path.parent.name == "faces"]
    eventually(lambda: of_faces.read_bytes() != of_newer[of_faces])
    closed(older)
    again, told = restarted(open_service, people)
    assert not [line for line in told if BUILT_ANEW in line["event"] and "faces" in line["folder"]]
    closed(again)


@pytest.mark.sqlite
def test_an_older_database_that_is_small_leaves_nothing_of_the_newer_ones_cache(
    service: CollectionService, people: People, settings: Settings, open_service: Callable[[], CollectionService]
) -> None:
    index(service, people, 10, 0)
    closed(service)
    save(settings)
    newer = open_service()
    index(newer, people, 60, 1)
    check(newer, people)
    eventually(lambda: published(settings))
    closed(newer)
    put_back(settings)
    older = open_service()
    check(older, people)
    eventually(lambda: not list((settings.data / "cache").rglob("*.segment")))
    assert published(settings) == []


def test_a_collection_made_again_under_its_name_has_nothing_of_the_one_before(
    large: list[str], people: People, open_service: Callable[[], CollectionService]
) -> None:
    writer = open_service()
    writer.delete_collection("c")
    writer.create_collection("c")
    index(writer, people, 45, 7)
    again, _ = restarted(open_service, people)
    check(again, people)
    assert large


def test_the_database_keeps_the_newest_marks_of_each_cache(service: CollectionService) -> None:
    faces, users = (CacheRegister(service._database, 1, kind) for kind in ("faces", "users"))
    marks = [f"{number:032x}" for number in range(70)]
    for mark in marks:
        faces.note(mark)
    assert [faces.knows(mark) for mark in marks] == [False] * 6 + [True] * 64
    assert not users.knows(marks[-1])
    users.note(marks[0])
    assert users.knows(marks[0])
    assert faces.knows(marks[-1])
