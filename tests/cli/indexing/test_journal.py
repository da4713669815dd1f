"""Which files are done."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest

from recognizance.cli.indexing.journal import NAME, Done, Journal, Known
from recognizance.cli.indexing.walk import File
from recognizance.core.errors import SetupError

FILE = File(Path("/pictures/one.jpg"), 3, 7)
DIGEST = bytes(range(32))
FACES = (str(UUID(int=1)), str(UUID(int=2**127)))


def test_a_file_is_done_once_it_is_entered(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        assert journal.file(FILE, "one") == Known()
        journal.enter([Done(FILE, "one", DIGEST, face_ids=FACES)])
        assert journal.file(FILE, "one") == Known(True, DIGEST)


def test_a_refusal_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, None, DIGEST, "NoFaceFound", "dark")])
    with Journal(tmp_path, "arn", "monday") as journal:
        assert journal.file(FILE, None) == Known(True, DIGEST, "NoFaceFound", "dark")


@pytest.mark.parametrize(
    "changed", [replace(FILE, size=4), replace(FILE, changed_ns=8), replace(FILE, path=Path("/two"))]
)
def test_a_file_that_changed_has_to_be_read(tmp_path: Path, changed: File) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, "one", DIGEST)])
        assert journal.file(changed, "one") == Known()


def test_a_picture_is_known_by_its_content_with_its_faces(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, "one", DIGEST, face_ids=FACES)])
        assert journal.picture(DIGEST, "one") == Known(True, DIGEST, face_ids=FACES)
        assert journal.picture(bytes(32), "one") == Known(digest=bytes(32))


@pytest.mark.parametrize("other", ["two", None])
def test_under_another_name_a_picture_is_known_and_not_done(tmp_path: Path, other: str | None) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, "one", DIGEST, face_ids=FACES)])
        assert journal.file(FILE, other) == Known(False, DIGEST)
        assert journal.picture(DIGEST, other) == Known(False, DIGEST, face_ids=FACES)


def test_a_file_that_moved_leaves_what_is_known_of_its_picture(tmp_path: Path) -> None:
    moved = replace(FILE, path=Path("/elsewhere/one.jpg"))
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, "one", DIGEST, face_ids=FACES)])
        journal.enter([Done(moved, "one", DIGEST, face_ids=None)])
        assert journal.file(moved, "one") == Known(True, DIGEST)
        assert journal.picture(DIGEST, "one").face_ids == FACES


def test_what_was_not_read_is_known_by_path_alone(tmp_path: Path) -> None:
    other = replace(FILE, path=Path("/pictures/film.mp4"))
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, "one", None, "ImageTooLargeException", "big"), Done(other, "film", None)])
        assert journal.file(FILE, "another name") == Known(True, None, "ImageTooLargeException", "big")
        assert journal.file(other, "film") == Known(True)


def test_what_was_done_with_another_choice_of_faces_is_not_done(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday", "AUTO") as journal:
        journal.enter([Done(FILE, "one", DIGEST, face_ids=FACES)])
    with Journal(tmp_path, "arn", "monday", "HIGH") as journal:
        assert journal.file(FILE, "one") == Known(False, DIGEST)
        assert journal.picture(DIGEST, "one") == Known(digest=DIGEST)


@pytest.mark.parametrize(("arn", "created"), [("other arn", "monday"), ("arn", "tuesday")])
def test_another_collection_or_one_made_anew_has_nothing_done(tmp_path: Path, arn: str, created: str) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, "one", DIGEST)])
    with Journal(tmp_path, arn, created) as journal:
        assert journal.file(FILE, "one") == Known()
        assert journal.picture(DIGEST, "one") == Known(digest=DIGEST)


def test_two_runs_at_once_share_the_journal(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as one, Journal(tmp_path, "arn", "monday") as other:
        one.enter([Done(FILE, "one", DIGEST)])
        assert other.file(FILE, "one").done


def test_runs_that_make_the_journal_together_make_one(tmp_path: Path) -> None:
    def make(number: int) -> None:
        file = replace(FILE, path=Path(f"/{number}"))
        with Journal(tmp_path, "arn", "monday") as journal:
            journal.enter([Done(file, "one", DIGEST)])

    threads = [Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Journal(tmp_path, "arn", "monday") as journal:
        assert all(journal.file(replace(FILE, path=Path(f"/{number}")), "one").done for number in range(8))


def test_names_that_are_no_text_are_remembered(tmp_path: Path) -> None:
    file = File(Path(os.fsdecode(b"/\xff.jpg")), 1, 1)
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(file, "one", DIGEST)])
        assert journal.file(file, "one").done


def test_a_journal_of_another_form_is_begun_anew(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.execute("CREATE TABLE files (path TEXT)")
        connection.commit()
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([Done(FILE, "one", DIGEST)])
        assert journal.file(FILE, "one").done


def test_a_damaged_journal_is_named_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"damaged" * 1000)
    with pytest.raises(SetupError, match="deleted without loss"):
        Journal(tmp_path, "arn", "monday")
