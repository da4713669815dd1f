"""The files of a folder, whatever lies in there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from recognizance.cli.indexing.walk import File, Unreadable, walk

if TYPE_CHECKING:
    from pathlib import Path


def _names(folder: Path) -> list[str]:
    return sorted(str(found.path.relative_to(folder)) for found in walk(folder) if isinstance(found, File))


def test_files_of_every_depth_are_found_with_size_and_time(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "one.jpg").write_bytes(b"123")
    os.utime(deep / "one.jpg", ns=(5, 7))
    assert list(walk(tmp_path)) == [File(deep / "one.jpg", 3, 7)]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.jpg").write_bytes(b"1")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a" / "one.jpg")
    names = _names(tmp_path)
    assert "link.jpg" in names
    assert len(names) == 2, "no folder is entered twice"


def test_what_cannot_be_looked_at_is_told_and_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "one.jpg").write_bytes(b"1")
    told = {found.path.name for found in walk(tmp_path) if isinstance(found, Unreadable)}
    assert told == {"gone.jpg", "self.jpg"}
    assert _names(tmp_path) == ["one.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    try:
        assert [found.path for found in walk(tmp_path)] == [closed]
    finally:
        closed.chmod(0o700)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    (found,) = walk(tmp_path / "nowhere")
    assert isinstance(found, Unreadable)


def test_hidden_files_pipes_and_sockets_are_left_out(tmp_path: Path) -> None:
    """A pipe in particular: to open it would wait for a writer for ever."""
    (tmp_path / ".hidden.jpg").write_bytes(b"1")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "two.jpg").write_bytes(b"1")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert list(walk(tmp_path)) == []


def test_names_that_are_no_text_are_found(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    with open(name, "wb") as file:  # noqa: PTH123 - bytes are no path
        file.write(b"1")
    (found,) = walk(tmp_path)
    assert os.fsencode(found.path) == name
