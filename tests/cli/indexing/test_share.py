"""Bulk jobs: several processes, each of which may die at any moment, on one database and one bucket."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from recognizance.cli.indexing import jobs, share
from recognizance.cli.indexing.crew import AnalystLostError
from recognizance.cli.indexing.patience import patiently
from recognizance.cli.indexing.pictures import UNREADABLE
from recognizance.core.errors import ResourceNotFoundError, SetupError
from recognizance.storage.database import Database
from recognizance.storage.objects.listing import Entry
from recognizance.storage.repositories import bulk_jobs
from recognizance.storage.schema import OPEN, bulk_chunks, bulk_refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.indexing.sharer import Machine

    from recognizance.storage.repositories.bulk_jobs import JobRow

SCRIPT = Path(__file__).with_name("sharer.py")
# They take seconds to start where the machine is busy.
processes = pytest.mark.timeout(600)
HEAD = b"\xff\xd8\xff"


@pytest.fixture(scope="session")
def sharer() -> Any:
    """The script beside this file, as a module."""
    spec = importlib.util.spec_from_file_location("indexing_sharer", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder that stands for the bucket."""
    folder = tmp_path / "buckets" / "photos"
    folder.mkdir(parents=True)
    return folder


def fill(photos: Path, count: int, start: int = 0) -> list[str]:
    """Put so many pictures into the bucket; return their names."""
    names = [f"{number:04}.jpg" for number in range(start, start + count)]
    for name in names:
        (photos / name).write_bytes(HEAD + name.encode())
    return names


@pytest.fixture
def open_machine(sharer: Any, tmp_path: Path, photos: Path, database_url: str) -> Iterator[Callable[..., Machine]]:
    """Open what one more machine has open. The collection is there."""
    opened: list[Machine] = []

    def open_one(**arguments: Any) -> Machine:
        opened.append(sharer.Machine(tmp_path / "data", database_url, photos.parent, **arguments))
        return opened[-1]

    open_one().service.create_collection("c")
    yield open_one
    for machine in opened:
        machine.close()


@pytest.fixture
def machine(open_machine: Callable[..., Machine]) -> Machine:
    return open_machine()


