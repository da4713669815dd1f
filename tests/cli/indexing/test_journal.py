"""Which files are done."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from recognizance.cli.indexing.journal import NAME, Journal
from recognizance.cli.indexing.walk import File
from recognizance.core.errors import SetupError

FILE = File(Path("/pictures/one.jpg"), 3, 7)


def test_a_file_is_done_once_it_is_entered(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        assert journal.outcome(FILE, "how") is None
        journal.enter([(FILE, "how", None, None)])
        assert journal.outcome(FILE, "how") == (None, None)


def test_a_refusal_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([(FILE, "how", "NoFaceFound", "dark")])
    with Journal(tmp_path, "arn", "monday") as journal:
        assert journal.outcome(FILE, "how") == ("NoFaceFound", "dark")


@pytest.mark.parametrize(
    "changed", [replace(FILE, size=4), replace(FILE, changed_ns=8), replace(FILE, path=Path("/two"))]
)
def test_a_file_that_changed_is_not_done(tmp_path: Path, changed: File) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([(FILE, "how", None, None)])
        assert journal.outcome(changed, "how") is None


def test_a_file_that_is_to_be_done_in_another_way_is_not_done(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([(FILE, "how", None, None)])
        assert journal.outcome(FILE, "otherwise") is None


def test_another_collection_has_nothing_done(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([(FILE, "how", None, None)])
    with Journal(tmp_path, "other arn", "monday") as journal:
        assert journal.outcome(FILE, "how") is None


def test_a_collection_made_anew_has_nothing_done(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([(FILE, "how", None, None)])
    with Journal(tmp_path, "arn", "tuesday") as journal:
        assert journal.outcome(FILE, "how") is None


def test_two_runs_at_once_share_the_journal(tmp_path: Path) -> None:
    with Journal(tmp_path, "arn", "monday") as one, Journal(tmp_path, "arn", "monday") as other:
        one.enter([(FILE, "how", None, None)])
        assert other.outcome(FILE, "how") == (None, None)


def test_names_that_are_no_text_are_remembered(tmp_path: Path) -> None:
    file = File(Path(os.fsdecode(b"/\xff.jpg")), 1, 1)
    with Journal(tmp_path, "arn", "monday") as journal:
        journal.enter([(file, "how", None, None)])
        assert journal.outcome(file, "how") == (None, None)


def test_a_damaged_journal_is_named_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"damaged" * 1000)
    with pytest.raises(SetupError, match="deleted without loss"):
        Journal(tmp_path, "arn", "monday")
