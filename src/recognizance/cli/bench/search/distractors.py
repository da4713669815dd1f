"""More faces than anybody has pictures of: made-up ones that are spread as a sample of real ones is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recognizance.vision.faces import FloatArray

_FACES_A_CLUSTER = 200
_PRIOR = 64.0
_ROUNDS = 15


class Distractors:
    """Draws stored vectors of people who do not exist from the distribution of real ones.

    The sample is divided into clusters of about two hundred similar people by k-means, and each cluster becomes a
    normal distribution with the cluster's own mean and covariance, impostor level included. A cluster has hardly more
    people than dimensions, so its covariance is drawn towards the mean covariance of all clusters, as if that had been
    seen 64 times more (the posterior mean under an inverse Wishart prior). One normal distribution for all people would
    have the right mean scores and too few people who look alike, which is what a search is about.

    Args:
        sample: (n, d + 1) float32 stored vectors of different people, one each; see ``collections.vectors``.
        seed: Of the clustering.
    """

    def __init__(self, sample: FloatArray, seed: int = 1) -> None:
        count, width = sample.shape
        clusters = max(1, count // _FACES_A_CLUSTER)
        labels = _clusters(sample[:, :-1], clusters, seed)
        sizes = np.bincount(labels, minlength=clusters)
        self._means = np.zeros((clusters, width), np.float32)
        scatters = np.zeros((clusters, width, width))
        for number in range(clusters):
            rows = sample[labels == number].astype(np.float64)
            if len(rows):
                self._means[number] = rows.mean(axis=0)
                scatters[number] = (rows - rows.mean(axis=0)).T @ (rows - rows.mean(axis=0))
        pooled = scatters.sum(axis=0) / max(1, count - clusters) + 1e-9 * np.eye(width)
        self._shares = sizes / count
        self._factors = [
            np.linalg.cholesky((scatter + _PRIOR * pooled) / (size + _PRIOR)).astype(np.float32)
            for scatter, size in zip(scatters, sizes, strict=True)
        ]

    def draw(self, count: int, random: np.random.Generator) -> FloatArray:
        """Return (count, d + 1) float32 stored vectors, in random order, each embedding of unit length."""
        of = random.choice(len(self._shares), count, p=self._shares)
        made = random.standard_normal((count, self._means.shape[1]), np.float32)
        for number, factor in enumerate(self._factors):
            rows = np.flatnonzero(of == number)
            made[rows] = made[rows] @ factor.T + self._means[number]
        made[:, :-1] /= np.linalg.norm(made[:, :-1], axis=1, keepdims=True)
        return made


def _clusters(embeddings: FloatArray, count: int, seed: int) -> NDArray[np.int64]:
    """Return each embedding's cluster of k-means on the sphere."""
    random = np.random.default_rng(seed)
    centres = embeddings[random.choice(len(embeddings), count, replace=False)]
    labels = np.zeros(len(embeddings), np.int64)
    for _ in range(_ROUNDS):
        labels = np.argmax(embeddings @ centres.T, axis=1)
        for number in range(count):
            mine = embeddings[labels == number]
            if len(mine):
                centres[number] = mine.mean(axis=0)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return labels