class Process:
    """A process that works on the job once it is told to."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, str(SCRIPT), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> tuple[int, list[str]]:
        """Wait for its end; return how many pictures it stored, and the names of those that it analysed."""
        count, analysed = json.loads(self.process.communicate(timeout=300)[0])
        return count, analysed


def has_work(machine: Machine, process: Process) -> bool:
    """Whether a process holds a chunk."""
    chunks = bulk_chunks.c
    held = sa.select(sa.func.count()).where(
        chunks.state == OPEN, chunks.token.is_not(None), chunks.holder.endswith(f":{process.process.pid}")
    )
    with machine.database.read() as connection:
        return bool(connection.scalar(held))


@pytest.fixture
def start(tmp_path: Path, photos: Path, database_url: str, machine: Machine) -> Iterator[Callable[..., list[Process]]]:
    """Start processes that work on the job; they begin at the same time."""
    started: list[Process] = []

    def start_some(*each: dict[str, Any]) -> list[Process]:
        data = str(tmp_path / "data")
        new = [Process(data, database_url, str(photos.parent), json.dumps(arguments)) for arguments in each]
        started.extend(new)
        for one in new:
            one.wait_until_ready()
        for one in new:
            one.go()
        return new

    assert job_count(machine) == 0
    yield start_some
    for one in started:
        one.process.kill()
        one.process.communicate()


def job_count(machine: Machine) -> int:
    with machine.database.read() as connection:
        return len(bulk_jobs.every(connection))


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.02)


def dealt_with(machine: Machine) -> int:
    return job(machine).dealt_with if job_count(machine) else 0


def job(machine: Machine) -> JobRow:
    with machine.database.read() as connection:
        (found,) = bulk_jobs.every(connection)
    return found


def stored(machine: Machine) -> list[str]:
    """The external ids of the faces, sorted."""
    return sorted(face.external_image_id or "" for face in machine.service.list_faces("c").items)


def chunk_states(machine: Machine) -> Counter[int]:
    with machine.database.read() as connection:
        return Counter(connection.scalars(sa.select(bulk_chunks.c.state)))


def refusals(machine: Machine) -> dict[str, tuple[str, bool]]:
    with machine.database.read() as connection:
        rows = connection.execute(sa.select(bulk_refusals.c.name, bulk_refusals.c.code, bulk_refusals.c.lasting))
        return {name.decode(): (code, lasting) for name, code, lasting in rows}


def end_leases(machine: Machine) -> None:
    """Let time pass until every lease has ended and every pause is over."""
    with machine.database.begin() as connection:
        past = sa.literal(0, sa.BigInteger)
        connection.execute(bulk_chunks.update().where(bulk_chunks.c.state == 0).values(free_at=past))


def test_every_picture_of_a_bucket_is_stored_once(machine: Machine, photos: Path) -> None:
    names = fill(photos, 30)
    (photos / "notes.txt").write_bytes(b"no picture")
    (photos / "bad.jpg").write_bytes(b"no picture either")
    machine.share()()
    assert stored(machine) == names
    done = job(machine)
    assert (done.objects, done.dealt_with, done.pictures, done.faces_added, done.others) == (32, 32, 30, 30, 1)
    assert done.listed
    assert done.finished_at is not None
    assert chunk_states(machine) == {1: 8}
    assert refusals(machine) == {"bad.jpg": ("InvalidImageFormatException", True)}


def test_an_empty_bucket_is_done(machine: Machine) -> None:
    machine.share()()
    assert (job(machine).objects, job(machine).finished_at is None) == (0, False)


@processes
def test_processes_share_the_work_and_each_ends_when_all_is_done(
    machine: Machine, photos: Path, start: Callable[..., list[Process]]
) -> None:
    names = fill(photos, 60)
    answers = [process.end() for process in start(*[{"pause": 0.15}] * 3)]
    assert stored(machine) == names
    assert sum(count for count, _ in answers) == 60
    assert sorted(name for _, analysed in answers for name in analysed) == names, "nothing is analysed twice"
    assert sum(bool(count) for count, _ in answers) > 1
    assert chunk_states(machine) == {1: 15}


@processes
def test_what_a_killed_process_had_is_done_again_once_and_every_picture_is_there_once(
    machine: Machine, photos: Path, start: Callable[..., list[Process]]
) -> None:
    names = fill(photos, 80)
    victim, *survivors = start(*[{"pause": 0.05, "seconds": 4.0}] * 3)
    until(lambda: has_work(machine, victim))
    victim.kill()
    answers = [process.end() for process in survivors]
    done = job(machine)
    assert (done.dealt_with, done.pictures, done.faces_added, done.faces_known) == (80, 80, 80, 0)
    assert stored(machine) == names
    assert chunk_states(machine) == {1: 20}
    assert max(Counter(name for _, analysed in answers for name in analysed).values()) == 1
    with machine.database.read() as connection:
        attempts = Counter(connection.scalars(sa.select(bulk_chunks.c.attempts)))
    assert attempts.keys() <= {1, 2}
    assert 1 <= attempts[2] <= 4, "only what the victim had was begun twice"


@processes
def test_a_listing_that_broke_off_is_continued_by_another(
    machine: Machine, photos: Path, start: Callable[..., list[Process]]
) -> None:
    names = fill(photos, 200)
    (victim,) = start({"pause": 1.0, "seconds": 0.5, "chunk": 2})
    until(lambda: job_count(machine) > 0 and job(machine).objects >= 4)
    victim.kill()
    listed = job(machine).objects
    (process,) = start({"seconds": 0.5, "chunk": 2})
    assert process.end()[0] == 200
    assert stored(machine) == names
    assert (job(machine).objects, job(machine).dealt_with) == (200, 200)
    assert listed < 200, "the first process was too quick for this test"


@processes
def test_a_process_that_is_asked_to_stop_hands_its_work_to_the_others_at_once(
    machine: Machine, photos: Path, start: Callable[..., list[Process]]
) -> None:
    fill(photos, 40)
    (process,) = start({"pause": 0.2, "seconds": 3600})
    until(lambda: dealt_with(machine) > 0)
    process.process.send_signal(signal.SIGTERM)
    process.end()
    with machine.database.read() as connection:
        counts = bulk_jobs.counts(connection, job(machine).pk)
    assert (counts.held, counts.holders) == (0, ())
    assert counts.done < 10
    machine.share()()
    assert job(machine).pictures == 40
    with machine.database.read() as connection:
        assert set(connection.scalars(sa.select(bulk_chunks.c.attempts))) == {1}


@processes
def test_a_picture_that_ends_every_process_is_set_aside_and_the_others_are_done(
    machine: Machine, photos: Path, start: Callable[..., list[Process]]
) -> None:
    names = fill(photos, 20)
    (photos / "0005 poison.jpg").write_bytes(HEAD + b"poison")
    for _ in range(3):
        (process,) = start({})
        assert process.process.wait(300) == -signal.SIGKILL
        end_leases(machine)
    machine.share()()
    assert job(machine).finished_at is not None
    with machine.database.read() as connection:
        ((content, _),) = bulk_jobs.set_aside(connection, job(machine).pk)
    assert [entry.key for entry in jobs.unpack(content)] == ["0005 poison.jpg"]
    assert stored(machine) == names
    assert (job(machine).objects, job(machine).dealt_with) == (21, 20)


def test_a_process_that_was_away_too_long_writes_nothing(
    open_machine: Callable[..., Machine], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease ended and another did the chunk: its own faces and counts are not added."""
    names = fill(photos, 4)
    slow, quick = open_machine(), open_machine()
    analyse = slow.indexer.analyse
    done: list[bool] = []

    def away(data: bytes, name: str | None) -> Any:
        if not done:
            done.append(True)
            end_leases(slow)
            quick.share()()
        return analyse(data, name)

    monkeypatch.setattr(slow.indexer, "analyse", away)
    slow.arguments["workers"] = 1
    share_of_slow = slow.share()
    share_of_slow()
    assert share_of_slow.pictures == 0
    assert stored(slow) == names
    finished = job(slow)
    assert (finished.dealt_with, finished.pictures, finished.faces_known) == (4, 4, 0)
    assert chunk_states(slow) == {1: 1}


