"""Files and folders that are whole or not there."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

import pytest

from recognizance.core.errors import SetupError
from recognizance.storage.atomic import new_file, new_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    New = Callable[[Path], AbstractContextManager[object]]


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    with new_file(tmp_path / "x") as file:
        file.write(b"whole")
        file.flush()
        assert [path.name for path in tmp_path.iterdir()] == ["x.partial"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_a_folder_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "x") as folder:
        (folder / "inside").write_bytes(b"whole")
        assert [path.name for path in tmp_path.iterdir()] == ["x.partial"]
    assert (tmp_path / "x" / "inside").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700


@pytest.mark.parametrize("new", [new_file, new_folder])
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_fails_leaves_nothing(tmp_path: Path, new: New, error: BaseException) -> None:
    expected = SetupError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), new(tmp_path / "x"):
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_nothing_is_overwritten(tmp_path: Path, new: New) -> None:
    (tmp_path / "x").write_text("precious")
    with pytest.raises(SetupError, match="exists already"), new(tmp_path / "x"):
        pass
    assert (tmp_path / "x").read_text() == "precious"


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_what_another_process_made_meanwhile_is_not_overwritten(tmp_path: Path, new: New) -> None:
    with pytest.raises(SetupError, match="meanwhile"), new(tmp_path / "x"):
        (tmp_path / "x").write_text("precious")
    assert (tmp_path / "x").read_text() == "precious"
    assert not (tmp_path / "x.partial").exists()


def test_what_a_crash_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "f.partial").write_bytes(b"longer than what is written now")
    with new_file(tmp_path / "f") as file:
        file.write(b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    (tmp_path / "d.partial" / "deep").mkdir(parents=True)
    (tmp_path / "d.partial" / "old").touch()
    (tmp_path / "d.partial" / "link").symlink_to(tmp_path / "f")
    with new_folder(tmp_path / "d") as folder:
        assert list(folder.iterdir()) == []
    assert (tmp_path / "f").exists()


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_two_processes_do_not_write_to_one_path(tmp_path: Path, new: New) -> None:
    partial = tmp_path / "x.partial"
    if new is new_folder:
        partial.mkdir()
    else:
        partial.touch()
    handle = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(SetupError, match="Another process"), new(tmp_path / "x"):
            pass
        assert partial.exists()
    finally:
        os.close(handle)


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, new: New) -> None:
    with pytest.raises(SetupError, match="nowhere/x cannot be written: No such file"), new(tmp_path / "nowhere" / "x"):
        pass
