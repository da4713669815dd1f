"""One run over a folder, with an indexer whose faults are the test's."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pytest

from recognizance.cli.indexing.journal import Journal
from recognizance.cli.indexing.overlap import Behind, two_stages, unordered
from recognizance.cli.indexing.pictures import FAULT, NO_FACE, REJECTED, UNREADABLE
from recognizance.cli.indexing.run import Run
from recognizance.collections.model import PictureFaces
from recognizance.core.errors import ImageTooLargeError, InvalidImageFormatError, ServiceQuotaExceededError
from recognizance.operations.local import Analysed
from recognizance.vision.faces import Faces
from recognizance.vision.image import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def faces(count: int) -> Faces:
    """Return this many faces."""
    boxes = np.zeros((count, 4), np.float32)
    return Faces.detected((100, 100), boxes, np.zeros(count, np.float32), np.zeros((count, 5, 2), np.float32))


class ScriptedIndexer:
    """Does what the bytes after the head of a picture say; remembers what it stored."""

    def __init__(self) -> None:
        self.analysed: list[str] = []
        self.stored: list[str] = []
        self.batches: list[int] = []
        self.most_stored = 10**9
        self.renamings: list[tuple[bytes, str]] = []
        self.deleted = False
        self.on_stop: Callable[[], None] = lambda: None

    def analyse(self, data: bytes, external_image_id: str | None) -> Analysed:
        word = data.removeprefix(JPEG).removeprefix(PNG).decode()
        self.analysed.append(external_image_id or "")
        match word.split():
            case ["damaged"]:
                raise InvalidImageFormatError
            case ["huge"]:
                raise ImageTooLargeError
            case ["fault"]:
                raise ZeroDivisionError
            case ["stop"]:
                self.on_stop()
                return Analysed(PictureFaces(faces(1), b"", external_image_id), ())
            case ["faces", count]:
                return Analysed(PictureFaces(faces(int(count)), b"", external_image_id), ())
            case ["blurred", count]:
                rejected = (("LOW_SHARPNESS", "SMALL_BOUNDING_BOX"),)
                return Analysed(PictureFaces(faces(int(count)), b"", external_image_id), rejected)
            case other:
                raise AssertionError(other)

    def renamed(self, face_ids: Sequence[str], digest: bytes, external_image_id: str | None) -> Analysed | None:
        assert face_ids
        if self.deleted:
            return None
        self.renamings.append((digest, external_image_id or ""))
        return Analysed(PictureFaces(faces(len(face_ids)), digest, external_image_id), ())

    def store(
        self, pictures: Sequence[Analysed], also: Callable[[Connection, int], None] | None = None
    ) -> tuple[list[list[str]], int]:
        assert also is None
        if len(self.stored) + len(pictures) > self.most_stored:
            raise ServiceQuotaExceededError
        self.batches.append(len(pictures))
        names = [one.picture.external_image_id or "" for one in pictures if isinstance(one.picture, PictureFaces)]
        new = [len(one) for one, name in zip(pictures, names, strict=True) if name not in self.stored]
        self.stored += names
        ids = [[str(UUID(int=number)) for number in range(len(one))] for one in pictures]
        return ids, sum(new)


@pytest.fixture
def indexer() -> ScriptedIndexer:
    return ScriptedIndexer()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    (tmp_path / "data").mkdir()
    with Journal(tmp_path / "data", "arn", "monday") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    return made


def make_run(indexer: ScriptedIndexer, journal: Journal, *, workers: int = 2, again: bool = False) -> Run:
    """Return a run that names files by their stems."""
    return Run(indexer, journal, name=lambda path: path.stem, workers=workers, again=again)


def test_each_file_is_counted_once_under_what_became_of_it(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    contents = {
        "one.jpg": JPEG + b"faces 1",
        "three.png": PNG + b"faces 3",
        "misnamed.txt": JPEG + b"faces 1",
        "nobody.jpg": JPEG + b"faces 0",
        "blurred.jpg": JPEG + b"blurred 0",
        "half.jpg": JPEG + b"blurred 2",
        "damaged.jpg": JPEG + b"damaged",
        "huge.jpg": JPEG + b"huge",
        "fault.jpg": JPEG + b"fault",
        "text.jpg": b"not a picture",
        "empty.jpeg": b"",
        "notes.txt": b"not a picture",
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    dealt_with: list[None] = []
    refused: dict[str, tuple[str, str]] = {}
    run = Run(
        indexer,
        journal,
        name=lambda path: path.stem,
        workers=3,
        on_file=lambda: dealt_with.append(None),
        on_refused=lambda path, code, detail: refused.update({path.name: (code, detail)}),
    )
    run(folder)
    tally = run.tally
    assert sorted(indexer.stored) == ["half", "misnamed", "one", "three"]
    assert (tally.pictures, tally.faces_added, tally.faces_known, tally.others) == (4, 7, 0, 1)
    assert len(dealt_with) == len(contents) + 1
    assert {name: code for name, (code, _) in refused.items()} == {
        "nobody.jpg": NO_FACE,
        "blurred.jpg": REJECTED,
        "damaged.jpg": "InvalidImageFormatException",
        "text.jpg": "InvalidImageFormatException",
        "empty.jpeg": "InvalidImageFormatException",
        "huge.jpg": "ImageTooLargeException",
        "fault.jpg": FAULT,
        "gone.jpg": UNREADABLE,
    }
    assert refused["blurred.jpg"][1] == "LOW_SHARPNESS, SMALL_BOUNDING_BOX"
    assert tally.refused["InvalidImageFormatException"] == 3
    assert tally.rejected == {"LOW_SHARPNESS": 2, "SMALL_BOUNDING_BOX": 2}


def test_a_file_larger_than_any_picture_is_refused_unread(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    with (folder / "endless.jpg").open("wb") as file:
        file.write(JPEG)
        file.truncate(MAX_OBJECT_BYTES + 1)
    run = make_run(indexer, journal)
    run(folder)
    assert run.tally.refused == {"ImageTooLargeException": 1}
    assert indexer.analysed == []


def test_the_second_run_skips_what_is_done_and_reports_it_still(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    (folder / "one.jpg").write_bytes(JPEG + b"faces 1")
    (folder / "bad.jpg").write_bytes(JPEG + b"damaged")
    make_run(indexer, journal)(folder)
    second = make_run(indexer, journal)
    second(folder)
    assert sorted(indexer.analysed) == ["bad", "one"]
    assert (second.tally.skipped, second.tally.pictures) == (2, 0)
    assert second.tally.refused == {"InvalidImageFormatException": 1}


def test_a_file_that_moved_or_was_touched_is_not_analysed_again(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    (folder / "one.jpg").write_bytes(JPEG + b"faces 1")
    (folder / "bad.jpg").write_bytes(JPEG + b"damaged")
    make_run(indexer, journal)(folder)
    (folder / "deep").mkdir()
    (folder / "one.jpg").rename(folder / "deep" / "one.jpg")
    os.utime(folder / "bad.jpg")
    for _ in range(2):  # by its content, then by its new path and time
        run = make_run(indexer, journal)
        run(folder)
        assert (run.tally.skipped, run.tally.pictures) == (2, 0)
        assert run.tally.refused == {"InvalidImageFormatException": 1}
    assert sorted(indexer.analysed) == ["bad", "one"]
    assert indexer.stored == ["one"]


def test_a_file_that_was_renamed_is_stored_under_its_new_name_without_being_analysed(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    """Under another name it is another face, as IndexFaces has it."""
    content = JPEG + b"faces 2"
    (folder / "one.jpg").write_bytes(content)
    (folder / "nobody.jpg").write_bytes(JPEG + b"faces 0")
    make_run(indexer, journal)(folder)
    (folder / "one.jpg").rename(folder / "two.jpg")
    (folder / "nobody.jpg").rename(folder / "nobody else.jpg")
    run = make_run(indexer, journal)
    run(folder)
    assert sorted(indexer.analysed) == ["nobody", "one"]
    assert indexer.stored == ["one", "two"]
    assert indexer.renamings == [(hashlib.sha256(content).digest(), "two")]
    assert (run.tally.pictures, run.tally.renamed, run.tally.faces_added, run.tally.skipped) == (1, 1, 2, 1)
    assert run.tally.refused == {NO_FACE: 1}
    (folder / "two.jpg").rename(folder / "three.jpg")
    make_run(indexer, journal)(folder)
    assert indexer.stored[-1] == "three"
    assert len(indexer.analysed) == 2


def test_a_renamed_file_whose_faces_were_deleted_meanwhile_is_analysed(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    (folder / "one.jpg").write_bytes(JPEG + b"faces 1")
    make_run(indexer, journal)(folder)
    (folder / "one.jpg").rename(folder / "two.jpg")
    indexer.deleted = True
    make_run(indexer, journal)(folder)
    assert indexer.analysed == ["one", "two"]


def test_unchanged_files_are_not_even_opened(indexer: ScriptedIndexer, journal: Journal, folder: Path) -> None:
    path = folder / "one.jpg"
    path.write_bytes(JPEG + b"faces 1")
    os.utime(path, ns=(5, 5))
    make_run(indexer, journal)(folder)
    path.write_bytes(JPEG + b"damagd!")  # of the same size, and said to be as old
    os.utime(path, ns=(5, 5))
    run = make_run(indexer, journal)
    run(folder)
    assert run.tally.skipped == 1


def test_what_a_fault_of_ours_or_the_disk_refused_is_tried_again(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    (folder / "fault.jpg").write_bytes(JPEG + b"fault")
    make_run(indexer, journal)(folder)
    make_run(indexer, journal)(folder)
    assert indexer.analysed == ["fault", "fault"]


def test_everything_is_done_again_when_that_is_asked_for(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    (folder / "one.jpg").write_bytes(JPEG + b"faces 2")
    make_run(indexer, journal)(folder)
    second = make_run(indexer, journal, again=True)
    second(folder)
    assert (second.tally.skipped, second.tally.pictures) == (0, 1)
    assert (second.tally.faces_added, second.tally.faces_known) == (0, 2)


def test_pictures_are_written_in_batches(indexer: ScriptedIndexer, journal: Journal, folder: Path) -> None:
    for number in range(200):
        (folder / f"{number}.jpg").write_bytes(JPEG + b"faces 1")
    make_run(indexer, journal, workers=4)(folder)
    assert sum(indexer.batches) == 200
    assert len(indexer.batches) < 20


def test_a_run_that_is_stopped_writes_what_it_has_begun_and_begins_nothing_more(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    for number in range(100):
        (folder / f"{number}.jpg").write_bytes(JPEG + b"stop")
    stopped = make_run(indexer, journal, workers=2)
    indexer.on_stop = stopped.stop
    stopped(folder)
    assert stopped.stopped
    assert 1 <= stopped.tally.pictures <= 2
    indexer.on_stop = lambda: None
    second = make_run(indexer, journal)
    second(folder)
    assert second.tally.skipped == stopped.tally.pictures
    assert sorted(indexer.stored) == sorted(map(str, range(100)))


def test_a_full_collection_ends_the_run_and_nothing_unwritten_counts_as_done(
    indexer: ScriptedIndexer, journal: Journal, folder: Path
) -> None:
    for number in range(10):
        (folder / f"{number}.jpg").write_bytes(JPEG + b"faces 1")
    indexer.most_stored = 5
    with pytest.raises(ServiceQuotaExceededError):
        make_run(indexer, journal)(folder)
    indexer.most_stored = 100
    again = make_run(indexer, journal)
    again(folder)
    assert again.tally.pictures == 10


def test_results_come_as_they_are_ready_and_few_items_are_begun_ahead() -> None:
    released = threading.Event()
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            assert released.wait(30)
        return number

    with ThreadPoolExecutor(2) as pool, closing(unordered(pool, work, range(100), ahead=4)) as results:
        assert next(results) != 0
        assert len(begun) <= 8
        released.set()
        assert len({0, *results}) >= 98


def test_an_error_in_the_work_reaches_the_caller() -> None:
    def work(number: int) -> int:
        return 1 // number

    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        list(unordered(pool, work, [1, 1, 0, 1], ahead=4))


def test_reading_goes_on_while_results_are_dealt_with() -> None:
    """Two stages, each with its own threads: what the first has begun is bounded, and nothing is lost."""
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        return number

    with two_stages(range(200), read, lambda number: -number, readers=3, workers=2) as results:
        first = next(results)
        assert len(begun) <= 2 * 3 + 4 * 2 + 1
        assert sorted([first, *results]) == [-number for number in range(199, -1, -1)]


def test_what_is_done_behind_is_done_one_after_the_other_and_to_the_end() -> None:
    done: list[int] = []

    def slowly() -> None:
        time.sleep(0.1)
        done.append(len(done))

    with Behind() as behind:
        behind(slowly)
        assert done == []
        behind(slowly)
        assert done == [0]
    assert done == [0, 1]


def test_an_error_behind_reaches_the_caller() -> None:
    def fail() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError), Behind() as behind:
        behind(fail)
