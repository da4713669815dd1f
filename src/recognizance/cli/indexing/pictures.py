"""One picture on its way into a collection: read, recognised or analysed, and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog

from recognizance.core.errors import (
    ImageTooLargeError,
    InvalidImageFormatError,
    InvalidS3ObjectError,
    ServiceError,
    SetupError,
)
from recognizance.vision.image import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from pathlib import PurePath

    from sqlalchemy import Connection

    from recognizance.cli.indexing.walk import File
    from recognizance.operations.local import Analysed

log = structlog.get_logger(__name__)
T = TypeVar("T")

NO_FACE, REJECTED, UNREADABLE, FAULT = "NoFaceFound", "FacesRejected", "Unreadable", "InternalFault"
"""Why a picture was refused, beyond the error codes of the API."""

HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}


class Indexer(Protocol):
    """Analyses and stores pictures; see :class:`recognizance.operations.local.BulkIndexer`."""

    def analyse(self, data: bytes, external_image_id: str | None) -> Analysed:
        """Find and embed the faces of a picture file."""
        ...

    def renamed(self, face_ids: Sequence[str], digest: bytes, external_image_id: str | None) -> Analysed | None:
        """Return a picture that the collection has, as it is under another name."""
        ...

    def store(
        self, pictures: Sequence[Analysed], also: Callable[[Connection, int], None] | None = None
    ) -> tuple[list[list[str]], int]:
        """Store faces; return the ids of each picture's, and how many were new."""
        ...


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """A picture to be done.

    Attributes:
        subject: What the caller knows it by: a file, or an object of a bucket.
        external_id: Its external image id.
    """

    subject: T
    external_id: str | None


@dataclass(frozen=True, slots=True)
class Content(Generic[T]):
    """A picture that has been read.

    Attributes:
        task: Which.
        data: The file's bytes.
        digest: Their SHA-256, where somebody will ask for it.
    """

    task: Task[T]
    data: bytes
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of a picture.

    Attributes:
        task: Which.
        analysed: Its faces, where it was analysed or recognised.
        refused: The code, where it was refused. Neither this nor ``analysed``: it is no picture, or is done already.
        detail: More about the refusal.
        lasting: Whether a later run would meet with the same.
        digest: SHA-256 of the file, where it is known.
        known: Whether an earlier run has done the same picture, perhaps under another path.
    """

    task: Task[T]
    analysed: Analysed | None = None
    refused: str | None = None
    detail: str | None = None
    lasting: bool = True
    digest: bytes | None = None
    known: bool = False


def judge(
    content: Content[T], analyse: Callable[[bytes, str | None], Analysed], name: Callable[[T], str]
) -> Outcome[T]:
    """Analyse a picture and say what became of it.

    Args:
        content: The picture.
        analyse: As :meth:`Indexer.analyse`.
        name: How the log calls a subject.
    """

    def analysed() -> Outcome[T]:
        found = analyse(content.data, content.task.external_id)
        if len(found):
            return Outcome(content.task, found, digest=content.digest)
        reasons = sorted({reason for why in found.rejected for reason in why})
        refused = (REJECTED, ", ".join(reasons)) if reasons else (NO_FACE, "")
        return Outcome(content.task, found, *refused, digest=content.digest)

    return guarded(content.task, analysed, name, digest=content.digest)


def guarded(
    task: Task[T], work: Callable[[], Outcome[T]], name: Callable[[T], str], *, digest: bytes | None = None
) -> Outcome[T]:
    """Do something with one picture. Whatever goes wrong is its outcome: one bad picture must not stop the others."""
    try:
        return work()
    except SetupError:  # not the picture's fault
        raise
    except OSError as error:
        return Outcome(task, refused=UNREADABLE, detail=error.strerror or str(error), lasting=False)
    except InvalidS3ObjectError as error:
        return Outcome(task, refused=UNREADABLE, detail=str(error.__cause__ or error.message), lasting=False)
    except ServiceError as error:
        return Outcome(task, refused=error.code, detail=error.message, digest=digest)
    except Exception as error:
        log.exception("picture could not be indexed", picture=name(task.subject))
        return Outcome(task, refused=FAULT, detail=repr(error), lasting=False)


def count_rejected(outcome: Outcome[T], rejected: Counter[str]) -> None:
    """Add the reasons for which the quality filter left faces of a picture out."""
    if outcome.analysed is not None:
        rejected.update(reason for why in outcome.analysed.rejected for reason in why)


def named_like_a_picture(path: PurePath) -> bool:
    """Tell whether a file's name ends like a JPEG's or a PNG's."""
    return path.suffix.lower() in _ENDINGS


def picture_bytes(data: bytes, path: PurePath) -> bytes | None:
    """Return a picture's bytes; None when they neither are a picture nor named like one.

    Raises:
        InvalidImageFormatError: They are named like a picture and are none.
    """
    if data.startswith(HEADS):
        return data
    if named_like_a_picture(path):
        raise InvalidImageFormatError
    return None


def read_picture_file(file: File) -> bytes | None:
    """Return the bytes of a picture file; None for a file that neither is a picture nor is named like one.

    Raises:
        InvalidImageFormatError: It is named like a picture and is none.
        ImageTooLargeError: It has more than 15 MiB.
        OSError: It cannot be read.
    """
    with file.path.open("rb") as stream:
        head = stream.read(8)
        if picture_bytes(head, file.path) is None:
            return None
        data = head + stream.read(MAX_OBJECT_BYTES)
    if len(data) > MAX_OBJECT_BYTES:
        raise ImageTooLargeError
    return data
