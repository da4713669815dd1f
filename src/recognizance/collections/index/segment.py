"""Segments: rows that were written once, searched by their codes and scored by their vectors."""

import mmap
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recognizance.collections.index.codes import Codebook, Codes
from recognizance.collections.index.protocol import Hits
from recognizance.collections.index.scoring import best, exact_scores, rounding, select

CAPACITY = 262_144
"""The most rows of a segment: few enough that every core gets some, and that one is written anew in a second."""

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a scan of the codes proposes.

    Attributes:
        scores: (k, n) approximate float32 scores for each of k probes; minus infinity where the row is hidden.
        rows: (k, n) int64 rows of the segment.
    """

    scores: NDArray[np.float32]
    rows: NDArray[np.int64]


class Segment:
    """Rows that never change; they can only be hidden.

    Args:
        ids: (n,) int64, ascending.
        codes: The codes of the vectors, by row.
        vectors: (n, d) float16, in memory or mapped from a file.
        mapping: The file's mapping, if that is where the vectors are.
        name: The file's name, None for a segment that is only in memory.
        checksum: The file's CRC-32.

    Attributes:
        ids: As above.
        alive: (n,) bool, False where the row is hidden.
        vectors: As above.
        codes: As above.
        name: As above.
        checksum: As above.
    """

    def __init__(
        self,
        ids: NDArray[np.int64],
        codes: Codes,
        vectors: NDArray[np.float16],
        *,
        mapping: mmap.mmap | None = None,
        name: str | None = None,
        checksum: int = 0,
    ) -> None:
        self.ids = ids
        self.alive = np.ones(len(ids), bool)
        self.vectors = vectors
        self.codes = codes
        self.name, self.checksum = name, checksum
        self._mapping = mapping
        self._hidden = 0

    @classmethod
    def encode(cls, ids: NDArray[np.int64], vectors: NDArray[np.float16], codebook: Codebook) -> Self:
        """Make a segment in memory; ids ascend."""
        return cls(ids, codebook.encode(vectors), vectors)

    def __len__(self) -> int:
        """Return how many rows are not hidden."""
        return len(self.ids) - self._hidden

    @property
    def hidden(self) -> NDArray[np.int64]:
        """The ids of the hidden rows, ascending."""
        return self.ids[~self.alive]

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the rows of those of the ids that are here and not hidden."""
        if not len(self.ids):
            return np.empty(0, np.intp)
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        found: NDArray[np.intp] = rows[(self.ids[rows] == ids) & self.alive[rows]]
        return found

    def hide(self, ids: NDArray[np.int64]) -> None:
        """Hide the rows of those of the ids that are here."""
        rows = self.places(ids)
        self.alive[rows] = False
        self._hidden += len(rows)

    def hide_all_but(self, shown: NDArray[np.bool_]) -> None:
        """Show exactly these (n,) rows."""
        self.alive = shown
        self._hidden = len(self.ids) - int(np.count_nonzero(shown))

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Return copies of the ids and vectors of the rows that are not hidden."""
        ids = self.ids[self.alive]
        return ids, self.vectors[: len(self.ids)][self.alive]

    def scan(self, probes: NDArray[np.float32], count: int) -> Candidates:
        """Propose the ``count`` best rows for each probe, by their codes; all if there are no more."""
        # Hidden rows take up places, so as many more are asked for.
        wanted = min(count + self._hidden, len(self.ids))
        scores, rows = self.codes.search(probes, wanted)
        # Where faiss finds fewer than asked for (those that score nothing at all are left out) it says row -1.
        nothing = rows < 0
        if nothing.any():
            scores[nothing], rows[nothing] = -np.inf, 0
        if self._hidden:
            scores[~self.alive[rows]] = -np.inf
        return Candidates(scores, rows)

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], alive: NDArray[np.bool_]
    ) -> list[Hits]:
        """Compare the rows that ``alive`` says, (n,), with every probe; see ``Index.search``."""
        found: list[list[Hits]] = [[] for _ in probes]
        for start in range(0, len(self.ids), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            ids, vectors = self.ids[part][alive[part]], self.vectors[part][alive[part]].astype(np.float32)
            if not len(ids):
                continue
            scores, norm = probes @ vectors.T, longest(vectors)
            for number, (probe, row) in enumerate(zip(probes, scores, strict=True)):
                found[number].append(score(probe, ids, vectors, row, norm, count, float(minimum[number])))
            self.let_go()
        return [merge(parts, count) for parts in found]

    def let_go(self) -> None:
        """Give the pages of the file that were looked at back to the system, which keeps them while it has room."""
        if self._mapping is not None:
            self._mapping.madvise(mmap.MADV_DONTNEED)


def longest(vectors: NDArray[np.float32]) -> float:
    """Return the length of the longest of at least one vector."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max()))


def score(
    probe: NDArray[np.float32],
    ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
    rounded: NDArray[np.float32],
    norm: float,
    count: int,
    minimum: float,
) -> Hits:
    """Return the best hits among (n, d) vectors whose scores are known in float32."""
    return select(
        rounded,
        rounding(probe, norm),
        count,
        minimum,
        lambda places: (ids[places], exact_scores(vectors[places], probe)),
    )


def merge(parts: list[Hits], count: int) -> Hits:
    """Return the best hits of several parts of an index."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Hits(np.empty(0, np.int64), np.empty(0, np.float64))
    ids, scores = np.concatenate([one.ids for one in parts]), np.concatenate([one.scores for one in parts])
    return best(ids, scores, count, -np.inf)
