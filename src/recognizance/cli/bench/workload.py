"""The pictures that are measured with: portraits, photographs, and a hundred faces in one picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from recognizance.core.errors import ServiceError, SetupError
from recognizance.vision.image import decode
from recognizance.vision.models import ModelStore
from recognizance.vision.quality import rejections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recognizance.core.settings import Settings
    from recognizance.vision.analyser import FaceAnalyser

PORTRAIT_SIDE = 250
"""Side of a portrait in pixels: that of the pictures of Labeled Faces in the Wild."""

PHOTO_SIDE = 1280
_GROUP = (5, 4)
"""Columns and rows of portraits in a group photograph."""

_ZOOMS = (1.9, 2.2, 2.5, 2.8, 3.1)
"""Sides of the portraits cut out of photographs, in face sizes; in Labeled Faces in the Wild it is 2.2."""

_ENDINGS = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class Workload:
    """The pictures, as files.

    Attributes:
        portraits: JPEGs of 250 x 250 pixels with one large face each.
        photos: JPEGs whose long side has 1280 pixels.
        hundred: A JPEG of 1280 x 1280 pixels with a hundred portraits.
        source: Where the faces are from, in words.
    """

    portraits: tuple[bytes, ...]
    photos: tuple[bytes, ...]
    hundred: bytes
    source: str


def make_workload(analyser: FaceAnalyser, settings: Settings, images: Path | None, count: int) -> Workload:
    """Make the pictures, always the same ones.

    Args:
        analyser: Finds the faces that portraits are cut around.
        settings: Where the demonstration pictures are, or are fetched to.
        images: A folder of portraits; by default they are cut out of the demonstration pictures.
        count: The most portraits.

    Raises:
        SetupError: There are no pictures to be had, or no faces in them.
    """
    demo = _demo_pictures(settings, needed=images is None)
    if images is None:
        portraits, source = tuple(islice(_cut_out(analyser, demo), count)), "the demonstration pictures"
    else:
        portraits, source = tuple(_sample(analyser, images, count)), f"the folder {images.resolve().name}"
    if not portraits:
        raise SetupError(f"No faces were found in {source}.")
    photos = [_photo(data) for data in demo]
    if images is not None:
        photos += _groups(portraits, most=max(1, len(photos)))
    return Workload(portraits, tuple(photos), hundred_faces(portraits), source)


def hundred_faces(portraits: Sequence[bytes]) -> bytes:
    """Return a JPEG of 1280 x 1280 pixels with ten rows of ten portraits."""
    return _tiled(list(islice(cycle(portraits), 100)), columns=10, side=PHOTO_SIDE // 10)


def _demo_pictures(settings: Settings, *, needed: bool) -> list[bytes]:
    store = ModelStore(settings)
    (outcome,) = store.pull(["demo_pictures"])
    if outcome.state == "installed":
        return [path.read_bytes() for _, path in sorted(store.paths("demo_pictures").items())]
    if needed:
        raise SetupError(f"{outcome.detail} Or name a folder of portraits: --images FOLDER")
    return []


def _sample(analyser: FaceAnalyser, folder: Path, count: int) -> Iterator[bytes]:
    """Yield portraits from files spread evenly over the sorted names."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file())
    if not paths:
        raise SetupError(f"There are no pictures in {folder}.")
    for path in paths[:: max(1, len(paths) // count)][:count]:
        data = path.read_bytes()
        try:
            picture = decode(data)
        except ServiceError:
            continue  # a folder of people's pictures may hold one that is broken
        if data.startswith(b"\xff\xd8") and picture.width == picture.height == PORTRAIT_SIDE:
            yield data
        else:
            yield from islice(_cut_out(analyser, [data]), 1)


def _cut_out(analyser: FaceAnalyser, pictures: Sequence[bytes]) -> Iterator[bytes]:
    """Yield different portraits cut around the faces of pictures: each face at every zoom, as it is and mirrored."""
    faces = [face for data in pictures for face in _whole_faces(analyser, data)]
    seen = set()
    for zoom in _ZOOMS:
        for image, x, y, side in faces:
            size = min(zoom * side, *image.size)
            left = min(max(x - size / 2, 0), image.width - size)
            top = min(max(y - size / 2, 0), image.height - size)
            box = (left, top, left + size, top + size)
            if (id(image), box) not in seen:
                seen.add((id(image), box))
                portrait = image.resize((PORTRAIT_SIDE, PORTRAIT_SIDE), Image.Resampling.LANCZOS, box)
                yield _jpeg(portrait)
                yield _jpeg(ImageOps.mirror(portrait))


def _whole_faces(analyser: FaceAnalyser, data: bytes) -> Iterator[tuple[Image.Image, float, float, float]]:
    """Yield the picture, and centre and side in pixels, of every good face that the picture's edge does not cut."""
    picture = decode(data)
    faces = analyser.detect(picture)
    image = Image.fromarray(picture.pixels)
    for (x1, y1, x2, y2), why in zip(faces.boxes.tolist(), rejections(faces, "AUTO"), strict=True):
        if not why and min(x1, y1) >= 0 and x2 <= image.width and y2 <= image.height:
            yield image, (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1)


def _photo(data: bytes) -> bytes:
    return _jpeg(ImageOps.contain(Image.fromarray(decode(data).pixels), (PHOTO_SIDE, PHOTO_SIDE)))


def _groups(portraits: Sequence[bytes], most: int) -> list[bytes]:
    columns, rows = _GROUP
    size = columns * rows
    whole = max(1, min(most, len(portraits) // size))
    endless = cycle(portraits)
    return [_tiled(list(islice(endless, size)), columns, PHOTO_SIDE // columns) for _ in range(whole)]


def _tiled(portraits: Sequence[bytes], columns: int, side: int) -> bytes:
    canvas = Image.new("RGB", (columns * side, len(portraits) // columns * side))
    for number, data in enumerate(portraits):
        row, column = divmod(number, columns)
        tile = Image.fromarray(decode(data).pixels).resize((side, side), Image.Resampling.LANCZOS)
        canvas.paste(tile, (column * side, row * side))
    return _jpeg(canvas)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()
