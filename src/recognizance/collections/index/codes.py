"""Compact codes: each vector in four bits for every two of its dimensions, scanned at the speed of memory.

Product quantisation (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33(1),
2011) with tables that stay in registers (André, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB 2015),
as faiss implements them; after a change of axes that lets the bits go where they count.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_BITS = 4
_DIMENSIONS_A_CODE = 2
_POINTS_A_CENTROID = 256  # faiss's own: sixteen times as many took sixteen times as long, for the same error
SAMPLE = _POINTS_A_CENTROID * 2**_BITS
"""How many vectors a codebook is trained with at most."""

_PROBES, _STORED = 256, 4096
_SURE = 6.0  # standard deviations
_AT_ONCE = 65_536
_LOOSENED = 0.5
"""Noise added to what codes are trained with, as a share of the variance.

A collection that began with a few people's faces has no variance in most directions, and codes that know nothing of
them would miss whoever comes later. Half of the variance costs nothing where the sample is as it should be.
"""


def _faiss() -> ModuleType:
    """Return faiss, told to work in the thread that calls it: threads of OpenMP wait for each other in busy loops."""
    import faiss

    faiss.omp_set_num_threads(1)  # it counts for the calling thread alone
    return faiss


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Axes in which what a code gets wrong counts the same whatever its direction, in the order of the codes.

    Embeddings fill some directions more than others; those of some networks hardly leave a narrow cone. An error in a
    direction counts as much as probes point there. So vectors are multiplied with the root of the probes' second
    moments, and probes divided by it, which leaves their products as they were. Then come the principal components,
    dealt out so that every code gets about the same product of variances (Ge, He, Ke and Sun, "Optimized product
    quantization", IEEE TPAMI 36(4), 2014, section 3.2).

    Attributes:
        stored: (d, w) float32 that vectors are multiplied with; w dimensions are whole codes.
        probes: (d, w) float32 that probes are multiplied with.
    """

    stored: NDArray[np.float32]
    probes: NDArray[np.float32]

    @classmethod
    def fit(cls, sample: NDArray[np.floating]) -> Self:
        """Fit axes to (n, d) stored vectors; with 1 as their last dimension they are what is searched for."""
        vectors = sample.astype(np.float64)
        probes = _as_probes(vectors)
        moments, directions = np.linalg.eigh(probes.T @ probes / len(probes))
        roots = np.sqrt(np.maximum(moments, float(moments[-1]) * 1e-9))  # none is 0, or it could not be undone
        weighted = vectors @ (directions * roots) @ directions.T
        weighted -= weighted.mean(axis=0)
        variances, components = np.linalg.eigh(weighted.T @ weighted / len(weighted))
        order = _dealt(variances[::-1])
        chosen = np.pad(components[:, ::-1], ((0, 0), (0, len(order) - len(variances))))[:, order]
        stored, asked = (directions * roots) @ directions.T @ chosen, (directions / roots) @ directions.T @ chosen
        return cls(stored.astype(np.float32), asked.astype(np.float32))


