"""Measuring a model contract: verification error rates, in the terms of ISO/IEC 19795-1."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.faces import FloatArray

# Scores lie between -1.5 (opposite faces of the highest impostor level) and 1.5; a bin is far finer than any
# threshold needs to be.
LOWEST, HIGHEST, BINS = -1.5, 1.5, 300_000
BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """How many mated and non-mated pairs have which score, as histograms.

    Attributes:
        mated: (BINS,) counts of pairs of one person, by score.
        non_mated: (BINS,) counts of pairs of different people, by score.
    """

    mated: NDArray[np.int64]
    non_mated: NDArray[np.int64]

    @classmethod
    def of_all_pairs(cls, embeddings: FloatArray, impostor_levels: FloatArray, people: NDArray[np.intp]) -> Self:
        """Score every picture against every other one.

        Args:
            embeddings: (n, d) of unit length.
            impostor_levels: (n,).
            people: (n,) number of the person in each picture.
        """
        counts = {True: np.zeros(BINS, np.int64), False: np.zeros(BINS, np.int64)}
        halves = impostor_levels / 2
        for start in range(0, len(embeddings), BLOCK):
            rows = slice(start, start + BLOCK)
            scores = embeddings[rows] @ embeddings[start:].T - halves[rows, None] - halves[None, start:]
            same = people[rows, None] == people[None, start:]
            once = np.arange(scores.shape[1])[None, :] > np.arange(scores.shape[0])[:, None]
            for mated in (True, False):
                counts[mated] += np.bincount(_bins(scores[once & (same == mated)]), minlength=BINS)
        return cls(counts[True], counts[False])

    def fmr_at(self, score: float) -> float | None:
        """Return the false match rate of a threshold: the share of non-mated pairs at or above it."""
        return _share_from(self.non_mated, score)

    def fnmr_at(self, score: float) -> float | None:
        """Return the false non-match rate of a threshold: the share of mated pairs below it."""
        found = _share_from(self.mated, score)
        return None if found is None else 1 - found

    def tar_at_fmr(self, fmr: float) -> float | None:
        """Return the share of mated pairs found at the lowest threshold whose false match rate is at most this.

        None where there are too few non-mated pairs for a single one of them to stand for the rate.
        """
        total = self.non_mated.sum()
        if total * fmr < 1:
            return None
        above = np.cumsum(self.non_mated[::-1])[::-1]
        allowed = np.nonzero(above <= fmr * total)[0]
        first = int(allowed[0]) if len(allowed) else BINS
        mated = self.mated.sum()
        return float(self.mated[first:].sum() / mated) if mated else None


def _bins(scores: FloatArray) -> NDArray[np.int64]:
    position = (scores.astype(np.float64) - LOWEST) * (BINS / (HIGHEST - LOWEST))
    return np.clip(position, 0, BINS - 1).astype(np.int64)


def _share_from(counts: NDArray[np.int64], score: float) -> float | None:
    total = counts.sum()
    first = int(np.clip(np.ceil((score - LOWEST) * (BINS / (HIGHEST - LOWEST))), 0, BINS)) if score > LOWEST else 0
    return float(counts[first:].sum() / total) if total else None


def auc(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Return the chance that a mated pair scores above a non-mated one, ties counting half (Mann-Whitney U)."""
    order = np.argsort(scores, kind="stable")
    _, first, counts = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.empty(len(scores))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    mated, non_mated = int(same.sum()), int((~same).sum())
    return float((ranks[same].sum() - mated * (mated + 1) / 2) / (mated * non_mated))


def equal_error_rate(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Return the rate at the threshold where false matches and false non-matches are equally frequent."""
    fmr, fnmr = _error_curves(scores, same)
    i = int(np.argmin(np.abs(fmr - fnmr)))
    return float((fmr[i] + fnmr[i]) / 2)


def cross_validated_accuracy(scores: NDArray[np.float64], same: NDArray[np.bool_], folds: int = 10) -> float:
    """Return the share of pairs told apart, each fold at the threshold that is best on the others.

    The protocol of Labeled Faces in the Wild (Huang et al., 2007), with the pairs dealt out in turn.
    """
    fold = np.empty(len(scores), np.intp)
    for group in (same, ~same):
        fold[group] = np.arange(group.sum()) % folds
    right = 0
    for i in range(folds):
        train, test = fold != i, fold == i
        threshold = _best_threshold(scores[train], same[train])
        right += int(((scores[test] >= threshold) == same[test]).sum())
    return right / len(scores)


def tar_of_pairs(scores: NDArray[np.float64], same: NDArray[np.bool_], fmr: float) -> float:
    """Return the share of mated pairs found at the lowest threshold whose false match rate is at most this."""
    false_matches, missed = _error_curves(scores, same)
    return float(1 - missed[false_matches <= fmr].min())


def _error_curves(
    scores: NDArray[np.float64], same: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return FMR and FNMR at every threshold that some pair's score gives, and above them all."""
    mated, non_mated = np.sort(scores[same]), np.sort(scores[~same])
    thresholds = np.append(np.unique(scores), np.inf)
    fmr = 1 - np.searchsorted(non_mated, thresholds) / len(non_mated)
    fnmr = np.searchsorted(mated, thresholds) / len(mated)
    return fmr, fnmr


def _best_threshold(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    order = np.argsort(scores, kind="stable")
    ordered = same[order]
    # With the threshold before position k, what is right is the non-mated before k and the mated from k on.
    right = np.concatenate([[0], np.cumsum(~ordered)]) + ordered.sum() - np.concatenate([[0], np.cumsum(ordered)])
    k = int(np.argmax(right))
    below = scores[order[k - 1]] if k > 0 else scores[order[0]] - 1
    above = scores[order[k]] if k < len(scores) else scores[order[-1]] + 1
    return float((below + above) / 2) if np.isfinite(below) else float(above)
