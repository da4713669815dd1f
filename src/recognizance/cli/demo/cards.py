"""The pictures of the demonstration: portraits cut to one format, with what the server said drawn in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from recognizance.cli import draw
from recognizance.cli._output import similarity_text
from recognizance.cli.demo.story import CROPPED, GROUP, NOBODY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recognizance.cli.demo.story import Answer

_WIDTH, _HEIGHT = 640, 800
_FACE_SHARE = 0.36  # of a card's height that the face takes


def card(image: Image.Image, mark: draw.Mark, line: str, note: str) -> Image.Image:
    """Return a portrait around one face, marked, with two lines below it."""
    cut, moved = portrait(image, mark)
    return draw.caption(draw.annotate(cut, [moved]), line, note)


def portrait(image: Image.Image, mark: draw.Mark) -> tuple[Image.Image, draw.Mark]:
    """Cut a picture to a portrait around a face; return it with the mark where the face is now."""
    left, top, width, height = mark.box
    tall = min(height * image.height / _FACE_SHARE, image.height, image.width * _HEIGHT / _WIDTH)
    wide = tall * _WIDTH / _HEIGHT
    x = _within((left + width / 2) * image.width - wide / 2, image.width - wide)
    y = _within((top + height / 2) * image.height - tall * 0.45, image.height - tall)
    cut = image.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS, box=(x, y, x + wide, y + tall))
    box = (
        (left * image.width - x) / wide,
        (top * image.height - y) / tall,
        width * image.width / wide,
        height * image.height / tall,
    )
    points = tuple(((px * image.width - x) / wide, (py * image.height - y) / tall) for px, py in mark.landmarks)
    return cut, replace(mark, box=box, landmarks=points)


def _within(start: float, last: float) -> float:
    return min(max(start, 0.0), max(last, 0.0))


def wall(images: Mapping[str, Image.Image], faces: Mapping[str, dict[str, Any]]) -> Image.Image:
    """Return a picture of several people: portraits side by side, since the pictures have no group photograph."""
    cuts = [portrait(images[name], draw.mark(faces[name], draw.UNKNOWN))[0] for name in GROUP]
    sheet = Image.new("RGB", (_WIDTH * len(cuts), _HEIGHT))
    for i, cut in enumerate(cuts):
        sheet.paste(cut, (i * _WIDTH, 0))
    return sheet


def row(
    images: Mapping[str, Image.Image], answers: Sequence[Answer], colours: Mapping[str, draw.Colour]
) -> Image.Image:
    """Return cards next to each other, one for each answer about a picture."""
    cards = []
    for one in answers:
        said = "" if one.similarity is None else similarity_text(one.similarity)
        mark = draw.mark(one.face, colours.get(one.name, draw.UNKNOWN), one.name.replace("_", " "), said)
        cards.append(card(images[one.picture], mark, f"{one.picture}.jpg", _remark(one)))
    return draw.side_by_side(cards)


def _remark(answer: Answer) -> str:
    if answer.operation == "IndexFaces":
        return "stored"
    return "the stored portrait, cut off" if answer.picture in CROPPED else "another photograph"


def group(image: Image.Image, answers: Sequence[Answer], colours: Mapping[str, draw.Colour]) -> Image.Image:
    """Return the picture of many with everybody's name."""
    marks = []
    for one in answers:
        said = "" if one.similarity is None else similarity_text(one.similarity)
        marks.append(draw.mark(one.face, colours.get(one.name, draw.UNKNOWN), one.name.replace("_", " "), said))
    note = "Three portraits put side by side by this demonstration, the left one among those stored."
    return draw.caption(draw.annotate(image, marks), "Who is in this picture?", note)


def comparison(
    images: Mapping[str, Image.Image], source: str, source_face: dict[str, Any], answers: Sequence[Answer]
) -> Image.Image:
    """Return the card of the source next to those of the pictures that it was compared with."""
    cards = [
        card(
            images[source],
            draw.mark(source_face, draw.PALETTE[1], "source"),
            f"{source}.jpg",
            "compared with the others",
        )
    ]
    for one in answers:
        target = one.picture.rpartition(" ")[2]
        alike = one.similarity is not None and one.similarity >= 80
        said = similarity_text(one.similarity or 0)
        mark = draw.mark(one.face, draw.PALETTE[0] if alike else draw.UNKNOWN, one.name, said)
        cards.append(card(images[target], mark, f"{target}.jpg", "largest face"))
    return draw.side_by_side(cards)


def palette(answers: Sequence[Answer]) -> dict[str, draw.Colour]:
    """Return a colour for each person."""
    return draw.colours(one.name for one in answers if one.name != NOBODY)
