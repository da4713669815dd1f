"""Keeping leases while the work on them goes on.

A process that works on rows of a table takes a lease on each, renews it from a thread, and finishes the row in the
transaction that writes the results. When the process dies, its leases end by themselves and others take the rows.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Self

import structlog
from sqlalchemy.exc import DBAPIError

from recognizance.storage.repositories.leases import Lease, LeaseLostError, Leases

if TYPE_CHECKING:
    from collections.abc import Callable

    from recognizance.storage.database import Database

__all__ = ["Keeper", "Lease", "LeaseLostError", "Leases", "this_process"]

log = structlog.get_logger(__name__)

_RENEWALS = 3
"""How often a lease is renewed in its length: two renewals in a row may fail."""


def this_process() -> str:
    """Return the name of this process as others on other machines may read it: host and process number."""
    return f"{socket.gethostname()[:240]}:{os.getpid()}"


class Keeper:
    """Renews leases from a thread of its own until they are let go. A context manager.

    A database that does not answer is asked again; leases that ended meanwhile are lost only if somebody took the row.

    Args:
        database: Where the table is.
        leases: The table's leases.
        seconds: How long a lease lasts.
        on_lost: Called, from the thread, with each lease that somebody else has taken over.
    """

    def __init__(
        self, database: Database, leases: Leases, *, seconds: float, on_lost: Callable[[Lease], None] = lambda _: None
    ) -> None:
        self._database, self._leases, self._seconds, self._on_lost = database, leases, seconds, on_lost
        self._held: set[Lease] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def keep(self, lease: Lease) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held.add(lease)

    def let_go(self, lease: Lease) -> None:
        """Renew this lease no more."""
        with self._lock:
            self._held.discard(lease)

    def held(self) -> list[Lease]:
        """Return the leases that are kept."""
        with self._lock:
            return sorted(self._held, key=lambda one: one.pk)

    def _renew_for_ever(self) -> None:
        while not self._ended.wait(self._seconds / _RENEWALS):
            held = self.held()
            if not held:
                continue
            try:
                with self._database.begin() as connection:
                    lost = self._leases.renew(connection, held, seconds=self._seconds)
            except DBAPIError as error:
                log.warning("leases not renewed", cause=str(error.orig))
                continue
            for lease in lost & set(self.held()):  # those let go meanwhile were finished
                self.let_go(lease)
                self._on_lost(lease)
