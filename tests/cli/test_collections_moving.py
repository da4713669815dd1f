"""``recognizance collections`` export, import, verify, rebuild and compact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import Cli

from recognizance.collections.galleries import Galleries

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def filled(cli: Cli, portraits: Path) -> Cli:
    """A data folder with the faces of the demonstration pictures."""
    cli("index", portraits, "--collection", "people", "--create")
    return cli


def test_a_collection_moves_to_another_data_folder(filled: Cli, tmp_path: Path, portraits: Path) -> None:
    wanted = filled.json("search", portraits / "obama.jpg", "-c", "people")
    written = filled.json("collections", "export", "people", tmp_path / "x.parquet")
    assert written["users_file"] is None
    other = Cli(tmp_path / "other")
    done = other.json("collections", "import", tmp_path / "x.parquet")
    assert (done["collection"], done["created"], done["faces_added"]) == ("people", True, written["faces"])
    assert other.json("search", portraits / "obama.jpg", "-c", "people") == wanted
    again = other.json("collections", "import", tmp_path / "x.parquet")
    assert (again["created"], again["faces_added"], again["faces_already_there"]) == (False, 0, written["faces"])
    assert "were there already" in other("collections", "import", tmp_path / "x.parquet", "-c", "copy").stderr
    assert len(other.json("collections", "list")) == 2


def test_what_cannot_be_exported_or_imported_is_refused(filled: Cli, tmp_path: Path) -> None:
    assert "nowhere" in filled.refused("collections", "export", "nowhere", tmp_path / "x.parquet")
    filled("collections", "export", "people", tmp_path / "x.parquet")
    assert "exists already" in filled.refused("collections", "export", "people", tmp_path / "x.parquet")
    assert "regular expression" in filled.refused("collections", "import", tmp_path / "x.parquet", "-c", "no blanks")
    (tmp_path / "y.parquet").write_bytes((tmp_path / "x.parquet").read_bytes()[:-100])
    assert "cannot be read as Parquet" in filled.refused("collections", "import", tmp_path / "y.parquet")
    assert "There is no file" in filled.refused("collections", "import", tmp_path / "z.parquet")


def test_the_index_of_every_collection_is_verified(filled: Cli) -> None:
    filled("collections", "create", "empty")
    empty, people = sorted(filled.json("collections", "verify"), key=lambda one: str(one["collection"]))
    assert (empty["sound"], empty["faces"], empty["recall_at_1"]) == (True, 0, None)
    assert people["sound"]
    assert people["faces"] == filled.json("collections", "describe", "people")["FaceCount"]
    assert (people["missing"], people["different"], people["superfluous"]) == (0, 0, 0)
    assert people["recall_at_1"] == 1
    assert "sound" in filled("collections", "verify", "people").stdout
    assert "nowhere" in filled.refused("collections", "verify", "nowhere")


@pytest.mark.parametrize("command", ["verify", "rebuild", "compact"])
def test_more_collections_than_files_may_be_open_are_looked_after(
    filled: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Each is let go of before the next one's turn."""
    filled("collections", "create", "other")
    kept: list[int] = []
    forget = Galleries.forget

    def count(galleries: Galleries, collection_pk: int) -> None:
        kept.append(len(galleries.loaded()))
        forget(galleries, collection_pk)

    monkeypatch.setattr(Galleries, "forget", count)
    filled("collections", command)
    assert kept == [1, 1]


def test_an_index_is_rebuilt_and_compacted(filled: Cli, portraits: Path) -> None:
    wanted = filled.json("search", portraits / "obama.jpg", "-c", "people")
    for command in ("rebuild", "compact"):
        assert filled.json("collections", command) == {"collections": ["people"]}
        assert "people." in filled("collections", command, "people").stderr
        assert filled.json("search", portraits / "obama.jpg", "-c", "people") == wanted
        assert "nowhere" in filled.refused("collections", command, "nowhere")
    assert "There are no collections" in Cli(filled.data.with_name("none"))("collections", "compact").stderr
