"""Converters: what turns a network as its authors publish it into an ONNX file that is ready to run.

Each is a plain function from the published file's bytes to the ONNX file's bytes. It gives the same bytes for the same
input, runs no code from it, and raises :class:`~recognizance.core.errors.SetupError` for input that it does not
understand. Its version is raised whenever its output changes, so that installed files are made again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["CONVERTERS", "Converter"]


@dataclass(frozen=True, slots=True)
class Converter:
    """A conversion and its version.

    Attributes:
        convert: From the published file's bytes to the ONNX file's bytes.
        version: Raised whenever the output changes.
    """

    convert: Callable[[bytes], bytes]
    version: int


def _centerface(source: bytes) -> bytes:
    from recognizance.vision.models.convert import centerface

    return centerface.convert(source)


def _dlib(source: bytes) -> bytes:
    from recognizance.vision.models.convert import dlib

    return dlib.convert(source)


CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {"centerface": Converter(_centerface, 1), "dlib": Converter(_dlib, 1)}
)
"""The converters by the name that manifests use."""
