"""Pictures with boxes, landmarks, names and similarities drawn in.

Everything is measured in parts of the picture, which is first brought to a size that suits a screen: a stamp-sized
portrait and a 60-megapixel photograph come out equally readable.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from recognizance.core.errors import SetupError
from recognizance.vision.image import MAX_OBJECT_BYTES, decode

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

PALETTE: tuple[Colour, ...] = (
    (16, 185, 129),
    (14, 165, 233),
    (245, 158, 11),
    (244, 63, 94),
    (139, 92, 246),
    (132, 204, 22),
    (236, 72, 153),
    (234, 88, 12),
)
UNKNOWN: Colour = (100, 116, 139)
"""For faces that nobody was found for."""

_SHORTEST_LONG_SIDE, _LONGEST_LONG_SIDE = 960, 1920
_PAPER: Colour = (248, 250, 252)
_INK: Colour = (15, 23, 42)
_OVERSAMPLING = 2  # drawn twice as large, then reduced: smooth edges


@dataclass(frozen=True, slots=True)
class Mark:
    """A face to draw.

    Attributes:
        box: Left, top, width and height as ratios of the picture.
        colour: The colour of box and label.
        title: The label's first part, such as a name; no label where it is empty.
        note: Its second part, such as a similarity.
        landmarks: Points as ratios of the picture.
    """

    box: Rectangle
    colour: Colour
    title: str = ""
    note: str = ""
    landmarks: tuple[tuple[float, float], ...] = ()


def mark(face: dict[str, Any], colour: Colour, title: str = "", note: str = "") -> Mark:
    """Return the mark of a face as the API describes it: with a BoundingBox, and Landmarks where it has them."""
    box = face["BoundingBox"]
    points = tuple((point["X"], point["Y"]) for point in face.get("Landmarks", ()))
    return Mark((box["Left"], box["Top"], box["Width"], box["Height"]), colour, title, note, points)


def colours(names: Iterable[str]) -> dict[str, Colour]:
    """Return a colour for each name, the same for the same name."""
    unique = dict.fromkeys(names)
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(unique)}


def open_picture(source: Path | bytes) -> Image.Image:
    """Return a JPEG or PNG file as the analysers see it: upright, RGB.

    Raises:
        SetupError: It cannot be read.
        ServiceError: It is no picture that could be analysed.
    """
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise SetupError(f"{source!s} cannot be read: {error.strerror}.") from error
    return Image.fromarray(decode(data, max_bytes=MAX_OBJECT_BYTES).pixels)


def save(image: Image.Image, path: Path) -> None:
    """Write a picture in the format that the file's ending names.

    Raises:
        SetupError: It cannot be written, or the ending names no format.
    """
    try:
        image.save(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SetupError(f"{path} cannot be written: {why}. Use a name such as out.png.") from error


def jpeg(image: Image.Image) -> bytes:
    """Return a picture as a JPEG file of good quality."""
    file = BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=92)
    return file.getvalue()


def annotate(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """Return the picture, brought to a readable size, with these faces marked."""
    canvas = _readable(image)
    big = (canvas.width * _OVERSAMPLING, canvas.height * _OVERSAMPLING)
    layer = Image.new("RGBA", big, (0, 0, 0, 0))
    painter = _Painter(layer, marks)
    for one in marks:
        painter.frame(one)
    for one in marks:
        painter.landmarks(one)
    for one in sorted(marks, key=lambda one: -one.box[2] * one.box[3]):
        painter.label(one)
    return Image.alpha_composite(canvas.convert("RGBA"), layer.reduce(_OVERSAMPLING)).convert("RGB")


def caption(image: Image.Image, text: str, note: str = "") -> Image.Image:
    """Return the picture with a line of text below it, and a smaller one below that."""
    size = max(16, round(math.sqrt(image.width * image.height) / 30))
    font = _fitting(text, size, image.width * 0.94)
    small = _fitting(note, round(size * 0.8), image.width * 0.94)
    space = round(size * 0.7)
    height = space + size + (round(size * 0.5) + round(size * 0.8) if note else 0) + round(space * 1.4)
    sheet = Image.new("RGB", (image.width, image.height + height), _PAPER)
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)
    left, top = round(image.width * 0.03), image.height + space
    draw.text((left, top), text, _INK, font)
    if note:
        draw.text((left, top + round(size * 1.45)), note, UNKNOWN, small)
    return sheet


def side_by_side(images: Sequence[Image.Image], *, height: int = 1000) -> Image.Image:
    """Return pictures next to each other, brought to the same height."""
    gap = round(height / 50)
    scaled = [image.resize((max(1, round(image.width * height / image.height)), height)) for image in images]
    width = sum(image.width for image in scaled) + gap * (len(scaled) + 1)
    sheet = Image.new("RGB", (width, height + 2 * gap), _PAPER)
    left = gap
    for image in scaled:
        sheet.paste(image, (left, gap))
        left += image.width + gap
    return sheet


def _readable(image: Image.Image) -> Image.Image:
    """Return the picture with a long side that suits a screen."""
    long = max(image.size)
    wanted = min(max(long, _SHORTEST_LONG_SIDE), _LONGEST_LONG_SIDE)
    if wanted == long:
        return image
    size = (max(1, round(image.width * wanted / long)), max(1, round(image.height * wanted / long)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(8, round(size)))  # comes with Pillow, so every machine has it


def _fitting(text: str, size: float, width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font, made smaller where the text would be wider than ``width``."""
    needed = _font(size).getlength(text)
    return _font(size if needed <= width else size * width / needed)


