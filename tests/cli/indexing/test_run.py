"""One run over a folder, with an indexer whose faults are the test's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.cli.indexing.journal import Journal
from recognizance.cli.indexing.run import FAULT, NO_FACE, REJECTED, UNREADABLE, Run, unordered
from recognizance.collections.model import PictureFaces
from recognizance.core.errors import ImageTooLargeError, InvalidImageFormatError, ServiceQuotaExceededError
from recognizance.operations.local import Analysed
from recognizance.vision.faces import Faces
from recognizance.vision.image import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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

    def store(self, pictures: list[Analysed]) -> int:
        if len(self.stored) + len(pictures) > self.most_stored:
            raise ServiceQuotaExceededError
        self.batches.append(len(pictures))
        new = [one.picture.external_image_id or "" for one in pictures]
        added = sum(len(one.picture.faces) for one in pictures if one.picture.external_image_id not in self.stored)
        self.stored += new
        return added


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
    return Run(indexer, journal, name=lambda path: path.stem, how="", workers=workers, again=again)


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
        how="",
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
