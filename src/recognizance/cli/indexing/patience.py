"""Waiting out a database that is restarted or changes hands: a run of days must not end with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)
T = TypeVar("T")

_TRIES = 7
# PostgreSQL's words for "not your fault, do it again": https://www.postgresql.org/docs/current/errcodes-appendix.html
_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED = "40001", "40P01"


def may_pass(error: DBAPIError) -> bool:
    """Tell whether what the database complains of may be over in a moment."""
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in {
        _SERIALIZATION_FAILURE,
        _DEADLOCK_DETECTED,
    }


def patiently(work: Callable[[], T]) -> T:
    """Do something with the database, again and again for a minute when it cannot be reached.

    What is done must bear being done twice: whether a commit that was not answered took place nobody can tell.
    """
    for turn in range(_TRIES):
        try:
            return work()
        except DBAPIError as error:
            if not may_pass(error):
                raise
            log.warning("database not reached", cause=str(error.orig))
            time.sleep(2**turn / 2)
    return work()