def test_objects_that_could_not_be_read_are_tried_again_and_the_rest_is_kept(
    machine: Machine, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "_PAUSE_SECONDS", 0.0)
    names = fill(photos, 3)
    (photos / "0001b.jpg").write_bytes(HEAD + b"fault")
    machine.share()()
    assert stored(machine) == names
    assert Counter(machine.indexer.analysed) == {**dict.fromkeys(names, 1), "0001b.jpg": 3}
    assert refusals(machine) == {"0001b.jpg": ("InternalFault", False)}
    assert (job(machine).objects, job(machine).dealt_with) == (4, 4)


def test_a_store_that_does_not_answer_ends_the_process_and_loses_nothing(
    machine: Machine, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "_FEW", 4)
    fill(photos, 8)
    with monkeypatch.context() as patch:
        patch.setattr(machine.store, "read", lambda *_: (photos / "missing").read_bytes())
        with pytest.raises(SetupError, match="None of 4 objects of s3://photos/ could be read: No such file"):
            machine.share()()
    assert job(machine).dealt_with == 0
    machine.share()()
    assert job(machine).pictures == 8
    assert refusals(machine) == {}


def test_an_object_deleted_since_the_listing_is_refused_and_tried_by_the_next_run(
    machine: Machine, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "_PAUSE_SECONDS", 0.0)
    names = fill(photos, 2)
    read = machine.store.read

    def gone(bucket: str, key: str, version: str | None, limit: int) -> bytes:
        (photos / names[0]).unlink(missing_ok=True)
        return read(bucket, key, version, limit)

    with monkeypatch.context() as patch:
        patch.setattr(machine.store, "read", gone)
        machine.share()()
    assert refusals(machine) == {names[0]: (UNREADABLE, False)}
    fill(photos, 1)
    machine.share()()
    assert stored(machine) == names


