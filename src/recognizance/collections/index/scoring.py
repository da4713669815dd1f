"""Exact scores of the few vectors that a fast, rounded scan proposes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recognizance.collections.index.protocol import Hits

Rescore = Callable[[NDArray[np.intp]], tuple[NDArray[np.int64], NDArray[np.float64]]]
"""Returns the ids at some places, and their scores in float64."""


def rounding(probe: NDArray[np.float32], largest_norm: float) -> float:
    """Return by how much two float32 scores of a probe may stand in the wrong order.

    A float32 dot product of n terms errs by at most about n * 2^-24 times the product of the lengths (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1); twice that, as both sides of a comparison err.

    Args:
        probe: (n,) float32.
        largest_norm: The length of the longest vector.
    """
    return (len(probe) + 2) * 2.0**-23 * float(np.linalg.norm(probe)) * largest_norm


def exact_scores(vectors: NDArray[np.floating], probe: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the (n,) scores of (n, d) vectors, each computed from its own two vectors alone.

    A matrix product's rounding depends on where in the matrix a vector lies; here equal vectors score equally, in
    whatever index they lie, so that ties do not break at random.
    """
    products: NDArray[np.float64] = (vectors * probe.astype(np.float64)).sum(axis=1)
    return products


def select(approximate: NDArray[np.float32], slack: float, count: int, minimum: float, rescore: Rescore) -> Hits:
    """Return the best hits of one probe.

    Args:
        approximate: (n,) float32 scores of every place.
        slack: By how much two of them may stand in the wrong order.
        count: The most hits.
        minimum: The least score of a hit.
        rescore: Called once, with ascending places.
    """
    places = np.flatnonzero(approximate >= minimum - slack)
    if len(places) > count:
        among = approximate[places]
        border = np.partition(among, len(among) - count)[len(among) - count]
        places = places[among >= border - slack]
    ids, exact = rescore(places)
    return best(ids, exact, count, minimum)


def best(ids: NDArray[np.int64], exact: NDArray[np.float64], count: int, minimum: float) -> Hits:
    """Return the best of these hits: the greatest scores first, of equal ones the smallest id first."""
    kept = np.flatnonzero(exact >= minimum)
    order = kept[np.lexsort((ids[kept], -exact[kept]))][:count]
    return Hits(ids[order], exact[order])
