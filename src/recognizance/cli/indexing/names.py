"""External image ids from file names."""

import hashlib
import re
import unicodedata
from pathlib import PurePath
from typing import Literal

Kind = Literal["file", "stem", "folder", "none"]

MAX_LENGTH = 255
"""Rekognition's limit on an ExternalImageId, in characters."""

_ALLOWED = re.compile(r"[a-zA-Z0-9_.\-:]")


def external_id(path: PurePath, kind: Kind) -> str | None:
    """Return the external image id of a file, None when it gets none.

    Args:
        path: The file, absolute; or the key of an object.
        kind: What the id is made from: the file's name, its name without the ending, or the name of its folder.
    """
    match kind:
        case "file":
            return valid(path.name)
        case "stem":
            return valid(path.stem)
        case "folder":
            return valid(path.parent.name)
        case "none":
            return None


def valid(name: str) -> str:
    r"""Return a name in the characters of an ExternalImageId, ``[a-zA-Z0-9_.\-:]+``, at most 255 of them.

    Letters lose their accents; other characters of ASCII become ``_``, and characters of other scripts ``:`` and
    their number in hexadecimal, so that two names in one of those scripts stay two.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    kept = "".join(_spelled(character) for character in decomposed if not unicodedata.combining(character))
    if len(kept) <= MAX_LENGTH:
        return kept or "_"
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{kept[: MAX_LENGTH - 17]}-{digest}"


def _spelled(character: str) -> str:
    if _ALLOWED.fullmatch(character):
        return character
    return "_" if character.isascii() else f":{ord(character):x}"
