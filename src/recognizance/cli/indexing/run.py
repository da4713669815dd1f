"""One run over a folder: worker threads analyse pictures, one thread walks, writes and keeps the books."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from recognizance.cli.indexing.walk import File, Unreadable, walk
from recognizance.core.errors import ImageTooLargeError, InvalidImageFormatError, ServiceError
from recognizance.vision.image import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from recognizance.cli.indexing.journal import Journal
    from recognizance.operations.local import Analysed

log = structlog.get_logger(__name__)
T = TypeVar("T")
R = TypeVar("R")

NO_FACE, REJECTED, UNREADABLE, FAULT = "NoFaceFound", "FacesRejected", "Unreadable", "InternalFault"
"""Why a file was refused, beyond the error codes of the API."""

_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}
_BATCH_PICTURES = 64
_BATCH_SECONDS = 2.0


class Indexer(Protocol):
    """Analyses and stores pictures; see :class:`recognizance.operations.local.BulkIndexer`."""

    def analyse(self, data: bytes, external_image_id: str | None) -> Analysed:
        """Find and embed the faces of a picture file."""
        ...

    def store(self, pictures: list[Analysed]) -> int:
        """Store faces; return how many were new."""
        ...


@dataclass(slots=True)
class Tally:
    """What has been done so far.

    Attributes:
        pictures: Pictures whose faces are in the collection now.
        faces_added: Faces that were not in it before.
        faces_known: Faces that were.
        skipped: Files that an earlier run has done.
        others: Files that are no pictures.
        refused: Pictures that were refused, by reason, those of earlier runs included.
        rejected: Faces that the quality filter rejected, by reason.
    """

    pictures: int = 0
    faces_added: int = 0
    faces_known: int = 0
    skipped: int = 0
    others: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: its faces, or a refusal, or neither where it is no picture.

    ``lasting`` is False where trying again without changing the file may help.
    """

    file: File
    how: str
    analysed: Analysed | None = None
    refused: str | None = None
    detail: str | None = None
    lasting: bool = True


