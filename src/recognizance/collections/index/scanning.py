"""Searching segments: their codes propose rows, whose vectors are then scored exactly."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recognizance.collections.index.protocol import Hits
from recognizance.collections.index.segment import Candidates, Segment, longest, merge, score
from recognizance.collections.index.threads import scanners

T = TypeVar("T")
R = TypeVar("R")


def candidates(count: int, total: int) -> int:
    """Return how many rows are scored exactly, those with the best codes, to find the ``count`` best of ``total``.

    Fitted to what it took to find 99 of 100 on a gallery without any clusters to speak of, the hardest there is, and
    999 of 1000 on one of real embeddings: docs/explanation/search.md has the measurements.
    """
    fitted: float = 300 * count**0.6 * (total / 1e6) ** 0.3
    return max(200, count, math.ceil(fitted))


def search_codes(
    segments: Sequence[Segment], probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64]
) -> tuple[list[Hits], int]:
    """Find the best rows of at least one segment for each probe, all but a few of them; see ``Index.search``.

    Returns:
        The hits of each probe, and how many vectors were looked at in all.
    """
    total = sum(map(len, segments))
    wanted = candidates(count, total)

    def scan(segment: Segment) -> Candidates:
        # Twice a segment's share of the best rows, for what was stored together often belongs together.
        return segment.scan(probes, 2 * wanted * len(segment) // max(1, total) + 100)

    def refine(number: int) -> tuple[Hits, int]:
        mine = [(one.scores[number], one.rows[number]) for one in proposed]
        probe, least = probes[number], float(minimum[number])
        ids, vectors = _chosen(segments, mine, wanted, least)
        if not len(ids):
            return merge([], count), 0
        return score(probe, ids, vectors, vectors @ probe, longest(vectors), count, least), len(ids)

    proposed = list(_each(scan, segments))
    refined = list(_each(refine, range(len(probes))))
    return [hits for hits, _ in refined], sum(looked_at for _, looked_at in refined)


def _each(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Call a function for each item, on all cores if there are several."""
    return map(function, items) if len(items) == 1 else scanners().map(function, items)


def _chosen(
    segments: Sequence[Segment],
    proposed: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]],
    wanted: int,
    minimum: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ids and vectors of the ``wanted`` best proposals that may reach the minimum."""
    scores = np.concatenate([scores for scores, _ in proposed])
    best = -np.inf if len(scores) <= wanted else np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
    ids, vectors = [], []
    for segment, (some, rows) in zip(segments, proposed, strict=True):
        least = max(float(best), minimum - segment.codes.codebook.slack)
        chosen = np.sort(rows[(some >= least) & (some > -np.inf)])  # in the order of the file
        if len(chosen):
            ids.append(segment.ids[chosen])
            vectors.append(segment.vectors[chosen])
    if not ids:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    return np.concatenate(ids), np.concatenate(vectors).astype(np.float32)
