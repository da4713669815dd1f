"""Searches that meet are made together."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from recognizance.collections.index.protocol import Hits, Index

LARGEST = 16
"""Probes that are searched together: each vector that comes from memory is compared with all of them."""


class Coalescer:
    """Makes the searches of many threads, in common batches while there are several.

    Whoever finds nobody searching makes every search that waits, its own included; a lone caller pays nothing. Results
    do not depend on who shared a batch.

    Args:
        index: Returns the index to search.
    """

    def __init__(self, index: Callable[[], Index]) -> None:
        self._index = index
        self._waiting: list[_Search] = []
        self._searching = False
        self._turn = threading.Condition()

    @property
    def index(self) -> Index:
        """The index that is searched."""
        return self._index()

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], *, exact: bool = False
    ) -> list[Hits]:
        """Find the vectors with the greatest dot product with each probe; see ``Index.search``."""
        if exact or len(probes) > LARGEST:
            return self._index().search(probes, count, minimum, exact=exact)
        mine = _Search(probes, count, minimum)
        with self._turn:
            self._waiting.append(mine)
        while not mine.hits.done():
            with self._turn:
                # Whose search is done must not wait for the next batch, so nobody queues at a lock for their turn.
                self._turn.wait_for(lambda: mine.hits.done() or not self._searching)
                if mine.hits.done():
                    break
                self._searching = True
                batch = self._take()
            try:
                self._make(batch)
            finally:
                with self._turn:
                    self._searching = False
                    self._turn.notify_all()
        return mine.hits.result()

    def _take(self) -> "list[_Search]":
        """Take those that have waited longest and want as many hits as the first: more would be work for nothing."""
        taken: list[_Search] = []
        left: list[_Search] = []
        size = 0
        for one in self._waiting:
            fits = not taken or (one.count == taken[0].count and size + len(one.probes) <= LARGEST)
            (taken if fits else left).append(one)
            size += len(one.probes) if fits else 0
        self._waiting = left
        return taken

    def _make(self, searches: "list[_Search]") -> None:
        try:
            probes = np.concatenate([one.probes for one in searches])
            minimum = np.concatenate([one.minimum for one in searches])
            found = self._index().search(probes, searches[0].count, minimum)
            for one in searches:
                one.hits.set_result(found[: len(one.probes)])
                found = found[len(one.probes) :]
        except BaseException as error:
            for one in searches:
                if not one.hits.done():
                    one.hits.set_exception(error)
            if not isinstance(error, Exception):
                raise


class _Search:
    __slots__ = ("count", "hits", "minimum", "probes")

    def __init__(self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64]) -> None:
        self.probes, self.count, self.minimum = probes, count, minimum
        self.hits: Future[list[Hits]] = Future()
