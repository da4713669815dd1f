"""``recognizance index`` on real pictures."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from recognizance.cli.indexing.journal import NAME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli, Program


@pytest.fixture
def album(portraits: Path, tmp_path: Path) -> Path:
    """Good, bad, double, nested and hidden files, and one that is no picture."""
    folder = tmp_path / "album"
    (folder / "Joe Biden").mkdir(parents=True)
    (folder / "Barack Obama" / "official").mkdir(parents=True)
    shutil.copy(portraits / "biden.jpg", folder / "Joe Biden" / "1.jpg")
    shutil.copy(portraits / "obama.jpg", folder / "Barack Obama" / "official" / "1.jpg")
    shutil.copy(portraits / "obama.jpg", folder / "Barack Obama" / "official" / "double.jpg")
    shutil.copy(portraits / "32bit.png", folder / "Barack Obama" / "misnamed.dat")
    (folder / "cut.jpg").write_bytes((portraits / "obama.jpg").read_bytes()[:5000])
    (folder / "text.png").write_text("not a picture")
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.jpg").write_bytes((portraits / "obama2.jpg").read_bytes())
    Image.new("RGB", (40, 40)).save(folder / "small.png")
    Image.new("RGB", (320, 240), "grey").save(folder / "nobody.png")
    (folder / "loop").symlink_to(folder)
    return folder


def _faces(cli: Cli, collection: str = "people") -> list[dict[str, Any]]:
    from recognizance.cli._session import open_session
    from recognizance.core.settings import load_settings

    with open_session(load_settings(data=cli.data)) as session:
        faces: list[dict[str, Any]] = session.call("ListFaces", CollectionId=collection)["Faces"]
    return faces


def test_a_folder_is_indexed_and_nothing_is_done_twice(cli: Cli, album: Path) -> None:
    done = cli.json("index", album, "--collection", "people", "--create")
    assert done["refused"] == {"InvalidImageFormatException": 2, "InvalidParameterException": 1, "NoFaceFound": 1}
    assert (done["pictures_indexed"], done["faces_added"], done["other_files"], done["files_skipped"]) == (4, 4, 1, 0)
    assert done["face_count"] == 4
    named = sorted(face["ExternalImageId"] for face in _faces(cli))
    assert named == ["1.jpg", "1.jpg", "double.jpg", "misnamed.dat"]

    again = cli.json("index", album, "--collection", "people")
    assert (again["pictures_indexed"], again["files_skipped"], again["face_count"]) == (0, 9, 4)
    assert again["refused"] == done["refused"]

    shutil.copy(album / "Joe Biden" / "1.jpg", album / "nobody.png")
    changed = cli.json("index", album, "--collection", "people")
    assert (changed["pictures_indexed"], changed["files_skipped"], changed["face_count"]) == (1, 8, 5)


def test_faces_are_those_that_the_api_would_have_stored(cli: Cli, album: Path) -> None:
    """The same ids: so a folder indexed through both roads is stored once."""
    from recognizance.cli._session import open_session
    from recognizance.core.settings import load_settings

    cli("index", album / "Joe Biden", "--collection", "people", "--create")
    with open_session(load_settings(data=cli.data)) as session:
        answer = session.call(
            "IndexFaces",
            CollectionId="people",
            Image={"Bytes": (album / "Joe Biden" / "1.jpg").read_bytes()},
            ExternalImageId="1.jpg",
        )
    assert [record["Face"] for record in answer["FaceRecords"]] == _faces(cli)


def test_several_processes_store_what_one_would(cli: Cli, album: Path) -> None:
    cli("index", album, "--collection", "one", "--create")
    done = cli.json("index", album, "--collection", "several", "--create", "--processes", "2")
    assert (done["pictures_indexed"], done["refused"]["InvalidImageFormatException"]) == (4, 2)
    ids = [[face["FaceId"] for face in _faces(cli, name)] for name in ("one", "several")]
    assert sorted(ids[0]) == sorted(ids[1])


def test_a_double_under_the_same_name_is_stored_once(cli: Cli, album: Path) -> None:
    done = cli.json("index", album, "--collection", "people", "--create", "--external-id", "folder")
    assert (done["pictures_indexed"], done["faces_added"], done["faces_already_there"]) == (4, 3, 1)
    named = sorted(face["ExternalImageId"] for face in _faces(cli))
    assert named == ["Barack_Obama", "Joe_Biden", "official"]


def test_without_names_faces_have_none(cli: Cli, album: Path) -> None:
    cli("index", album / "Joe Biden", "--collection", "people", "--create", "--external-id", "none")
    assert [face.get("ExternalImageId") for face in _faces(cli)] == [None]


def test_a_collection_made_anew_is_filled_anew(cli: Cli, album: Path) -> None:
    folder = album / "Joe Biden"
    cli("index", folder, "--collection", "people", "--create")
    cli("collections", "delete", "people", "--yes")
    assert cli.json("index", folder, "--collection", "people", "--create")["face_count"] == 1


def test_deleted_faces_come_back_when_everything_is_done_again(cli: Cli, album: Path) -> None:
    from recognizance.cli._session import open_session
    from recognizance.core.settings import load_settings

    cli("index", album / "Joe Biden", "--collection", "people", "--create")
    with open_session(load_settings(data=cli.data)) as session:
        session.call("DeleteFaces", CollectionId="people", FaceIds=[face["FaceId"] for face in _faces(cli)])
    assert cli.json("index", album / "Joe Biden", "--collection", "people")["face_count"] == 0
    assert cli.json("index", album / "Joe Biden", "--collection", "people", "--again")["face_count"] == 1


def test_the_report_lists_every_refused_file_with_its_reason(cli: Cli, album: Path, tmp_path: Path) -> None:
    report = tmp_path / "refused.csv"
    for _ in range(2):  # the second run knows them from the first
        shown = cli("index", album, "--collection", "people", "--create", "--report", report).stdout
        rows = list(csv.DictReader(io.StringIO(report.read_text())))
        assert {os.path.basename(row["path"]): row["code"] for row in rows} == {  # noqa: PTH119 - text, no path
            "cut.jpg": "InvalidImageFormatException",
            "text.png": "InvalidImageFormatException",
            "small.png": "InvalidParameterException",
            "nobody.png": "NoFaceFound",
        }
        assert "not a JPEG or PNG, or damaged" in shown


def test_the_quality_filter_decides_what_is_stored(cli: Cli, portraits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dark"
    folder.mkdir()
    with Image.open(portraits / "obama.jpg") as image:
        image.point(lambda value: value // 5).save(folder / "dark.png")
    strict = cli.json("index", folder, "--collection", "people", "--create", "--quality-filter", "high")
    assert strict["refused"] == {"FacesRejected": 1}
    assert strict["faces_rejected"]["LOW_BRIGHTNESS"] == 1
    assert cli.json("index", folder, "--collection", "people", "--quality-filter", "none")["face_count"] == 1


def test_a_collection_that_does_not_exist_is_made_only_when_asked(cli: Cli, album: Path) -> None:
    assert "--create" in cli.refused("index", album, "--collection", "people")


def test_a_folder_that_was_moved_and_renamed_files_are_known_by_content(cli: Cli, album: Path) -> None:
    done = cli.json("index", album, "--collection", "people", "--create")
    moved = album.rename(album.with_name("moved"))
    (moved / "Joe Biden" / "1.jpg").rename(moved / "Joe Biden" / "joe.jpg")
    again = cli.json("index", moved, "--collection", "people")
    assert (again["pictures_indexed"], again["pictures_renamed"], again["faces_added"]) == (1, 1, 1)
    assert (again["files_skipped"], again["other_files"], again["face_count"]) == (6, 1, 5)
    assert again["refused"] == done["refused"] | {"Unreadable": 1}  # the link to the folder leads nowhere now
    named = sorted(face["ExternalImageId"] for face in _faces(cli))
    assert named == ["1.jpg", "1.jpg", "double.jpg", "joe.jpg", "misnamed.dat"]


def test_what_is_no_folder_is_named(cli: Cli, album: Path) -> None:
    assert "notes.txt is neither a folder nor" in cli.refused("index", album / "notes.txt", "--collection", "people")


def test_an_interrupted_run_ends_at_once_and_goes_on_when_repeated(
    program: Program, cli: Cli, portraits: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    with Image.open(portraits / "obama.jpg") as image:
        picture = image.resize((273, 341))
    for number in range(110):
        picture.save(folder / f"{number}.jpg", quality=60 + number % 30)
    arguments = ("index", folder, "--collection", "people", "--create", "--data", cli.data, "--json")
    with program.start(*arguments) as process:
        try:
            while process.poll() is None and not _journalled(cli.data):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "run the same command again" in stderr
    assert "Traceback" not in stderr

    done = _journalled(cli.data)
    repeated = program(*arguments)
    assert repeated.returncode == 0, repeated.stderr
    summary = json.loads(repeated.stdout)
    assert summary["files_skipped"] == done
    assert 0 < done < 110
    assert summary["pictures_indexed"] == 110 - done
    assert summary["face_count"] == 110


def _journalled(data: Path) -> int:
    """Return how many files the journal of a run in another process holds."""
    if not (data / NAME).exists():
        return 0
    with closing(sqlite3.connect(f"file:{data / NAME}?mode=ro", uri=True)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM files").fetchone()
        except sqlite3.OperationalError:  # its tables are being made
            return 0
    return int(count)
