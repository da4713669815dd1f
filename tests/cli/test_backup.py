"""``recognizance backup`` and ``recognizance restore``."""

from __future__ import annotations

import os
import signal
import stat
import time
from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import Cli

from recognizance.governance import keyfile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Program

pytestmark = pytest.mark.usefixtures("portraits")


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """A data folder with a collection, a face and an access key."""
    cli("collections", "create", "people")
    cli("keys", "create", "--role", "administrator")
    return cli


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'other' / 'x.db'}"
        return
    server = request.getfixturevalue("postgresql")
    found = server.create(empty=True)
    yield found
    server.drop(found)


def test_what_was_backed_up_is_restored_with_keys_that_work(filled: Cli, tmp_path: Path, portraits: Path) -> None:
    filled("index", portraits, "--collection", "people")
    wanted = filled.json("search", portraits / "obama.jpg", "-c", "people")
    written = filled.json("backup", tmp_path / "b")
    assert written["rows"]["collections"] == 1
    assert written["rows"]["faces"] > 0
    assert written["key_file"]
    restored = Cli(tmp_path / "new")
    assert restored.json("restore", tmp_path / "b")["rows"] == written["rows"]
    assert restored.json("collections", "describe", "people") == filled.json("collections", "describe", "people")
    assert restored.json("keys", "list") == filled.json("keys", "list")
    assert restored.json("search", portraits / "obama.jpg", "-c", "people") == wanted
    key = restored.data / keyfile.NAME
    assert key.read_bytes() == (filled.data / keyfile.NAME).read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert restored.json("index", portraits, "--collection", "people")["faces_added"] == 0


def test_a_collection_moves_to_another_kind_of_database_and_back(filled: Cli, tmp_path: Path, url: str) -> None:
    filled("backup", tmp_path / "b.zip")
    there = Cli(tmp_path / "there")
    there("restore", tmp_path / "b.zip", "--database-url", url)
    assert sorted(path.name for path in there.data.iterdir()) == [keyfile.NAME]
    there("backup", tmp_path / "back.zip", "--database-url", url)
    here = Cli(tmp_path / "here")
    here("restore", tmp_path / "back.zip")
    assert here.json("collections", "list") == filled.json("collections", "list")


def test_the_key_file_is_spoken_of_loudly(filled: Cli, tmp_path: Path) -> None:
    for more in ((), ("--json",)):
        said = " ".join(filled("backup", tmp_path / f"b{len(more)}", *more).stderr.split())
        assert "This backup holds the key file: whoever can read it can use every access key" in said
    said = " ".join(filled("backup", tmp_path / "without", "--without-keys").stderr.split())
    assert "The key file is not in it" in said
    assert not (tmp_path / "without" / keyfile.NAME).exists()


def test_a_backup_without_the_key_file_says_how_to_go_on(filled: Cli, tmp_path: Path) -> None:
    filled("backup", tmp_path / "b", "--without-keys")
    restored = Cli(tmp_path / "new")
    assert "keys reset" in restored("restore", tmp_path / "b").stderr
    assert "is lost" in restored.refused("keys", "list")
    (restored.data / keyfile.NAME).write_bytes((filled.data / keyfile.NAME).read_bytes())
    (restored.data / keyfile.NAME).chmod(0o600)
    assert restored.json("keys", "list") == filled.json("keys", "list")


def test_the_same_key_file_may_be_there_before_and_another_may_not(filled: Cli, tmp_path: Path) -> None:
    filled("backup", tmp_path / "b")
    restored = Cli(tmp_path / "new")
    keyfile.make(restored.data / keyfile.NAME)
    assert "another key file" in restored.refused("restore", tmp_path / "b")
    assert [path.name for path in restored.data.iterdir()] == [keyfile.NAME]
    (restored.data / keyfile.NAME).write_bytes((filled.data / keyfile.NAME).read_bytes())
    restored("restore", tmp_path / "b")
    assert restored.json("keys", "list") == filled.json("keys", "list")


@pytest.mark.parametrize("name", ["recognizance.db", "index-journal.db", "cache"])
def test_a_data_folder_that_was_used_is_refused(filled: Cli, tmp_path: Path, name: str) -> None:
    filled("backup", tmp_path / "b")
    restored = Cli(tmp_path / "new")
    restored.data.mkdir()
    (restored.data / name).touch()
    (restored.data / "recognizance.toml").touch()
    assert f"has been used: it has {name}" in restored.refused("restore", tmp_path / "b")
    (restored.data / name).unlink()
    restored("restore", tmp_path / "b")


def test_a_backup_is_checked_without_being_restored(filled: Cli, tmp_path: Path) -> None:
    filled("backup", tmp_path / "b")
    nowhere = Cli(tmp_path / "nowhere")
    assert nowhere.json("restore", tmp_path / "b", "--check")["whole"]
    assert "is whole" in nowhere("restore", tmp_path / "b", "--check").stderr
    path = tmp_path / "b" / "faces.parquet"
    path.write_bytes(path.read_bytes()[:-5] + b"x" + path.read_bytes()[-4:])
    assert "faces.parquet is not what was written" in nowhere.refused("restore", tmp_path / "b", "--check")
    assert not nowhere.data.exists()


def test_a_name_that_is_taken_is_refused(filled: Cli, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert "exists already" in filled.refused("backup", tmp_path / "b")
    assert "There is no database" in Cli(tmp_path / "none").refused("backup", tmp_path / "c")


def kill_when(program: Program, sign: Path, *arguments: str | Path) -> bool:
    """Start the program, kill it as soon as a file appears, and return whether it was still running."""
    with program.start(*arguments) as process:
        until = time.monotonic() + 120
        while not sign.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        alive = process.poll() is None
        os.kill(process.pid, signal.SIGKILL) if alive else None
        process.communicate()
    return alive


def test_a_backup_that_is_killed_is_never_taken_for_a_whole_one(filled: Cli, program: Program, tmp_path: Path) -> None:
    partial = tmp_path / "b.partial"
    assert kill_when(program, partial / "access_keys.parquet", "backup", tmp_path / "b", "--data", filled.data)
    assert not (tmp_path / "b").exists()
    assert "not a whole backup" in filled.refused("restore", partial, "--check")
    filled("backup", tmp_path / "b")
    assert not partial.exists()
    assert filled.json("restore", tmp_path / "b", "--check")["whole"]


def test_a_restore_that_is_killed_can_be_done_again(filled: Cli, program: Program, tmp_path: Path) -> None:
    filled("backup", tmp_path / "b")
    restored = Cli(tmp_path / "new")
    draft = restored.data / "recognizance.db.restoring"
    assert kill_when(program, draft, "restore", tmp_path / "b", "--data", restored.data)
    assert not (restored.data / "recognizance.db").exists()
    restored("restore", tmp_path / "b")
    assert not draft.exists()
    assert restored.json("collections", "list") == filled.json("collections", "list")
