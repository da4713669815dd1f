"""The pictures that requests carry or name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recognizance.core.errors import InvalidParameterError, InvalidS3ObjectError
from recognizance.vision.image import MAX_OBJECT_BYTES, Picture, decode

if TYPE_CHECKING:
    from mypy_boto3_rekognition.type_defs import ImageTypeDef

    from recognizance.operations.context import Context


def read_picture(context: Context, image: ImageTypeDef) -> Picture:
    """Return the picture that an ``Image`` member carries (``Bytes``) or names (``S3Object``), decoded.

    Raises:
        InvalidParameterError: It does neither, or both; or the picture is too small.
        InvalidS3ObjectError: The named object cannot be read.
        ImageTooLargeError: Too many bytes or pixels.
        InvalidImageFormatError: Not a JPEG or PNG that decodes.
    """
    data, named = image.get("Bytes"), image.get("S3Object")
    if (data is None) == (named is None):
        raise InvalidParameterError("Requested image should either contain bytes or s3 object.")
    if named is not None:
        if "Bucket" not in named or "Name" not in named:
            raise InvalidS3ObjectError
        store = context.services.objects
        found = store.read(named["Bucket"], named["Name"], named.get("Version"), MAX_OBJECT_BYTES)
        return decode(found, max_bytes=MAX_OBJECT_BYTES)
    if not isinstance(data, bytes):
        # The wire turns every blob into bytes; the service model's types admit what SDKs accept from their users.
        raise TypeError(f"Image.Bytes is {type(data).__name__}")
    return decode(data)
