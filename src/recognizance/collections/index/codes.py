"""Compact codes: each vector in four bits for every two of its dimensions, scanned at the speed of memory.

Product quantisation (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33(1),
2011) with tables that stay in registers (André, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB 2015),
as faiss implements them.
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


def _faiss() -> ModuleType:
    """Return faiss, told to work in the thread that calls it: threads of OpenMP wait for each other in busy loops."""
    import faiss

    faiss.omp_set_num_threads(1)  # it counts for the calling thread alone
    return faiss


def _padded(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return vectors as float32, with zeros behind them up to whole codes."""
    width = vectors.shape[1] + -vectors.shape[1] % _DIMENSIONS_A_CODE
    wide = np.zeros((len(vectors), width), np.float32)
    wide[:, : vectors.shape[1]] = vectors
    return wide


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """How vectors are coded.

    Attributes:
        trained_on: How many vectors the collection had when the codebook was trained.
        slack: How far the codes may score a vector below its true score, in all but one of a thousand million cases.
    """

    _empty: Any  # faiss.IndexPQFastScan
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
        wide = _padded(sample)
        empty = faiss.IndexPQFastScan(
            wide.shape[1], wide.shape[1] // _DIMENSIONS_A_CODE, _BITS, faiss.METRIC_INNER_PRODUCT
        )
        empty.pq.cp.min_points_per_centroid = 1  # a warning on small collections would help nobody
        empty.train(wide)
        return cls(empty, trained_on, _slack(empty, wide, sample.shape[1]))

    def encode(self, vectors: NDArray[np.floating]) -> "Codes":
        """Return the codes of (n, d) vectors."""
        faiss = _faiss()
        index = faiss.clone_index(self._empty)
        for start in range(0, len(vectors), _AT_ONCE):
            index.add(_padded(vectors[start : start + _AT_ONCE]))
        return Codes(index, self)


def _slack(empty: Any, wide: NDArray[np.float32], dimensions: int) -> float:  # noqa: ANN401 - faiss has no types
    """Measure how far codes score too low, with embeddings from the sample as probes.

    Codes are means of what they stand for, and so shorter: a vector's product with itself loses most, on average as
    much as coding loses of its length squared. Around that the errors of scores are very nearly normal.
    """
    probes = wide[:_PROBES].copy()
    probes[:, dimensions - 1] = 1
    stored = wide[-_STORED:]
    wrong = stored - empty.pq.decode(empty.pq.compute_codes(stored))
    own = np.einsum("ij,ij->i", stored, wrong)
    return max(0.0, float(own.mean())) + _SURE * float(np.std(probes @ wrong.T))


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The codes of some vectors, by row.

    Attributes:
        codebook: How they are coded.
    """

    _index: Any  # faiss.IndexPQFastScan
    codebook: Codebook

    @classmethod
    def from_bytes(cls, data: NDArray[np.uint8], trained_on: int, slack: float) -> Self:
        """Return the codes that :meth:`to_bytes` was asked for, codebook included."""
        faiss = _faiss()
        index = faiss.deserialize_index(data)
        empty = faiss.clone_index(index)
        empty.reset()
        return cls(index, Codebook(empty, trained_on, slack))

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return codes and codebook as (n,) bytes."""
        data: NDArray[np.uint8] = _faiss().serialize_index(self._index)
        return data

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
        scores, rows = self._index.search(_padded(probes), count)
        return scores, rows
