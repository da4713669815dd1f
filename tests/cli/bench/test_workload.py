"""The pictures to measure with."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from recognizance.cli.bench.workload import make_workload
from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.image import decode

if TYPE_CHECKING:
    from pathlib import Path

    from recognizance.cli.bench.workload import Workload
    from recognizance.vision.analyser import FaceAnalyser


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return image.size


def test_portraits_are_cut_around_the_faces_of_the_demonstration_pictures(
    workload: Workload, analyser: FaceAnalyser
) -> None:
    assert len(workload.portraits) == 12
    assert len(set(workload.portraits)) == 12
    for data in workload.portraits:
        assert _size(data) == (250, 250)
        (x1, y1, x2, y2), *_ = analyser.detect(decode(data)).boxes
        assert min(x2 - x1, y2 - y1) > 50
        assert min(x1, y1) > -10
        assert max(x2, y2) < 260


def test_photographs_have_a_long_side_of_1280_pixels(workload: Workload) -> None:
    assert workload.photos
    assert {max(_size(data)) for data in workload.photos} == {1280}


def test_a_hundred_faces_are_in_one_picture(workload: Workload, analyser: FaceAnalyser) -> None:
    assert _size(workload.hundred) == (1280, 1280)
    assert len(analyser.detect(decode(workload.hundred))) > 90


def test_the_pictures_are_the_same_every_time(workload: Workload, analyser: FaceAnalyser) -> None:
    assert make_workload(analyser, Settings(), None, 12) == workload


def test_a_folder_gives_its_portraits_as_they_are_and_larger_pictures_cut(
    workload: Workload, analyser: FaceAnalyser, portraits: Path, tmp_path: Path
) -> None:
    """A broken file and one without a face are passed over."""
    folder = tmp_path / "people"
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "a.jpg").write_bytes(workload.portraits[0])
    shutil.copy(portraits / "obama.jpg", folder / "b.JPG")
    (folder / "c.jpg").write_bytes(b"no picture")
    Image.new("RGB", (300, 300), "white").save(folder / "d.png")
    made = make_workload(analyser, Settings(), folder, 10)
    assert workload.portraits[0] in made.portraits
    assert [_size(data) for data in made.portraits] == [(250, 250), (250, 250)]
    assert made.source == "the folder people"
    assert _size(made.photos[-1]) == (1280, 1024)


def test_a_large_folder_is_sampled_evenly(workload: Workload, analyser: FaceAnalyser, tmp_path: Path) -> None:
    for number, data in enumerate(workload.portraits):
        (tmp_path / f"{number:02}.jpg").write_bytes(data)
    made = make_workload(analyser, Settings(), tmp_path, 4)
    assert made.portraits == workload.portraits[::3]


def test_a_folder_without_pictures_is_named(analyser: FaceAnalyser, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no pictures"):
        make_workload(analyser, Settings(), tmp_path, 4)


def test_a_folder_without_faces_is_named(analyser: FaceAnalyser, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), "white").save(tmp_path / "white.jpg")
    with pytest.raises(SetupError, match="No faces"):
        make_workload(analyser, Settings(), tmp_path, 4)