def test_a_job_that_is_finished_does_what_is_new_when_it_is_run_again(machine: Machine, photos: Path) -> None:
    fill(photos, 10)
    machine.share()()
    old = machine.indexer.analysed[:]
    new = fill(photos, 3, start=50)
    shutil.copy(photos / "0000.jpg", photos / "0001.jpg")  # changed
    machine.share()()
    assert sorted(machine.indexer.analysed[len(old) :]) == ["0001.jpg", *new]
    done = job(machine)
    assert (done.run, done.skipped, done.objects, done.pictures) == (2, 9, 4, 4)
    machine.share()()
    assert (job(machine).run, job(machine).skipped, job(machine).objects) == (3, 13, 0)


def test_everything_is_done_again_when_that_is_asked_for(machine: Machine, photos: Path) -> None:
    fill(photos, 5)
    machine.share()()
    machine.share(again=True)()
    done = job(machine)
    assert (done.run, done.skipped, done.pictures, done.faces_added, done.faces_known) == (2, 0, 5, 0, 5)


def test_with_another_choice_of_faces_everything_is_done_again(machine: Machine, photos: Path) -> None:
    fill(photos, 5)
    machine.share(quality_filter="AUTO")()
    machine.share(quality_filter="HIGH")()
    assert (job(machine).run, job(machine).skipped, job(machine).pictures) == (2, 0, 5)


def test_a_job_under_way_cannot_be_joined_with_other_options(machine: Machine) -> None:
    machine.share(quality_filter="AUTO")
    with pytest.raises(SetupError, match=r"under way with other options.*recognizance jobs delete"):
        machine.share(quality_filter="HIGH")


def test_a_name_stands_for_one_source(machine: Machine) -> None:
    plan = jobs.Plan("c", "job", jobs.Bucket("photos"), "file", {})
    jobs.open_job(machine.database, plan)
    with pytest.raises(SetupError, match=r"The job job indexes s3://photos/; choose another name with --job"):
        jobs.open_job(machine.database, jobs.Plan("c", "job", jobs.Bucket("photos", "a/"), "file", {}))
    with pytest.raises(ResourceNotFoundError):
        jobs.open_job(machine.database, jobs.Plan("other", "job", jobs.Bucket("photos"), "file", {}))


