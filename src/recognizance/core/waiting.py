"""Saying that a thread waits for another machine.

A server bounds how many of its threads work. A thread that only waits, for a bucket across the network say, computes
nothing, and whoever bounds the work may let another thread go on meanwhile. Rooms that wait say so with
:func:`elsewhere`; who hears it is set with :func:`heard_by`. Where nobody does it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal

Remote = Literal["objects", "vectors"]
"""What may be waited for: ``objects`` are those of an S3 store, ``vectors`` those in Milvus."""

Pause = Callable[[Remote], AbstractContextManager[None]]
"""Begins a wait; its end may take a moment, until there is room to work again."""

_pause: ContextVar[Pause | None] = ContextVar("pause", default=None)


def elsewhere(what: Remote) -> AbstractContextManager[None]:
    """Return a context in which this thread waits for another machine and does nothing else.

    Enter it before any lock, and hold none when it ends: those who work may be waiting for that lock, and this thread
    would wait for them.

    Raises:
        ThroughputExceededError: On entering: too many threads wait for it already.
    """
    pause = _pause.get()
    return nullcontext() if pause is None else pause(what)


@contextmanager
def heard_by(pause: Pause) -> Iterator[None]:
    """Give the waits of this thread to ``pause`` while the context lasts."""
    token = _pause.set(pause)
    try:
        yield
    finally:
        _pause.reset(token)
