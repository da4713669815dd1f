"""Listing a job's source into chunks, while others already work on the first ones."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import DBAPIError

from recognizance.cli.indexing.jobs import Finished, key_bytes, pack
from recognizance.cli.indexing.patience import may_pass
from recognizance.core.errors import RecognizanceError
from recognizance.storage.leases import Keeper, LeaseLostError, this_process
from recognizance.storage.repositories import bulk_jobs
from recognizance.storage.repositories.bulk_jobs import LISTINGS

if TYPE_CHECKING:
    from recognizance.cli.indexing.jobs import Plan
    from recognizance.storage.database import Database
    from recognizance.storage.leases import Lease
    from recognizance.storage.objects import ListedObjectStore
    from recognizance.storage.objects.listing import Entry
    from recognizance.storage.repositories.bulk_jobs import JobRow

log = structlog.get_logger(__name__)

_ANY_NUMBER = 1_000_000
"""A listing that fails is the store's or the network's fault, not the listing's: it may be tried for ever."""


class Lister:
    """Lists a job's source from a thread, if nobody else does: one process of all that work on the job.

    Args:
        database: Where the job is.
        store: Where its bucket is.
        plan: The job.
        job: Its run.
        seconds: How long a lease lasts.
        chunk: Objects of a chunk.
    """

    def __init__(
        self, database: Database, store: ListedObjectStore, plan: Plan, job: JobRow, *, seconds: float, chunk: int
    ) -> None:
        self._database, self._store, self._plan, self._job = database, store, plan, job
        self._seconds, self._chunk = seconds, chunk
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def offer(self) -> None:
        """Begin to list, unless this or another process does so already, or it is done.

        Raises:
            SetupError: The bucket cannot be listed.
        """
        if self._error is not None:
            raise self._error
        if self._thread is not None and self._thread.is_alive():
            return
        with self._database.begin() as connection:
            lease = LISTINGS.claim(
                connection,
                bulk_jobs.only(self._job.pk),
                holder=this_process(),
                seconds=self._seconds,
                most_attempts=_ANY_NUMBER,
            )
        if lease is not None:
            self._thread = threading.Thread(target=self._run, args=(lease,), name="list", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop listing, so that another process may go on with it."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, lease: Lease) -> None:
        try:
            with Keeper(self._database, LISTINGS, seconds=self._seconds) as keeper:
                keeper.keep(lease)
                self._list(lease)
        except LeaseLostError:
            pass  # this process was away for too long; another one goes on
        except DBAPIError as error:
            if not may_pass(error):
                self._error = error
        except RecognizanceError as error:  # raised again in the thread that looks after this one
            self._error = error
        except Exception as error:
            log.exception("listing failed", source=str(self._plan.source))
            self._error = error
        finally:
            with suppress(DBAPIError), self._database.begin() as connection:  # else the lease ends by itself
                LISTINGS.hand_back(connection, lease, unused=True)

    def _list(self, lease: Lease) -> None:
        with self._database.read() as connection:
            job = bulk_jobs.get(connection, self._job.pk)
            finished = Finished.of(connection, self._plan, self._job)
        if job is None:
            raise LeaseLostError
        source, after = self._plan.source, (job.listed_to or b"").decode("utf-8", "surrogateescape")
        chunk: list[Entry] = []
        skipped = 0
        last = after
        for entry in self._store.entries(source.name, source.prefix, after):
            if self._stopped.is_set():
                return
            last = entry.key
            if entry in finished:
                skipped += 1
            else:
                chunk.append(entry)
            if len(chunk) + skipped / 100 >= self._chunk:  # those that are skipped cost little
                self._append(lease, chunk, skipped, last)
                chunk, skipped = [], 0
        self._append(lease, chunk, skipped, last, complete=True)

    def _append(self, lease: Lease, chunk: list[Entry], skipped: int, last: str, *, complete: bool = False) -> None:
        with self._database.begin() as connection:
            LISTINGS.check(connection, lease)
            if chunk:
                bulk_jobs.add_chunk(connection, self._job.pk, pack(chunk), len(chunk))
            # One update alone: at a second one PostgreSQL would check the key of the collection, which may be locked by
            # whoever writes faces and waits for this row.
            values = bulk_jobs.listing(key_bytes(last), len(chunk), skipped)
            if complete:
                LISTINGS.finish(connection, lease, **values)
            else:
                bulk_jobs.extend_listing(connection, self._job.pk, values)