def _loosened(sample: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the sample with noise, the same for all dimensions but the last, which is not the embedding's."""
    variances = sample.astype(np.float64).var(axis=0)
    variances[:-1] = variances[:-1].mean()
    noise = np.random.default_rng(0).standard_normal(sample.shape, np.float32)
    loosened: NDArray[np.float32] = sample.astype(np.float32) + noise * np.sqrt(_LOOSENED * variances).astype(
        np.float32
    )
    return loosened


def _as_probes(vectors: NDArray[Any]) -> NDArray[Any]:
    probes = vectors.copy()
    probes[:, -1] = 1
    return probes


def _dealt(variances: NDArray[np.float64]) -> list[int]:
    """Deal components, the largest variance first, into codes of about equal products; return them code by code."""
    room = -(-len(variances) // _DIMENSIONS_A_CODE) * _DIMENSIONS_A_CODE
    logs = np.log(np.maximum(np.pad(variances, (0, room - len(variances))), variances[0] * 1e-12 + 1e-30))
    codes: list[list[int]] = [[] for _ in range(room // _DIMENSIONS_A_CODE)]
    products = np.zeros(len(codes))
    for number, value in enumerate(logs - logs[-1]):
        free = [code for code, members in enumerate(codes) if len(members) < _DIMENSIONS_A_CODE]
        least = min(free, key=lambda code: (products[code], code))
        codes[least].append(number)
        products[least] += value
    return [number for members in codes for number in members]


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """How vectors are coded.

    Attributes:
        axes: Along which axes.
        trained_on: How many vectors the collection had when the codebook was trained.
        slack: How far the codes may score a vector below its true score, in all but one of a thousand million cases.
    """

    _empty: Any  # faiss.IndexPQFastScan
    axes: Axes
    trained_on: int
    slack: float

    @classmethod
    def train(cls, sample: NDArray[np.floating], trained_on: int) -> Self:
        """Train a codebook.

        Args:
            sample: (n, d) vectors like those to be coded, at most :data:`SAMPLE` of them.
            trained_on: How many vectors there are in all.
        """
        faiss = _faiss()
        loosened = _loosened(sample)
        axes = Axes.fit(loosened)
        width = axes.stored.shape[1]
        empty = faiss.IndexPQFastScan(width, width // _DIMENSIONS_A_CODE, _BITS, faiss.METRIC_INNER_PRODUCT)
        empty.pq.cp.min_points_per_centroid = 1  # a warning on small collections would help nobody
        empty.train(_turned(loosened, axes.stored))
        return cls(empty, axes, trained_on, _slack(empty, axes, sample))

    def encode(self, vectors: NDArray[np.floating]) -> "Codes":
        """Return the codes of (n, d) vectors."""
        faiss = _faiss()
        index = faiss.clone_index(self._empty)
        for start in range(0, len(vectors), _AT_ONCE):
            index.add(_turned(vectors[start : start + _AT_ONCE], self.axes.stored))
        return Codes(index, self)


def _turned(vectors: NDArray[np.floating], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(vectors.astype(np.float32) @ axes)


def _slack(empty: Any, axes: Axes, sample: NDArray[np.floating]) -> float:  # noqa: ANN401 - faiss has no types
    """Measure how far codes score too low, with embeddings from the sample as probes.

    Codes are means of what they stand for, and so shorter: a vector's product with itself loses most, on average as
    much as coding loses of its length squared. Around that the errors of scores are very nearly normal.
    """
    probes = _turned(_as_probes(sample), axes.probes)
    stored = _turned(sample[-_STORED:], axes.stored)
    wrong = stored - empty.pq.decode(empty.pq.compute_codes(stored))
    own = np.einsum("ij,ij->i", probes[-_STORED:], wrong)
    return max(0.0, float(own.mean())) + _SURE * float(np.std(probes[:_PROBES] @ wrong.T))


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The codes of some vectors, by row.

    Attributes:
        codebook: How they are coded.
    """

    _index: Any  # faiss.IndexPQFastScan
    codebook: Codebook

    @classmethod
    def from_bytes(cls, data: NDArray[np.uint8], dimensions: int, trained_on: int, slack: float) -> Self:
        """Return the codes that :meth:`to_bytes` was asked for, codebook included.

        Raises:
            ValueError: They are not of vectors of this length.
        """
        faiss = _faiss()
        width = dimensions + -dimensions % _DIMENSIONS_A_CODE
        size = dimensions * width * 4
        stored, probes = (
            data[part * size : (part + 1) * size].view("<f4").reshape(dimensions, width) for part in (0, 1)
        )
        index = faiss.deserialize_index(data[2 * size :])
        # Not a clone of the whole that is emptied: its memory would stay with the process.
        empty = faiss.IndexPQFastScan(index.d, index.M, _BITS, index.metric_type)
        empty.pq, empty.is_trained = index.pq, True
        return cls(index, Codebook(empty, Axes(stored.copy(), probes.copy()), trained_on, slack))

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return codes and codebook as (n,) bytes: the axes, as little-endian float32, and faiss's own form."""
        axes = self.codebook.axes
        parts = [np.ascontiguousarray(matrix, "<f4").view(np.uint8).ravel() for matrix in (axes.stored, axes.probes)]
        return np.concatenate([*parts, _faiss().serialize_index(self._index)])

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, probes: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the approximate scores and the rows of the best vectors, in no order.

        Args:
            probes: (k, d) float32.
            count: How many vectors for each probe, at most as many as there are.

        Returns:
            (k, count) float32 and (k, count) int64.
        """
        _faiss()
        scores, rows = self._index.search(_turned(probes, self.codebook.axes.probes), count)
        return scores, rows
