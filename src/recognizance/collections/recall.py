"""How much the ordinary search misses, measured on what is really asked."""

import random
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizance.collections.index import Hits, Index

_WAITING = 16
_MOST_HITS = 100


@dataclass(frozen=True, slots=True)
class Tally:
    """What was found out so far.

    Attributes:
        searches: Probes that were searched for once more, exactly.
        found: Of the hits that those searches gave, the ones that the ordinary search had given.
        missed: The others.
    """

    searches: int = 0
    found: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Check:
    index: Index
    watermark: int
    probes: NDArray[np.float32]
    count: int
    minimum: NDArray[np.float64]
    hits: list[Hits]


class RecallMonitor:
    """Repeats a share of all searches exactly, later, in the thread of the upkeep.

    Nothing but the tally is kept: a probe is forgotten once it was checked, or when sixteen others wait behind it.

    Args:
        share: Which share of searches is repeated, 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._waiting: deque[_Check] = deque(maxlen=_WAITING)
        self._tally = Tally()

    @property
    def tally(self) -> Tally:
        """What was found out so far."""
        return self._tally

    def offer(
        self, index: Index, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], hits: list[Hits]
    ) -> None:
        """Take note of an ordinary search that has just been made, if its turn has come."""
        if random.random() < self._share:  # noqa: S311 - no secret hangs on which ones are checked
            self._waiting.append(_Check(index, index.watermark, probes, count, minimum, hits))

    def check(self) -> None:
        """Repeat the searches that wait, in one thread, except in collections that have changed meanwhile."""
        while self._waiting:
            one = self._waiting.popleft()
            count = min(one.count, _MOST_HITS)
            exact = one.index.search(one.probes, count, one.minimum, exact=True)
            if one.index.watermark != one.watermark:
                continue
            wanted = sum(len(hits.ids) for hits in exact)
            got = [len(np.intersect1d(a.ids, b.ids[:count])) for a, b in zip(exact, one.hits, strict=True)]
            before = self._tally
            self._tally = Tally(
                before.searches + len(exact), before.found + sum(got), before.missed + wanted - sum(got)
            )