class Run:
    """Indexes a folder.

    Attributes:
        tally: What has been done so far.
        stopped: Whether the run was told to stop.

    Args:
        indexer: Analyses and stores.
        journal: What earlier runs have done; None does everything again.
        name: Returns a file's external id.
        how: What else the outcome depends on, as text.
        workers: How many pictures are worked on at once.
        on_file: Called for every file that is dealt with.
        on_refused: Called with path, code and detail of every refusal.
    """

    def __init__(
        self,
        indexer: Indexer,
        journal: Journal,
        *,
        name: Callable[[Path], str | None],
        how: str,
        workers: int,
        again: bool = False,
        on_file: Callable[[], None] = lambda: None,
        on_refused: Callable[[Path, str, str], None] = lambda _path, _code, _detail: None,
    ) -> None:
        self.tally = Tally()
        self.stopped = False
        self._indexer, self._journal = indexer, journal
        self._name, self._how, self._workers, self._again = name, how, workers, again
        self._on_file, self._on_refused = on_file, on_refused
        self._batch: list[Outcome] = []
        self._written_at = time.monotonic()

    def __call__(self, folder: Path) -> None:
        """Index every picture below the folder, or until :meth:`stop`; what is done then stays done.

        Raises:
            SetupError: The journal cannot be used.
            ServiceError: The collection cannot take more, or is gone.
        """
        with (
            ThreadPoolExecutor(self._workers, thread_name_prefix="index") as pool,
            # A few pictures wait for each worker, so that none idles while this thread writes.
            closing(unordered(pool, self._work, self._tasks(folder), ahead=4 * self._workers)) as outcomes,
        ):
            for outcome in filter(None, outcomes):
                self._batch.append(outcome)
                waited = time.monotonic() - self._written_at
                if len(self._batch) >= _BATCH_PICTURES or waited >= _BATCH_SECONDS:
                    self._write()
        self._write()

    def stop(self) -> None:
        """Begin no more pictures. The call returns when those that were begun are written."""
        self.stopped = True

    def _tasks(self, folder: Path) -> Iterator[tuple[File, str | None, str]]:
        for found in walk(folder):
            if self.stopped:
                return
            if isinstance(found, Unreadable):
                self._refuse(found.path, UNREADABLE, found.why)
                self._on_file()
                continue
            external_id = self._name(found.path)
            how = f"{external_id} {self._how}"
            known = None if self._again else self._journal.outcome(found, how)
            if known is None:
                yield found, external_id, how
                continue
            self.tally.skipped += 1
            code, detail = known
            if code is not None:
                self._refuse(found.path, code, detail or "")
            self._on_file()

    def _work(self, task: tuple[File, str | None, str]) -> Outcome | None:
        if self.stopped:
            return None
        file, external_id, how = task
        try:
            return self._analyse(file, external_id, how)
        except OSError as error:
            return Outcome(file, how, refused=UNREADABLE, detail=error.strerror or str(error), lasting=False)
        except ServiceError as error:
            return Outcome(file, how, refused=error.code, detail=error.message)
        except Exception as error:  # one bad file must not stop the others
            log.exception("picture could not be analysed", path=str(file.path))
            return Outcome(file, how, refused=FAULT, detail=repr(error), lasting=False)

    def _analyse(self, file: File, external_id: str | None, how: str) -> Outcome:
        data = read_picture_file(file)
        if data is None:
            return Outcome(file, how)
        analysed = self._indexer.analyse(data, external_id)
        if len(analysed.picture.faces):
            return Outcome(file, how, analysed)
        reasons = sorted({reason for why in analysed.rejected for reason in why})
        refused = (REJECTED, ", ".join(reasons)) if reasons else (NO_FACE, "")
        return Outcome(file, how, analysed, *refused)

    def _write(self) -> None:
        batch, self._batch = self._batch, []
        self._written_at = time.monotonic()
        if not batch:
            return
        kept = [one.analysed for one in batch if one.analysed is not None and one.refused is None]
        added = self._indexer.store(kept) if kept else 0
        self._journal.enter((one.file, one.how, one.refused, one.detail) for one in batch if one.lasting)

        self.tally.pictures += len(kept)
        self.tally.faces_added += added
        self.tally.faces_known += sum(len(one.picture.faces) for one in kept) - added
        for one in batch:
            self._count(one)

    def _count(self, outcome: Outcome) -> None:
        if outcome.analysed is not None:
            self.tally.rejected.update(reason for why in outcome.analysed.rejected for reason in why)
        elif outcome.refused is None:
            self.tally.others += 1
        if outcome.refused is not None:
            self._refuse(outcome.file.path, outcome.refused, outcome.detail or "")
        self._on_file()

    def _refuse(self, path: Path, code: str, detail: str) -> None:
        self.tally.refused[code] += 1
        self._on_refused(path, code, detail)


def read_picture_file(file: File) -> bytes | None:
    """Return the bytes of a picture file; None for a file that neither is a picture nor is named like one.

    Raises:
        InvalidImageFormatError: It is named like a picture and is none.
        ImageTooLargeError: It has more than 15 MiB.
        OSError: It cannot be read.
    """
    with file.path.open("rb") as stream:
        head = stream.read(8)
        if not head.startswith(_HEADS):
            if file.path.suffix.lower() in _ENDINGS:
                raise InvalidImageFormatError
            return None
        data = head + stream.read(MAX_OBJECT_BYTES)
    if len(data) > MAX_OBJECT_BYTES:
        raise ImageTooLargeError
    return data


def unordered(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Generator[R]:
    """Give the results of ``work`` on each item as they come, with at most ``ahead`` items begun and not yet given."""
    pending: set[Future[R]] = set()
    try:
        for item in items:
            pending.add(pool.submit(work, item))
            if len(pending) >= ahead:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)
    finally:
        for one in pending:
            one.cancel()
