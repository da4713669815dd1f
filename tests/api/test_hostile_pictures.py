"""Pictures made to break things: whatever is sent, DetectFaces answers, and never with a fault of the server's."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.conftest import Api

pytestmark = pytest.mark.sqlite

REFUSALS = {"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"}


@pytest.fixture(scope="module")
def portrait(photos: dict[str, bytes]) -> Image.Image:
    """A small portrait, so that many variations of it are tried in little time."""
    image = Image.open(io.BytesIO(photos["obama"])).convert("RGB")
    return image.resize((image.width // 3, image.height // 3))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def outcome(api: Api, data: bytes) -> int | str:
    """Return how many faces were found, or the refusal's code."""
    try:
        return len(api.call("DetectFaces", Image={"Bytes": data})["FaceDetails"])
    except ClientError as error:
        code: str = error.response["Error"]["Code"]
        return code


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def deep(image: Image.Image) -> Image.Image:
    """Return the picture as 16-bit grey."""
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


GOOD: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda image: encode(image, "JPEG"),
    "progressive JPEG": lambda image: encode(image, "JPEG", progressive=True),
    "grey JPEG": lambda image: encode(image.convert("L"), "JPEG"),
    "CMYK JPEG": lambda image: encode(image.convert("CMYK"), "JPEG"),
    "PNG": lambda image: encode(image, "PNG"),
    "grey PNG": lambda image: encode(image.convert("L"), "PNG"),
    "16-bit grey PNG": lambda image: encode(deep(image), "PNG"),
    "palette PNG": lambda image: encode(image.quantize(256), "PNG"),
    "palette PNG with transparency": lambda image: encode(image.quantize(255), "PNG", transparency=255),
    "PNG with alpha": lambda image: encode(image.convert("RGBA"), "PNG"),
    "grey PNG with alpha": lambda image: encode(image.convert("LA"), "PNG"),
    "JPEG with bytes behind it": lambda image: encode(image, "JPEG") + b"\0" * 1000,
    "JPEG with broken EXIF": lambda image: encode(image, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"),
    "JPEG with an orientation that does not exist": lambda image: encode(
        image, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"
    ),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_of_jpeg_and_png_shows_its_face(api: Api, portrait: Image.Image, kind: str) -> None:
    assert outcome(api, GOOD[kind](portrait)) == 1


FOREIGN: dict[str, Callable[[Image.Image], bytes]] = {
    "WebP": lambda image: encode(image, "WEBP"),
    "GIF": lambda image: encode(image, "GIF"),
    "TIFF": lambda image: encode(image, "TIFF"),
    "BMP": lambda image: encode(image, "BMP"),
    "JPEG 2000": lambda image: encode(image, "JPEG2000"),
    "animated PNG": lambda image: encode(image, "PNG", save_all=True, append_images=[image.rotate(90)]),
    "SVG": lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "nothing but zeros": lambda _: bytes(1000),
    "one byte": lambda _: b"x",
    "text": lambda _: b"hello, " * 100,
    "start of a PNG": lambda image: encode(image, "PNG")[:8],
    "PNG without data": lambda _: png(200, 200),
    "PNG with too little data": lambda _: png(200, 200, chunk(b"IDAT", zlib.compress(b"\0" * 100))),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_have_an_invalid_format(api: Api, portrait: Image.Image, kind: str) -> None:
    assert outcome(api, FOREIGN[kind](portrait)) == "InvalidImageFormatException"


BOMBS: dict[str, bytes] = {
    "PNG of 60,000 x 60,000": png(60_000, 60_000, chunk(b"IDAT", zlib.compress(bytes(1000)))),
    "PNG of 16,000 x 16,000 whose data is there": png(
        16_000, 16_000, chunk(b"IDAT", zlib.compress(bytes(256_016_000), 9)), colour=0
    ),
    "PNG of the largest sides": png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", zlib.compress(b""))),
    "long thin PNG": png(1_000_000, 100, chunk(b"IDAT", zlib.compress(bytes(1000)))),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_of_a_vast_picture_is_too_large(api: Api, kind: str) -> None:
    assert len(BOMBS[kind]) < 5_242_880
    assert outcome(api, BOMBS[kind]) in {"ImageTooLargeException", "InvalidImageFormatException"}


def test_a_text_chunk_that_unfolds_to_gigabytes_is_survived(api: Api, portrait: Image.Image) -> None:
    folded = zlib.compress(bytes(300_000_000), 9)
    whole = encode(portrait, "PNG")
    bomb = whole[:33] + chunk(b"zTXt", b"key\0\0" + folded) + whole[33:]
    assert outcome(api, bomb) in {1, "InvalidImageFormatException", "ImageTooLargeException"}


def test_a_profile_that_unfolds_to_gigabytes_is_survived(api: Api, portrait: Image.Image) -> None:
    folded = zlib.compress(bytes(300_000_000), 9)
    whole = encode(portrait, "PNG")
    bomb = whole[:33] + chunk(b"iCCP", b"key\0\0" + folded) + whole[33:]
    assert outcome(api, bomb) in {1, "InvalidImageFormatException", "ImageTooLargeException"}


@pytest.mark.parametrize(("width", "height"), [(1, 1), (79, 200), (200, 79)])
def test_a_picture_under_80_pixels_is_an_invalid_parameter(
    api: Api, portrait: Image.Image, width: int, height: int
) -> None:
    assert outcome(api, encode(portrait.resize((width, height)), "PNG")) == "InvalidParameterException"


def test_a_picture_of_80_pixels_is_looked_at(api: Api, portrait: Image.Image) -> None:
    assert outcome(api, encode(portrait.resize((80, 80)), "JPEG")) in {0, 1}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "progressive JPEG"])
def test_a_truncated_picture_is_refused_or_looked_at(api: Api, portrait: Image.Image, kind: str) -> None:
    whole = GOOD[kind](portrait)
    lengths = [1, 2, 3, 10, 100, *range(0, len(whole), len(whole) // 12), len(whole) - 1]
    outcomes = {length: outcome(api, whole[:length]) for length in lengths if length}
    assert all(result in REFUSALS or isinstance(result, int) for result in outcomes.values()), outcomes
    assert outcomes[10] == "InvalidImageFormatException"


@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "PNG", "palette PNG", "CMYK JPEG"])
def test_flipped_bits_never_make_a_fault(api: Api, portrait: Image.Image, kind: str) -> None:
    """Sixteen damaged copies of each kind, half of them damaged in the header, where it hurts most."""
    whole = GOOD[kind](portrait)
    source = np.random.default_rng(zlib.crc32(kind.encode()))
    for i in range(16):
        data = bytearray(whole)
        for _ in range(source.integers(1, 13)):
            data[source.integers(len(data) if i % 2 else min(400, len(data)))] ^= 1 << int(source.integers(8))
        result = outcome(api, bytes(data))
        assert result in REFUSALS or isinstance(result, int), result


def test_a_picture_of_many_megapixels_within_the_limits_is_looked_at(api: Api, portrait: Image.Image) -> None:
    canvas = Image.new("RGB", (5000, 4000), "grey")
    canvas.paste(portrait.resize((910, 1137)), (2000, 1500))
    assert outcome(api, encode(canvas, "JPEG", quality=70)) == 1
