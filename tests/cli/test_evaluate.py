"""``recognizance evaluate verification`` on a small set of real portraits."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

PEOPLE = {"obama": ["obama.jpg", "obama2.jpg", "obama3.jpg"], "biden": ["biden.jpg"]}


@pytest.fixture
def images(portraits: Path, tmp_path: Path) -> Path:
    """Two people in folders of their own, one with a mirrored picture too, and a picture without a face."""
    root = tmp_path / "images"
    for person, names in PEOPLE.items():
        (root / person).mkdir(parents=True)
        for name in names:
            shutil.copy(portraits / name, root / person / name)
    with Image.open(portraits / "biden.jpg") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "biden" / "mirrored.jpg")
    (root / "nobody").mkdir()
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(root / "nobody" / "wall.png")
    return root


def listed(folder: Path, *rows: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("first,second,same\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_pairs_of_one_person_and_of_two_are_told_apart(cli: Cli, images: Path, tmp_path: Path) -> None:
    pairs = listed(
        tmp_path,
        "obama/obama.jpg,obama/obama2.jpg,1",
        "obama/obama2.jpg,obama/obama3.jpg,1",
        "biden/biden.jpg,biden/mirrored.jpg,1",
        "obama/obama.jpg,biden/biden.jpg,0",
        "obama/obama3.jpg,biden/mirrored.jpg,0",
    )
    report = cli.json("evaluate", "verification", "--images", images, "--pairs", pairs, "--contract", "core")
    assert report["contract"] == "core"
    assert report["pictures"] == 6
    assert report["pairs"] == 5
    assert report["failures_to_detect"] == ["nobody/wall.png"]
    assert (report["mated_pairs"], report["non_mated_pairs"]) == (4, 6)
    assert report["auc"] == 1
    assert report["eer"] == 0
    assert report["fmr_at_similarity"] == {"80": 0, "90": 0, "99": 0}
    assert report["fnmr_at_similarity"]["80"] == 0
    # Six pairs of strangers cannot show a rate of one in a hundred.
    assert report["tar_at_fmr"] == {"1e-2": None, "1e-3": None, "1e-4": None, "1e-5": None}


def test_a_pair_with_a_picture_without_a_face_counts_as_missed(cli: Cli, images: Path, tmp_path: Path) -> None:
    pairs = listed(
        tmp_path,
        "obama/obama.jpg,obama/obama2.jpg,1",
        "obama/obama.jpg,nobody/wall.png,1",
        "obama/obama.jpg,biden/biden.jpg,0",
    )
    report = cli.json("evaluate", "verification", "--images", images, "--pairs", pairs)
    assert report["pairs_tar_at_fmr"] == {"1e-2": 0.5, "1e-3": 0.5}
    shown = cli("evaluate", "verification", "--images", images, "--pairs", pairs).stdout
    assert "no face found in 1" in shown
    assert "found at FMR 1e-4" in shown


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["obama/obama.jpg,obama/obama2.jpg,1"], "same = 0"),
        (["obama/obama.jpg,obama/obama2.jpg,1", "obama/obama.jpg,gone.jpg,0"], "the first is gone.jpg"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(
    cli: Cli, images: Path, tmp_path: Path, rows: list[str], complaint: str
) -> None:
    pairs = listed(tmp_path, *rows)
    assert complaint in cli.refused("evaluate", "verification", "--images", images, "--pairs", pairs)


def test_a_list_with_other_columns_is_refused(cli: Cli, images: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("a,b\n1,2\n")
    assert "first, second, same" in cli.refused("evaluate", "verification", "--images", images, "--pairs", pairs)


@pytest.mark.usefixtures("portraits")
def test_a_folder_without_pictures_is_refused(cli: Cli, tmp_path: Path) -> None:
    pairs = listed(tmp_path, "a.jpg,b.jpg,1", "a.jpg,c.jpg,0")
    (tmp_path / "empty").mkdir()
    said = cli.refused("evaluate", "verification", "--images", tmp_path / "empty", "--pairs", pairs)
    assert "holds no JPEG or PNG" in said
