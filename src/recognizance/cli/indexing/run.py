"""One run over a folder: threads read and analyse pictures, one thread walks and keeps the books, another writes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recognizance.cli.indexing.journal import Done, Known
from recognizance.cli.indexing.overlap import Behind, two_stages
from recognizance.cli.indexing.pictures import (
    UNREADABLE,
    Content,
    Outcome,
    Task,
    count_rejected,
    guarded,
    judge,
    read_picture_file,
)
from recognizance.cli.indexing.walk import File, Unreadable, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from recognizance.cli.indexing.journal import Journal
    from recognizance.cli.indexing.pictures import Indexer

_BATCH_PICTURES = 256
_BATCH_SECONDS = 2.0


@dataclass(slots=True)
class Tally:
    """What has been done so far.

    Attributes:
        pictures: Pictures whose faces are in the collection now.
        renamed: Those among them that were not analysed, for the collection had them under another name.
        faces_added: Faces that were not in it before.
        faces_known: Faces that were.
        skipped: Files that an earlier run has done, be it under another path.
        others: Files that are no pictures.
        refused: Pictures that were refused, by reason, those of earlier runs included.
        rejected: Faces that the quality filter left out, by reason.
    """

    pictures: int = 0
    renamed: int = 0
    faces_added: int = 0
    faces_known: int = 0
    skipped: int = 0
    others: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)


class Run:
    """Indexes a folder.

    Attributes:
        tally: What has been done so far.
        stopped: Whether the run was told to stop.

    Args:
        indexer: Analyses and stores.
        journal: What earlier runs have done.
        name: Returns a file's external id.
        workers: How many pictures are analysed at once.
        again: Whether to do everything again.
        on_file: Called for every file that is dealt with.
        on_refused: Called with path, code and detail of every refusal.
    """

    def __init__(
        self,
        indexer: Indexer,
        journal: Journal,
        *,
        name: Callable[[Path], str | None],
        workers: int,
        again: bool = False,
        on_file: Callable[[], None] = lambda: None,
        on_refused: Callable[[Path, str, str], None] = lambda _path, _code, _detail: None,
    ) -> None:
        self.tally = Tally()
        self.stopped = False
        self._indexer, self._journal = indexer, journal
        self._name, self._workers, self._again = name, workers, again
        self._on_file, self._on_refused = on_file, on_refused
        self._counting = threading.Lock()

    def __call__(self, folder: Path) -> None:
        """Index every picture below the folder, or until :meth:`stop`; what is done then stays done.

        Raises:
            SetupError: The journal cannot be used.
            ServiceError: The collection cannot take more, or is gone.
        """
        batch: list[Outcome[File]] = []
        written_at = time.monotonic()
        stages = two_stages(
            self._tasks(folder), self._read, self._examine, readers=self._workers, workers=self._workers
        )
        with Behind() as behind, stages as outcomes:
            for outcome in filter(None, outcomes):
                batch.append(outcome)
                if len(batch) >= _BATCH_PICTURES or time.monotonic() - written_at >= _BATCH_SECONDS:
                    behind(self._writing(batch))
                    batch, written_at = [], time.monotonic()
            behind(self._writing(batch))

    def stop(self) -> None:
        """Begin no more pictures. The call returns when those that were begun are written."""
        self.stopped = True

    def _tasks(self, folder: Path) -> Iterator[tuple[Task[File], Known]]:
        for found in walk(folder):
            if self.stopped:
                return
            if isinstance(found, Unreadable):
                self._dealt_with(found.path, UNREADABLE, found.why)
                continue
            external_id = self._name(found.path)
            known = Known() if self._again else self._journal.file(found, external_id)
            if not known.done:
                yield Task(found, external_id), known
                continue
            self._dealt_with(found.path, known.refused, known.detail, skipped=True)

    def _read(self, item: tuple[Task[File], Known]) -> Outcome[File] | Content[File] | None:
        """Recognise a picture, or at least read it."""
        if self.stopped:
            return None
        task, known = item
        content: list[Content[File]] = []

        def read() -> Outcome[File]:
            if known.digest is not None and (found := self._recognise(task, known.digest)) is not None:
                return found
            data = read_picture_file(task.subject)
            if data is None:
                return Outcome(task)
            digest = hashlib.sha256(data).digest()
            if not self._again and (found := self._recognise(task, digest)) is not None:
                return found
            content.append(Content(task, data, digest))
            return Outcome(task)

        outcome = guarded(task, read, str_of_file)
        return content[0] if content else outcome

    def _recognise(self, task: Task[File], digest: bytes) -> Outcome[File] | None:
        """Return what became of this picture if it is done, under whatever name; None if it has to be analysed."""
        known = self._journal.picture(digest, task.external_id)
        if known.done or known.refused is not None:
            return Outcome(task, refused=known.refused, detail=known.detail, digest=digest, known=True)
        if known.face_ids:
            renamed = self._indexer.renamed(known.face_ids, digest, task.external_id)
            return None if renamed is None else Outcome(task, renamed, digest=digest, known=True)
        return None

    def _examine(self, read: Outcome[File] | Content[File] | None) -> Outcome[File] | None:
        if self.stopped or read is None:
            return None
        if isinstance(read, Outcome):
            return read
        return judge(read, self._indexer.analyse, str_of_file)

    def _writing(self, batch: list[Outcome[File]]) -> Callable[[], None]:
        return lambda: self._write(batch)

    def _write(self, batch: list[Outcome[File]]) -> None:
        kept = [(row, one.analysed) for row, one in enumerate(batch) if one.analysed is not None and not one.refused]
        ids, added = self._indexer.store([analysed for _, analysed in kept]) if kept else ([], 0)
        face_ids = {row: tuple(faces) for (row, _), faces in zip(kept, ids, strict=True)}
        self._journal.enter(_done(one, face_ids.get(row)) for row, one in enumerate(batch) if one.lasting)
        tally = self.tally
        tally.pictures += len(kept)
        tally.faces_added += added
        tally.faces_known += sum(len(analysed) for _, analysed in kept) - added
        tally.renamed += sum(one.known and one.analysed is not None for one in batch)
        for one in batch:
            self._count(one)

    def _count(self, outcome: Outcome[File]) -> None:
        count_rejected(outcome, self.tally.rejected)
        if outcome.analysed is None and not outcome.known and outcome.refused is None:
            self.tally.others += 1
        self._dealt_with(
            outcome.task.subject.path,
            outcome.refused,
            outcome.detail,
            skipped=outcome.known and outcome.analysed is None,
        )

    def _dealt_with(self, path: Path, refused: str | None, detail: str | None, *, skipped: bool = False) -> None:
        """Count a file: in the thread that writes, or in that which walks."""
        with self._counting:
            self.tally.skipped += skipped
            if refused is not None:
                self.tally.refused[refused] += 1
                self._on_refused(path, refused, detail or "")
        self._on_file()


def _done(outcome: Outcome[File], face_ids: tuple[str, ...] | None) -> Done:
    task = outcome.task
    if face_ids is None and not (outcome.known and outcome.refused is None):
        face_ids = ()  # refused, or no picture; what is known under this name keeps the faces that it has
    return Done(task.subject, task.external_id, outcome.digest, outcome.refused, outcome.detail, face_ids)


def str_of_file(file: File) -> str:
    """Return what the log calls a file."""
    return str(file.path)
