"""What is done for the galleries beside the requests: following the log, and writing and training indexes."""

import threading
import time

import structlog

from recognizance.collections.galleries import Galleries
from recognizance.core.errors import TemporarilyUnavailableError
from recognizance.storage.database import Database
from recognizance.storage.notifications import Listener
from recognizance.storage.repositories import collections

log = structlog.get_logger(__name__)

_WAIT_SECONDS = 1.0
_SWEEP_SECONDS = 60.0


class Upkeep:
    """A thread that keeps the galleries of a process in order.

    No search depends on it: each catches up by itself. It sees to it that there is little to catch up with, after
    another process has indexed a million faces, say.

    Args:
        database: Whose writes to follow.
        galleries: What to keep in order.
        load: Whether to load large collections at once, before anybody searches them.
    """

    def __init__(self, database: Database, galleries: Galleries, *, load: bool = False) -> None:
        self._database, self._galleries = database, galleries
        self._listener = Listener(database)
        self._stopped = threading.Event()
        self._swept_at = 0.0
        self._load = load
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for what is being done."""
        self._stopped.set()
        self._listener.close()
        self._thread.join()

    def _run(self) -> None:
        trouble = False
        while not self._stopped.is_set():
            try:
                self._listener.wait(_WAIT_SECONDS)
                self._once()
                trouble = False
            except TemporarilyUnavailableError:  # whoever raised it has told the log
                self._stopped.wait(_WAIT_SECONDS)
            except Exception as error:  # whatever it was, the next round may go well
                if not trouble:
                    log.exception("the upkeep of collections failed and is tried again", error=str(error))
                trouble = True
                self._stopped.wait(_WAIT_SECONDS)

    def _once(self) -> None:
        with self._database.read() as connection:
            revisions = collections.revisions(connection)
        if self._load:
            self._galleries.load_large()
            self._load = False
        loaded = self._galleries.loaded()
        if loaded.keys() - revisions.keys() or time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            self._galleries.sweep()
            self._swept_at = time.monotonic()
        failure: Exception | None = None
        for pk in loaded.keys() & revisions.keys():
            if self._stopped.is_set():
                return
            try:
                if 0 <= loaded[pk].revision < revisions[pk]:
                    self._galleries.follow(loaded[pk], revisions[pk])
                loaded[pk].tend()
            except Exception as error:  # noqa: BLE001 - raised below: the other collections need their upkeep as well
                failure = failure or error
        self._galleries.recall.check()
        if failure:
            raise failure