class _Painter:
    """Draws on one layer; lengths in its pixels."""

    def __init__(self, layer: Image.Image, marks: Sequence[Mark]) -> None:
        self._draw = ImageDraw.Draw(layer)
        self._width, self._height = layer.size
        self._unit = math.sqrt(self._width * self._height) / 800
        self._frames = [self._pixels(one.box) for one in marks]
        self._labels: list[Rectangle] = []

    def _pixels(self, box: Rectangle) -> Rectangle:
        left, top, width, height = box
        return left * self._width, top * self._height, (left + width) * self._width, (top + height) * self._height

    def frame(self, one: Mark) -> None:
        """Draw a box, with a dark edge so that it shows on light ground too."""
        box = self._pixels(one.box)
        side = min(box[2] - box[0], box[3] - box[1])
        line = max(3.0, min(3.2 * self._unit, side / 18))
        radius = side * 0.08
        self._draw.rounded_rectangle(_grown(box, line * 0.5), radius, None, (0, 0, 0, 110), round(line * 2))
        self._draw.rounded_rectangle(box, radius, None, (*one.colour, 255), round(line))

    def landmarks(self, one: Mark) -> None:
        """Draw the points of a face."""
        box = self._pixels(one.box)
        radius = max(2.0, min(5 * self._unit, (box[2] - box[0]) / 38))
        for x, y in one.landmarks:
            centre = (x * self._width, y * self._height)
            self._dot(centre, radius * 1.45, (0, 0, 0, 110))
            self._dot(centre, radius * 1.2, (*one.colour, 255))
            self._dot(centre, radius * 0.7, (255, 255, 255, 255))

    def _dot(self, centre: tuple[float, float], radius: float, fill: tuple[int, int, int, int]) -> None:
        self._draw.ellipse((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius), fill)

    def label(self, one: Mark) -> None:
        """Draw a label at the first place near the box where it covers neither a face nor another label."""
        if not one.title:
            return
        frame = self._pixels(one.box)
        size = min(24 * self._unit, max(12 * self._unit, (frame[2] - frame[0]) * 0.16))
        pad = size * 0.45
        font = _fitting(f"{one.title}  {one.note}", size, self._width - 8 * pad)
        title = font.getlength(one.title) + 2 * pad
        note = font.getlength(one.note) + 2 * pad if one.note else 0.0
        place = self._place(frame, (title + note, size * 1.5))
        self._labels.append(place)
        left, top, right, bottom = place
        radius, middle = size * 0.3, (top + bottom) / 2
        dark = (round(one.colour[0] * 0.62), round(one.colour[1] * 0.62), round(one.colour[2] * 0.62))
        self._draw.rounded_rectangle(_grown(place, self._unit), radius, (0, 0, 0, 90))
        self._draw.rounded_rectangle(place, radius, (*one.colour, 255))
        self._draw.text((left + pad, middle), one.title, _on(one.colour), font, "lm")
        if one.note:
            self._draw.rounded_rectangle(
                (left + title, top, right, bottom), radius, (*dark, 255), corners=(False, True, True, False)
            )
            self._draw.text((left + title + pad, middle), one.note, (255, 255, 255), font, "lm")

    def _place(self, frame: Rectangle, size: tuple[float, float]) -> Rectangle:
        gap = 5 * self._unit
        above, below = frame[1] - gap - size[1], frame[3] + gap
        starts = (frame[0], (frame[0] + frame[2] - size[0]) / 2, frame[2] - size[0])
        tries = [(x, y) for y in (above, below) for x in starts]
        tries += [(frame[2] + gap, frame[1]), (frame[0] - gap - size[0], frame[1])]
        tries += [(frame[0], above - size[1] - gap), (frame[0], below + size[1] + gap)]
        places = [self._inside((x, y, x + size[0], y + size[1])) for x, y in tries]
        return min(places, key=lambda place: (self._covered(place), places.index(place)))

    def _inside(self, place: Rectangle) -> Rectangle:
        margin = 4 * self._unit
        x = min(max(place[0], margin), max(margin, self._width - margin - (place[2] - place[0]))) - place[0]
        y = min(max(place[1], margin), max(margin, self._height - margin - (place[3] - place[1]))) - place[1]
        return place[0] + x, place[1] + y, place[2] + x, place[3] + y

    def _covered(self, place: Rectangle) -> float:
        """Return how much of faces and other labels a label would cover; other labels count more."""
        faces = sum(_overlap(place, frame) for frame in self._frames)
        return round(faces + 4 * sum(_overlap(place, label) for label in self._labels))


def _grown(box: Rectangle, by: float) -> Rectangle:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _overlap(a: Rectangle, b: Rectangle) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _on(colour: Colour) -> Colour:
    """Return the ink, dark or white, that is easier to read on a colour (ITU-R BT.601 luma)."""
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return _INK if luma > 150 else (255, 255, 255)
