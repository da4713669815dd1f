"""What an index does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What one probe found.

    Attributes:
        ids: (n,) int64, the best first; of equal scores the smallest id first.
        scores: (n,) float64 dot products, descending.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]


Part = tuple[NDArray[np.int64], NDArray[np.float16]]
"""(n,) ids, ascending, and (n, dimensions) vectors."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an index can be filled from.

    Attributes:
        keys: Returns every id, ascending.
        every: Gives all rows, ids ascending from part to part.
        some: Gives the rows of some ascending ids, in their order; ids that have gone meanwhile are left out.
    """

    keys: Callable[[], NDArray[np.int64]]
    every: Callable[[], Iterator[Part]]
    some: Callable[[NDArray[np.int64]], Iterator[Part]]


class Index(Protocol):
    """Vectors under ids, searched by dot product.

    Any number of threads may search while one adds or removes; callers see to it that only one at a time does. A
    search sees each vector either as it was before a change or as it is after, never half of it, and it sees every
    change that returned before the search began.

    Attributes:
        watermark: The revision of the collection's log up to which the index holds everything, -1 while it is not
            known to hold anything. Whoever feeds the index sets it, after the changes: an index that survives a restart
            may hold a little more than it says, and applying the log again does no harm.
    """

    watermark: int

    def __len__(self) -> int:
        """Return how many vectors there are."""
        ...

    def open(self) -> None:
        """Take over what was kept when the program last ran, and set the watermark accordingly."""
        ...

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.floating]) -> None:
        """Add vectors; one whose id is there already takes the other's place.

        Args:
            ids: (n,) int64, different from one another.
            vectors: (n, dimensions), kept as float32.
        """
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; ids that are not there are ignored."""
        ...

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], *, exact: bool = False
    ) -> list[Hits]:
        """Find the vectors with the greatest dot product with each probe.

        Args:
            probes: (k, dimensions) float32.
            count: The most hits for a probe, at least 1.
            minimum: (k,) least score of a hit, for each probe; minus infinity takes all.
            exact: Whether every vector is compared, however long that takes. Otherwise an index may miss hits; the
                scores of those that it returns are exact in any case.

        Returns:
            One result for each probe, in their order.
        """
        ...

    def get(self, ids: NDArray[np.int64]) -> Part:
        """Return those of the ascending ids that are held, and their vectors."""
        ...

    def reload(self, source: Source) -> None:
        """Come to hold what a source has. Rows that are held already are taken to be the same in the source."""
        ...

    def tend(self) -> None:
        """Do what has become due and may take long. One thread calls this, now and again, beside all others."""
        ...

    def owned(self) -> bool:
        """Return whether this process is the one that writes what is kept of the index."""
        ...

    def compact(self) -> None:
        """Write what is kept of the index anew, without what was removed."""
        ...

    def close(self) -> None:
        """Let go of files, threads and connections; no search may be running."""
        ...
