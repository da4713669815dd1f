"""Decoding: every kind of picture that Rekognition takes, and every kind of trap that it refuses."""

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from recognizance.core.errors import (
    ImageTooLargeError,
    InvalidImageFormatError,
    InvalidParameterError,
    ServiceError,
)
from recognizance.vision.image import MAX_BYTES, Picture, decode

RED, BLUE = (220, 20, 20), (20, 20, 220)


def picture(mode: str = "RGB", size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def near(pixel: Any, colour: tuple[int, int, int], by: int = 12) -> bool:
    return bool(np.abs(np.asarray(pixel, int) - colour).max() <= by)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "JPEG"), ("RGB", "PNG"), ("CMYK", "JPEG"), ("P", "PNG"), ("RGBA", "PNG")],
)
def test_colour_pictures_become_rgb(mode: str, kind: str) -> None:
    decoded = decode(encoded(picture(mode), kind))
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.height, decoded.width) == (90, 120)
    assert decoded.pixels.shape == (90, 120, 3)
    # CMYK and palettes lose some colour, never the difference between red and blue.
    assert near(decoded.pixels[45, 10], RED, 40)
    assert near(decoded.pixels[45, 110], BLUE, 40)


@pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("LA", "PNG")])
def test_grey_pictures_become_rgb(mode: str, kind: str) -> None:
    decoded = decode(encoded(picture(mode), kind))
    assert (decoded.pixels[..., 0] == decoded.pixels[..., 2]).all()


def test_sixteen_bits_keep_their_upper_half() -> None:
    deep = np.full((90, 120), 0x4080, np.uint16)
    assert (decode(encoded(Image.fromarray(deep))).pixels == 0x40).all()


def test_what_is_transparent_is_shown_on_white() -> None:
    """Colour hidden under full transparency must not reach the detector: the person who looks sees white."""
    layer = Image.new("RGBA", (100, 100), (*RED, 0))
    assert (decode(encoded(layer)).pixels == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright_by_exif(orientation: int) -> None:
    upright = picture()
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if back is None else upright.transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(stored, "JPEG", exif=exif, quality=95))
    assert (decoded.width, decoded.height) == upright.size
    assert near(decoded.pixels[45, 10], RED)
    assert near(decoded.pixels[45, 110], BLUE)


def test_a_png_is_never_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(picture(), "PNG", exif=exif)).width == 120


def test_broken_exif_does_not_make_a_picture_unreadable() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data).width == 120


def test_a_colour_profile_is_no_obstacle() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(encoded(picture(), "JPEG", icc_profile=profile)).width == 120


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "TIFF"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(InvalidImageFormatError, match="Request has invalid image format"):
        decode(encoded(picture(), kind))


def test_an_animated_png_is_refused() -> None:
    data = encoded(picture(), "PNG", save_all=True, append_images=[picture("L").convert("RGB")])
    with pytest.raises(InvalidImageFormatError):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(InvalidImageFormatError):
        decode(data[: len(data) // 2])


def test_a_file_encoded_twice_in_base64_is_refused() -> None:
    with pytest.raises(InvalidImageFormatError):
        decode(b"iVBORw0KGgoAAAANSUhEUgAA")


@pytest.mark.parametrize("size", [(79, 200), (200, 79)])
def test_a_side_under_80_pixels_is_an_invalid_parameter(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidParameterError, match="at least 80"):
        decode(encoded(picture(size=size)))


def test_eighty_pixels_are_enough() -> None:
    assert decode(encoded(picture(size=(80, 80)))).width == 80


def test_too_many_bytes_are_too_large() -> None:
    with pytest.raises(ImageTooLargeError):
        decode(b"\xff\xd8\xff" + bytes(MAX_BYTES))


@pytest.mark.parametrize("size", [(60_000, 60_000), (20_000, 100), (9_000, 9_000), (12_000, 9_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(ImageTooLargeError):
        decode(bomb)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """Each further scan of a progressive picture costs a pass over all its pixels and next to no bytes."""
    data = encoded(picture(size=(400, 400)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last : data.rindex(b"\xff\xd9")]
    with pytest.raises(InvalidImageFormatError):
        decode(data[:last] + scan * 80 + b"\xff\xd9")


def test_the_digest_is_that_of_the_file() -> None:
    one, two = encoded(picture()), encoded(picture(), compress_level=0)
    assert len(decode(one).digest) == 32
    assert decode(one).digest != decode(two).digest


SEEDS = [encoded(picture(), "JPEG"), encoded(picture(), "JPEG", progressive=True), encoded(picture("P"), "PNG")]


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=20))
@settings(max_examples=300, deadline=None)
def test_flipped_bytes_give_a_picture_or_an_error_of_ours(seed: bytes, flips: list[tuple[int, int]]) -> None:
    data = bytearray(seed)
    for place, value in flips:
        data[place % len(data)] = value
    with suppress(InvalidImageFormatError, ImageTooLargeError, InvalidParameterError):
        assert isinstance(decode(bytes(data)), Picture)


@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b""]), st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_garbage_is_never_more_than_an_invalid_format(start: bytes, rest: bytes) -> None:
    with pytest.raises(ServiceError):
        decode(start + rest)
