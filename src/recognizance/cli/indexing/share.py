"""One process's share of a job: it takes chunks, does them, and writes each with its faces in one transaction."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from recognizance.cli.indexing import jobs
from recognizance.cli.indexing.crew import AnalystLostError
from recognizance.cli.indexing.listing import Lister
from recognizance.cli.indexing.overlap import Behind, two_stages
from recognizance.cli.indexing.patience import patiently
from recognizance.cli.indexing.pictures import (
    UNREADABLE,
    Content,
    Outcome,
    Task,
    count_rejected,
    guarded,
    judge,
    named_like_a_picture,
    picture_bytes,
)
from recognizance.core import clock
from recognizance.core.errors import ImageTooLargeError, SetupError
from recognizance.storage.leases import Keeper, LeaseLostError, this_process
from recognizance.storage.repositories import bulk_jobs
from recognizance.storage.repositories.bulk_jobs import CHUNKS, Progress, Refusal
from recognizance.vision.image import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from recognizance.cli.indexing.jobs import Plan
    from recognizance.cli.indexing.pictures import Indexer
    from recognizance.storage.database import Database
    from recognizance.storage.leases import Lease
    from recognizance.storage.objects import ListedObjectStore
    from recognizance.storage.objects.listing import Entry
    from recognizance.storage.repositories.bulk_jobs import JobRow

log = structlog.get_logger(__name__)
T = TypeVar("T")

MOST_ATTEMPTS = 3
"""A chunk that has ended its process so often is set aside."""

_PAUSE_SECONDS = 20.0
_LOOK_SECONDS = 1.0
_FEW = 8


@dataclass(slots=True)
class Chunk:
    """A chunk that this process has taken.

    Attributes:
        lease: The right to work on it.
        waiting: How many of its objects are not dealt with.
        outcomes: What became of the others.
        lost: Whether another process has taken it over.
    """

    lease: Lease
    waiting: int
    outcomes: list[Outcome[Item]] = field(default_factory=list)
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """An object of a chunk."""

    chunk: Chunk
    entry: Entry


class Share:
    """One process's share of a job.

    Attributes:
        stopped: Whether it was told to stop.
        pictures: Pictures that this process has stored.

    Args:
        database: Where the job is.
        store: Where its pictures are.
        indexer: Analyses and stores.
        plan: The job.
        job: Its run.
        workers: Pictures that are analysed at once.
        readers: Pictures that are fetched at once.
        seconds: How long a lease lasts: how long others wait before they take over what a dead process had.
        chunk: Objects of a chunk.
        on_progress: Called now and then.
    """

    def __init__(
        self,
        database: Database,
        store: ListedObjectStore,
        indexer: Indexer,
        plan: Plan,
        job: JobRow,
        *,
        workers: int,
        readers: int,
        seconds: float,
        chunk: int = jobs.CHUNK_OBJECTS,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.stopped = False
        self.pictures = 0
        self._database, self._store, self._indexer, self._plan, self._job = database, store, indexer, plan, job
        self._workers, self._readers, self._seconds = workers, readers, seconds
        self._on_progress = on_progress
        self._lister = Lister(database, store, plan, job, seconds=seconds, chunk=chunk)
        self._keeper = Keeper(database, CHUNKS, seconds=seconds, on_lost=self._lose)
        self._held: dict[Lease, Chunk] = {}
        self._wake = threading.Event()

    def __call__(self) -> None:
        """Work until the whole job is done, by whomever, or until :meth:`stop`.

        Raises:
            SetupError: The bucket cannot be listed or read.
            ServiceError: The collection cannot take more, or is gone.
        """
        with self._keeper:
            guilty = False
            try:
                while not self.stopped and not self._is_finished():
                    self._lister.offer()
                    if not self._work_off():
                        self._on_progress()
                        self._wake.wait(_LOOK_SECONDS)
            except AnalystLostError:
                guilty = True  # one of the pictures may have ended it
                raise
            finally:
                self._lister.stop()
                self._hand_back(unused=not guilty)

    def stop(self) -> None:
        """Begin no more pictures; let others have what is not written."""
        self.stopped = True
        self._wake.set()

    def _is_finished(self) -> bool:
        def finish(connection: Connection) -> bool:
            return bulk_jobs.finish_if_done(connection, self._job.pk, clock.now())

        return self._written(finish)

    def _work_off(self) -> bool:
        """Do chunks until none is free; return whether there were any."""
        any_done = False
        stages = two_stages(self._items(), self._read, self._examine, readers=self._readers, workers=self._workers)
        with Behind() as behind, stages as outcomes:
            for outcome in outcomes:
                any_done = True
                chunk = outcome.task.subject.chunk
                chunk.outcomes.append(outcome)
                chunk.waiting -= 1
                if not chunk.waiting and not self.stopped:
                    behind(self._writing(chunk))
        return any_done

    def _items(self) -> Iterator[Task[Item]]:
        """Give the objects of one chunk after the other.

        A chunk that has failed before is done alone: should it end this process, no other chunk is held to account.
        """
        while not self.stopped and (claimed := self._written(self._claim)) is not None:
            lease, entries = claimed
            chunk = Chunk(lease, len(entries))
            self._held[lease] = chunk
            self._keeper.keep(lease)
            self._on_progress()
            for entry in entries:
                yield Task(Item(chunk, entry), self._plan.external_id(entry))
            if lease.attempt > 1:
                return

    def _claim(self, connection: Connection) -> tuple[Lease, list[Entry]] | None:
        """Take a chunk; None when none is free, or the one that is has to wait until this process holds no other."""
        lease = CHUNKS.claim(
            connection,
            bulk_jobs.of_job(self._job.pk),
            holder=this_process(),
            seconds=self._seconds,
            most_attempts=MOST_ATTEMPTS,
        )
        if lease is None:
            return None
        if lease.attempt > 1 and self._held:
            CHUNKS.hand_back(connection, lease, unused=True)
            return None
        entries = jobs.unpack(bulk_jobs.content(connection, lease))
        if lease.attempt == MOST_ATTEMPTS and len(entries) > 1:
            return lease, self._split(connection, lease, entries)
        return lease, entries

    def _split(self, connection: Connection, lease: Lease, entries: list[Entry]) -> list[Entry]:
        """Leave the first object alone in a chunk at its last attempt, and make a chunk of each other.

        So only what fails is set aside in the end, and not what happened to be listed beside it.
        """
        first, *rest = entries
        bulk_jobs.replace_content(connection, lease, jobs.pack([first]), 1)
        for entry in rest:
            bulk_jobs.add_chunk(connection, self._job.pk, jobs.pack([entry]), 1, attempts=MOST_ATTEMPTS - 1)
        return [first]

    def _read(self, task: Task[Item]) -> Outcome[Item] | Content[Item]:
        entry, content = task.subject.entry, []
        path = PurePosixPath(entry.key)

        def read() -> Outcome[Item]:
            try:
                data = self._store.read(self._plan.source.name, entry.key, None, MAX_OBJECT_BYTES)
            except ImageTooLargeError:
                if named_like_a_picture(path):
                    raise
                return Outcome(task)
            if picture_bytes(data, path) is not None:
                content.append(Content(task, data))
            return Outcome(task)

        if self._is_off(task):
            return Outcome(task)
        outcome = guarded(task, read, str_of_item)
        return content[0] if content else outcome

    def _examine(self, read: Outcome[Item] | Content[Item]) -> Outcome[Item]:
        if isinstance(read, Outcome):
            return read
        if self._is_off(read.task):
            return Outcome(read.task)
        return judge(read, self._indexer.analyse, str_of_item)

    def _is_off(self, task: Task[Item]) -> bool:
        return self.stopped or task.subject.chunk.lost

    def _lose(self, lease: Lease) -> None:
        """Let go of a chunk that another process has taken over, because this one was away for too long."""
        if (chunk := self._held.pop(lease, None)) is not None:
            chunk.lost = True

    # Writing

    def _writing(self, chunk: Chunk) -> Callable[[], None]:
        return lambda: self._write(chunk)

    def _write(self, chunk: Chunk) -> None:
        """Write a chunk's faces and mark it as done, both or neither."""
        troubled = [one for one in chunk.outcomes if not one.lasting]
        if chunk.lease.attempt == 1 and len(troubled) == len(chunk.outcomes) >= _FEW:
            self._refuse_to_go_on(troubled)
        again = troubled if chunk.lease.attempt < MOST_ATTEMPTS else []
        settled = [one for one in chunk.outcomes if one not in again] if again else chunk.outcomes
        kept = [one.analysed for one in settled if one.analysed is not None and one.refused is None]

        def also(connection: Connection, added: int) -> None:
            CHUNKS.check(connection, chunk.lease)
            progress = _progress(settled, sum(map(len, kept)), added)
            bulk_jobs.add_progress(connection, self._job.pk, progress)
            bulk_jobs.refuse(connection, self._job.pk, [_refusal(one) for one in settled if one.refused is not None])
            if again:
                self._leave(connection, chunk.lease, again)
            else:
                CHUNKS.finish(connection, chunk.lease, finished_at=clock.now())

        try:
            patiently(lambda: self._indexer.store(kept, also))
        except LeaseLostError:
            self._lose(chunk.lease)
        else:
            self.pictures += len(kept)
            self._held.pop(chunk.lease, None)
        self._keeper.let_go(chunk.lease)
        self._on_progress()

    def _leave(self, connection: Connection, lease: Lease, again: list[Outcome[Item]]) -> None:
        """Leave in the chunk what could not be read, to be tried again later."""
        rest = [one.task.subject.entry for one in again]
        bulk_jobs.replace_content(connection, lease, jobs.pack(rest), len(rest))
        trouble = f"{again[0].refused}: {again[0].detail}"
        CHUNKS.fail(connection, lease, trouble, pause=_PAUSE_SECONDS * lease.attempt)

    def _refuse_to_go_on(self, troubled: list[Outcome[Item]]) -> None:
        first = troubled[0]
        if first.refused == UNREADABLE:
            raise SetupError(
                f"None of {len(troubled)} objects of {self._plan.source} could be read: {first.detail}. What is done "
                "stays done; run the same command again when the store answers."
            )

    def _hand_back(self, *, unused: bool) -> None:
        """Let others have what is not written, at once."""
        left, self._held = list(self._held), {}
        for lease in left:
            self._keeper.let_go(lease)
        try:
            with self._database.begin() as connection:
                for lease in left:
                    CHUNKS.hand_back(connection, lease, unused=unused)
        except DBAPIError as error:  # then the leases end by themselves
            log.warning("leases not handed back", cause=str(error.orig))

    def _written(self, write: Callable[[Connection], T]) -> T:
        def once() -> T:
            with self._database.begin() as connection:
                return write(connection)

        return patiently(once)


def _progress(settled: list[Outcome[Item]], faces: int, added: int) -> Progress:
    rejected: Counter[str] = Counter()
    for one in settled:
        count_rejected(one, rejected)
    return Progress(
        dealt_with=len(settled),
        pictures=sum(one.analysed is not None and one.refused is None for one in settled),
        faces_added=added,
        faces_known=faces - added,
        others=sum(one.analysed is None and one.refused is None for one in settled),
        rejected=rejected,
    )


def _refusal(outcome: Outcome[Item]) -> Refusal:
    key = jobs.key_bytes(outcome.task.subject.entry.key)
    return Refusal(key, outcome.refused or "", outcome.detail or "", outcome.lasting)


def str_of_item(item: Item) -> str:
    """Return what the log calls an object."""
    return jobs.key_text(jobs.key_bytes(item.entry.key))