def test_processes_that_begin_a_job_together_begin_one(open_machine: Callable[..., Machine]) -> None:
    machines = [open_machine() for _ in range(4)]
    together = threading.Barrier(4)
    found: list[int] = []

    def begin(machine: Machine) -> None:
        together.wait()
        plan = jobs.Plan("c", "job", jobs.Bucket("photos"), "file", {})
        found.append(jobs.open_job(machine.database, plan).pk)

    threads = [threading.Thread(target=begin, args=(machine,)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_job_goes_with_its_collection(machine: Machine, photos: Path) -> None:
    fill(photos, 3)
    machine.share()()
    machine.service.delete_collection("c")
    with machine.database.read() as connection:
        assert bulk_jobs.every(connection) == []
        assert connection.scalar(sa.select(sa.func.count()).select_from(bulk_chunks)) == 0


def test_a_process_whose_job_is_deleted_ends_without_writing(
    machine: Machine, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(photos, 8)
    analyse = machine.indexer.analyse

    def delete(data: bytes, name: str | None) -> Any:
        with machine.database.begin() as connection:
            for found in bulk_jobs.every(connection):
                bulk_jobs.delete(connection, found.collection_pk, found.name)
        return analyse(data, name)

    monkeypatch.setattr(machine.indexer, "analyse", delete)
    machine.share()()
    assert stored(machine) == []
    assert job_count(machine) == 0


def test_chunks_that_an_analysing_process_died_on_have_had_an_attempt(
    machine: Machine, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(photos, 4)

    def die(*_: object) -> Any:
        raise AnalystLostError

    with monkeypatch.context() as patch:
        patch.setattr(machine.indexer, "analyse", die)
        with pytest.raises(AnalystLostError):
            machine.share()()
    with machine.database.read() as connection:
        assert bulk_jobs.counts(connection, job(machine).pk).waiting == 1
        assert list(connection.scalars(sa.select(bulk_chunks.c.attempts))) == [1]
    machine.share()()
    assert job(machine).pictures == 4


def test_a_bucket_that_is_not_there_ends_the_process_with_its_name(machine: Machine, photos: Path) -> None:
    photos.rmdir()
    with pytest.raises(SetupError, match="The bucket photos"):
        machine.share()()
    photos.mkdir()
    fill(photos, 2)
    machine.share()()
    assert job(machine).pictures == 2


def test_an_object_that_was_moved_in_s3_is_known_and_a_file_is_not() -> None:
    """S3's ETag follows from the content, a file's time of change does not."""
    plan = jobs.Plan("c", "job", jobs.Bucket("photos"), "file", {})
    finished = jobs.Finished(plan)
    etag = hashlib.md5(b"1", usedforsecurity=False).hexdigest()
    finished.add([Entry("a/1.jpg", 1, etag), Entry("a/2.jpg", 1, "1700000000000000000")])
    assert Entry("b/1.jpg", 1, etag) in finished
    assert Entry("b/1b.jpg", 1, etag) not in finished, "under another name it is another face"
    assert Entry("b/1.jpg", 2, etag) not in finished
    assert Entry("a/2.jpg", 1, "1700000000000000000") in finished
    assert Entry("b/2.jpg", 1, "1700000000000000000") not in finished


def test_keys_of_any_kind_survive_the_database() -> None:
    entries = [Entry(os.fsdecode(b"\xff.jpg"), 1, "v"), Entry("ä\n\0.jpg", 2, "")]
    assert jobs.unpack(jobs.pack(entries)) == entries
    assert [jobs.key_text(jobs.key_bytes(entry.key)) for entry in entries] == ["\\xff.jpg", "ä\n\0.jpg"]


@pytest.mark.parametrize(
    ("source", "bucket"),
    [
        ("s3://photos", jobs.Bucket("photos")),
        ("s3://photos/", jobs.Bucket("photos")),
        ("s3://photos/a/b c", jobs.Bucket("photos", "a/b c")),
        ("photos/a", None),
        ("s3://", None),
        ("s3:///a", None),
        ("http://photos/a", None),
    ],
)
def test_an_address_names_bucket_and_prefix(source: str, bucket: jobs.Bucket | None) -> None:
    assert jobs.Bucket.parse(source) == bucket


def test_a_job_without_a_name_is_named_after_its_source() -> None:
    assert jobs.default_name(jobs.Bucket("photos", "a/")) == "s3://photos/a/"
    long = {jobs.default_name(jobs.Bucket("photos", "a" * 1000 + end)) for end in "xy"}
    assert len(long) == 2
    assert all(len(name) <= 255 for name in long)


def test_work_on_the_database_is_tried_again_when_it_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    failures = [True, True]

    def work() -> str:
        if failures:
            failures.pop()
            raise sa.exc.OperationalError("", {}, Exception("gone"), connection_invalidated=True)
        return "done"

    assert patiently(work) == "done"
    assert waited == [0.5, 1.0]
    with pytest.raises(sa.exc.OperationalError):
        patiently(lambda: (_ for _ in ()).throw(sa.exc.OperationalError("", {}, Exception("full"))))


def test_the_tests_database_is_the_one_that_was_asked_for(machine: Machine, database_url: str) -> None:
    assert Database(database_url).is_postgresql == machine.database.is_postgresql
