"""Pictures with what was found drawn in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from recognizance.cli import draw
from recognizance.cli._output import similarity_text
from recognizance.cli.draw import Mark, annotate
from recognizance.core.errors import InvalidImageFormatError, SetupError

if TYPE_CHECKING:
    from pathlib import Path

GREEN = draw.PALETTE[0]


def coloured(image: Image.Image) -> int:
    """Return how many pixels are not white."""
    return int((np.asarray(image) != 255).any(axis=2).sum())


@pytest.mark.parametrize(
    ("size", "longest"), [((80, 80), 960), ((250, 250), 960), ((1200, 800), 1200), ((80, 8000), 1920)]
)
def test_a_picture_is_brought_to_a_size_that_can_be_read(size: tuple[int, int], longest: int) -> None:
    drawn = annotate(Image.new("RGB", size), [])
    assert max(drawn.size) == longest
    assert drawn.width / drawn.height == pytest.approx(size[0] / size[1], rel=0.06)


def test_a_box_is_drawn_in_its_colour_at_its_place() -> None:
    drawn = annotate(Image.new("RGB", (1000, 1000), "white"), [Mark((0.25, 0.25, 0.5, 0.5), GREEN)])
    assert drawn.getpixel((252, 500)) == GREEN
    assert drawn.getpixel((500, 747)) == GREEN
    assert drawn.getpixel((500, 500)) == (255, 255, 255)
    assert drawn.getpixel((100, 100)) == (255, 255, 255)


def test_landmarks_are_drawn_where_they_are() -> None:
    plain = Image.new("RGB", (1000, 1000), "black")
    drawn = annotate(plain, [Mark((0.25, 0.25, 0.5, 0.5), GREEN, landmarks=((0.4, 0.45),))])
    assert drawn.getpixel((400, 450)) == (255, 255, 255)


@given(
    left=st.floats(-0.3, 1.2),
    top=st.floats(-0.3, 1.2),
    width=st.floats(0.001, 1.5),
    height=st.floats(0.001, 1.5),
    title=st.text(max_size=80),
)
def test_a_face_anywhere_and_a_name_of_any_kind_can_be_drawn(
    left: float, top: float, width: float, height: float, title: str
) -> None:
    drawn = annotate(Image.new("RGB", (120, 90)), [Mark((left, top, width, height), GREEN, title, "99.90")])
    assert drawn.size == (960, 720)


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 0.2, 0.2), (0.8, 0.8, 0.2, 0.2), (0.0, 0.4, 1.0, 0.6), (0.9, 0.0, 0.3, 1.0)]
)
def test_a_label_stays_inside_the_picture(box: draw.Rectangle) -> None:
    image = Image.new("RGB", (1000, 1000), "white")
    with_label = annotate(image, [Mark(box, GREEN, "Somebody", "99.90")])
    region = ImageChops.difference(with_label, annotate(image, [Mark(box, GREEN)])).getbbox()
    assert region is not None
    assert min(region) > 0
    assert max(region) < 1000


def test_a_label_covers_no_face_where_there_is_room() -> None:
    image = Image.new("RGB", (1000, 1000), "white")
    faces = [(0.3, 0.1, 0.2, 0.2), (0.3, 0.35, 0.2, 0.2), (0.3, 0.6, 0.2, 0.2)]
    boxes = [Mark(box, GREEN) for box in faces]
    labelled = [Mark(box, GREEN, "Somebody", "99.90") for box in faces]
    difference = ImageChops.difference(annotate(image, labelled), annotate(image, boxes))
    assert difference.getbbox() is not None
    for left, top, width, height in faces:
        inside = difference.crop(
            (
                round(left * 1000) + 8,
                round(top * 1000) + 8,
                round((left + width) * 1000) - 8,
                round((top + height) * 1000) - 8,
            )
        )
        assert inside.getbbox() is None


def test_labels_do_not_cover_one_another() -> None:
    """Together they take as much of the picture as each of them does alone."""
    image = Image.new("RGB", (1000, 1000), "white")
    marks = [
        Mark((0.3, 0.5, 0.1, 0.1), GREEN, "Somebody", "99.90"),
        Mark((0.42, 0.5, 0.1, 0.1), GREEN, "Another", "98.00"),
    ]
    alone = [coloured(annotate(image, [one])) for one in marks]
    assert coloured(annotate(image, marks)) == pytest.approx(sum(alone), rel=0.01)


@pytest.mark.parametrize(
    ("similarity", "shown"), [(100, "100.00"), (99.999, "99.99"), (99.5, "99.50"), (80, "80.00"), (0, "0.00")]
)
def test_only_a_similarity_of_100_is_shown_as_such(similarity: float, shown: str) -> None:
    assert similarity_text(similarity) == shown


def test_people_keep_their_colours_and_neighbours_differ() -> None:
    made = draw.colours(["Ada", "Bob", "Ada", "Eve"])
    assert list(made) == ["Ada", "Bob", "Eve"]
    assert len(set(made.values())) == 3
    assert draw.colours(map(str, range(20)))["8"] == draw.PALETTE[0]


def test_a_caption_is_below_the_picture() -> None:
    image = Image.new("RGB", (600, 400), "red")
    sheet = draw.caption(image, "A title" * 40, "and a note")
    assert sheet.width == 600
    assert sheet.crop((0, 0, 600, 400)).getcolors() == [(240_000, (255, 0, 0))]
    assert (255, 0, 0) not in {colour for _, colour in sheet.crop((0, 400, *sheet.size)).getcolors(100_000) or ()}


def test_pictures_side_by_side_have_one_height() -> None:
    sheet = draw.side_by_side([Image.new("RGB", (100, 200)), Image.new("RGB", (300, 100))], height=500)
    assert sheet.size == (250 + 1500 + 30, 520)


def test_a_picture_is_opened_upright(tmp_path: Path) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(file, "JPEG", exif=exif)
    (tmp_path / "turned.jpg").write_bytes(file.getvalue())
    assert draw.open_picture(tmp_path / "turned.jpg").size == (100, 200)
    assert draw.open_picture(file.getvalue()).size == (100, 200)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImageFormatError):
        draw.open_picture(b"nothing")
    with pytest.raises(SetupError, match="nowhere"):
        draw.open_picture(tmp_path / "nowhere.jpg")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be written"):
        draw.save(Image.new("RGB", (10, 10)), tmp_path / "nowhere" / "out.png")
