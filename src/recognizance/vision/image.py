"""Decoding: hostile bytes in, one upright RGB picture out.

The limits are Rekognition's (https://docs.aws.amazon.com/rekognition/latest/dg/limits.html) where it states them;
the limit on pixels and on progressive scans is ours, and keeps a small file from becoming hours of work.
"""

import hashlib
import io
import struct
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from recognizance.core.errors import ImageTooLargeError, InvalidImageFormatError, InvalidParameterError

MAX_BYTES = 5_242_880
MAX_OBJECT_BYTES = 15 * 1024 * 1024
MIN_SIDE = 80
MAX_SIDE = 16_384
MAX_PIXELS = 64_000_000
LARGE_PIXELS = 16_000_000
# A progressive JPEG has about ten scans. Each further one costs a pass over all pixels for a few bytes of file.
MAX_SCANS = 64

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_ORIENTATION = int(ExifTags.Base.Orientation)
# Pillow remarks on broken metadata through warnings; a stranger's picture is no reason to fill the operator's log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Pictures of tens of megapixels are decoded one at a time, so that a burst of them cannot exhaust the memory.
_large_picture = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture.

    Attributes:
        pixels: (height, width, 3) uint8, RGB, upright.
        digest: SHA-256 of the file's bytes, 32 bytes.
    """

    pixels: NDArray[np.uint8]
    digest: bytes

    @property
    def width(self) -> int:
        """Width in pixels, after turning upright."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels, after turning upright."""
        return int(self.pixels.shape[0])


def decode(data: bytes, *, max_bytes: int = MAX_BYTES) -> Picture:
    """Decode a JPEG or PNG file.

    Grey, palette, CMYK, 16-bit and transparent pictures (shown on white) become 8-bit RGB. A JPEG is turned upright
    by its EXIF orientation; a PNG is not, as on Rekognition.

    Raises:
        InvalidImageFormatError: Not JPEG or PNG, animated, truncated or corrupt.
        ImageTooLargeError: Over ``max_bytes``, ``MAX_SIDE`` or ``MAX_PIXELS``.
        InvalidParameterError: A side under 80 pixels.
    """
    if len(data) > max_bytes:
        raise ImageTooLargeError
    if not data.startswith((_JPEG, _PNG)):
        raise InvalidImageFormatError
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check(image, data)
            with _large_picture if image.width * image.height > LARGE_PIXELS else nullcontext():
                orientation = _orientation(image)
                pixels = _upright(_rgb(image), orientation)
    except (ImageTooLargeError, InvalidImageFormatError, InvalidParameterError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLargeError from error
    except Exception as error:  # decoders answer hostile bytes with exceptions of every kind
        raise InvalidImageFormatError from error
    return Picture(np.ascontiguousarray(pixels), hashlib.sha256(data).digest())


def _check(image: Image.Image, data: bytes) -> None:
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageTooLargeError
    if min(width, height) < MIN_SIDE:
        raise InvalidParameterError(
            f"The picture is {width} x {height} pixels; each side must have at least {MIN_SIDE}."
        )
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise InvalidImageFormatError
    if image.format != "PNG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise InvalidImageFormatError


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    image.load()
    if image.mode.startswith(("I", "F")):
        deep = np.clip(np.asarray(image, np.int64) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(deep[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG":
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (ValueError, TypeError, OSError, SyntaxError, KeyError, struct.error):
        return 1  # broken metadata does not make the picture unreadable
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror as the EXIF 2.32 orientation tag (0x0112) says."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels
