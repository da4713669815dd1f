"""``recognizance detect``, ``compare`` and ``search`` on real pictures."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageChops

from recognizance.cli._output import similarity_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli


pytestmark = pytest.mark.usefixtures("portraits")


@pytest.fixture
def pair(portraits: Path, tmp_path: Path) -> Path:
    """A picture of Obama and, smaller, of Biden."""
    with Image.open(portraits / "obama2.jpg") as one, Image.open(portraits / "biden.jpg") as other:
        both = Image.new("RGB", (one.width + 528, one.height), "white")
        both.paste(one, (0, 0))
        both.paste(other.resize((528, 1200)), (one.width, 0))
    both.save(tmp_path / "pair.png")
    return tmp_path / "pair.png"


@pytest.fixture
def people(cli: Cli, portraits: Path, tmp_path: Path) -> str:
    """A collection with one portrait of each."""
    folder = tmp_path / "people"
    folder.mkdir()
    for name in ("obama.jpg", "biden.jpg"):
        shutil.copy(portraits / name, folder / name)
    cli("index", folder, "--collection", "people", "--create", "--external-id", "stem")
    return "people"


def test_detect_describes_every_face_the_largest_first(cli: Cli, pair: Path) -> None:
    found = cli.json("detect", pair)["FaceDetails"]
    assert len(found) == 2
    left = [face["BoundingBox"]["Left"] for face in found]
    assert left[0] < 0.5 < left[1]
    shown = cli("detect", pair)
    assert "2 faces found" in shown.stderr
    assert f"{found[0]['Confidence']:.1f} %" in shown.stdout


def test_detect_draws_each_face_where_it_is(cli: Cli, pair: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    faces = cli.json("detect", pair, "--draw", target)["FaceDetails"]
    with Image.open(target) as drawn, Image.open(pair) as plain:
        changed = ImageChops.difference(drawn.convert("L"), plain.convert("L").resize(drawn.size))
        for face in faces:
            box = face["BoundingBox"]
            edge = (box["Left"] * drawn.width, (box["Top"] + box["Height"] / 2) * drawn.height)
            strip = changed.crop((round(edge[0]) - 6, round(edge[1]) - 3, round(edge[0]) + 6, round(edge[1]) + 3))
            assert np.asarray(strip).max() > 20


def test_a_picture_without_faces_is_no_error(cli: Cli, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), "grey").save(tmp_path / "grey.png")
    assert cli.json("detect", tmp_path / "grey.png") == {"FaceDetails": []}
    assert "0 faces found" in cli("detect", tmp_path / "grey.png").stderr


def test_compare_tells_the_same_person_from_another(cli: Cli, portraits: Path, pair: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    found = cli.json("compare", portraits / "obama.jpg", pair, "--draw", target)
    (match,) = found["FaceMatches"]
    (other,) = found["UnmatchedFaces"]
    assert match["Similarity"] > 90
    assert match["Face"]["BoundingBox"]["Left"] < 0.5 < other["BoundingBox"]["Left"]
    with Image.open(target) as drawn:
        assert drawn.width > drawn.height
    shown = cli("compare", portraits / "obama.jpg", pair).stdout
    assert f"{similarity_text(match['Similarity'])}  match" in shown
    assert "no match" in shown


def test_compare_at_another_threshold(cli: Cli, portraits: Path, pair: Path) -> None:
    found = cli.json("compare", portraits / "obama.jpg", pair, "--threshold", "0")
    assert len(found["FaceMatches"]) == 2


def test_compare_names_the_picture_without_a_face(cli: Cli, portraits: Path, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), "grey").save(tmp_path / "grey.png")
    assert "grey.png" in cli.refused("compare", portraits / "obama.jpg", tmp_path / "grey.png")
    assert "grey.png" in cli.refused("compare", tmp_path / "grey.png", portraits / "obama.jpg")


def test_search_finds_the_largest_face(cli: Cli, people: str, pair: Path) -> None:
    (face,) = cli.json("search", pair, "--collection", people)["Faces"]
    assert [match["Face"]["ExternalImageId"] for match in face["FaceMatches"]] == ["obama"]
    assert "obama" in cli("search", pair, "--collection", people).stdout


def test_search_of_all_faces_finds_everybody(cli: Cli, people: str, pair: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    found = cli.json("search", pair, "--collection", people, "--all-faces", "--draw", target)["Faces"]
    assert [face["FaceMatches"][0]["Face"]["ExternalImageId"] for face in found] == ["obama", "biden"]
    assert target.stat().st_size > 10_000
    shown = cli("search", pair, "--collection", people, "--all-faces").stdout
    assert shown.index("obama") < shown.index("Face 2") < shown.index("biden")


def test_search_says_when_nobody_resembles_a_face(cli: Cli, pair: Path) -> None:
    cli("collections", "create", "nobody")
    assert (
        "Nobody with a similarity of 95 or more"
        in cli("search", pair, "--collection", "nobody", "--threshold", "95").stdout
    )


def test_search_of_a_picture_without_faces_finds_none(cli: Cli, people: str, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), "grey").save(tmp_path / "grey.png")
    assert cli.json("search", tmp_path / "grey.png", "--collection", people)["Faces"] == []
    assert "No face" in cli("search", tmp_path / "grey.png", "--collection", people).stderr


def test_search_gives_as_many_matches_as_asked_for(cli: Cli, people: str, pair: Path) -> None:
    (face,) = cli.json("search", pair, "--collection", people, "--threshold", "0", "--max-faces", "1")["Faces"]
    assert len(face["FaceMatches"]) == 1


@pytest.mark.parametrize(
    "arguments", [("detect", "{}"), ("compare", "{}", "{}"), ("search", "{}", "--collection", "people")]
)
def test_a_file_that_is_no_picture_is_named(cli: Cli, people: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert people
    (tmp_path / "notes.txt").write_text("not a picture")
    words = [word.format(tmp_path / "notes.txt") for word in arguments]
    assert "notes.txt is not a JPEG or PNG" in cli.refused(*words)


def test_a_file_that_does_not_exist_is_named(cli: Cli, tmp_path: Path) -> None:
    assert "nowhere.jpg cannot be read" in cli.refused("detect", tmp_path / "nowhere.jpg")


def test_a_drawing_that_cannot_be_written_is_named(cli: Cli, portraits: Path, tmp_path: Path) -> None:
    assert "out.nothing" in cli.refused("detect", portraits / "obama.jpg", "--draw", tmp_path / "out.nothing")


def test_without_models_the_command_that_installs_them_is_named(cli: Cli, portraits: Path, tmp_path: Path) -> None:
    said = cli.refused("detect", portraits / "obama.jpg", "--models", tmp_path / "none")
    assert "recognizance models pull" in said
