"""Searches side by side, changes alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Lets any number of searches in, or one change that moves vectors under their feet.

    A waiting change goes before new searches: it takes microseconds, and searches never stop coming.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._searches = 0
        self._changes = 0

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Let a search in, after the changes that wait."""
        with self._condition:
            while self._changes:
                self._condition.wait()
            self._searches += 1
        try:
            yield
        finally:
            with self._condition:
                self._searches -= 1
                self._condition.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let a change in, after the searches that run."""
        with self._condition:
            self._changes += 1
            while self._searches:
                self._condition.wait()
        try:
            yield
        finally:
            with self._condition:
                self._changes -= 1
                self._condition.notify_all()
