"""What a search must find: the best hits by comparing everything, a chunk at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recognizance.vision.faces import FloatArray

HITS = 10
"""Best hits of each probe that are compared."""


class Truth:
    """Collects the best rows for each probe, chunk by chunk.

    Args:
        probes: (p, width) float32.
    """

    def __init__(self, probes: FloatArray) -> None:
        self._probes = probes
        self._seen = 0
        self._scores = np.full((len(probes), HITS), -np.inf, np.float32)
        self._rows = np.full((len(probes), HITS), -1, np.int64)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The (p, 10) best rows of what was seen, the best first; -1 where there were fewer."""
        return self._rows

    def see(self, chunk: NDArray[np.float16]) -> None:
        """Compare the next (n, width) rows with all probes."""
        scores = self._probes @ chunk.astype(np.float32).T
        for number in np.flatnonzero(scores.max(axis=1) > self._scores[:, -1]).tolist():
            better = np.flatnonzero(scores[number] > self._scores[number, -1])
            all_scores = np.concatenate([self._scores[number], scores[number, better]])
            all_rows = np.concatenate([self._rows[number], better + self._seen])
            order = np.argsort(-all_scores, kind="stable")[:HITS]
            self._scores[number], self._rows[number] = all_scores[order], all_rows[order]
        self._seen += len(chunk)

    def recall(self, found: Sequence[Sequence[int]], probes: Sequence[int], at: int) -> float:
        """Return the share of the best rows that searches found.

        Args:
            found: The rows that each search found, the best first.
            probes: Which probe each search was for.
            at: How many of the best rows count, 10 at most.
        """
        hits = [
            len(set(rows[:at]) & set(self._rows[probe, :at].tolist()))
            for rows, probe in zip(found, probes, strict=True)
        ]
        wanted = [int((self._rows[probe, :at] >= 0).sum()) for probe in probes]
        return sum(hits) / max(1, sum(wanted))
