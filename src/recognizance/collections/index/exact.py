"""The exact index: a full scan of float32 vectors by matrix products.

Right for collections up to some tens of thousands of faces, and the yardstick of every faster index.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recognizance.collections.index.gate import Gate
from recognizance.collections.index.protocol import Hits, Part, Source
from recognizance.collections.index.scoring import exact_scores, rounding, select
from recognizance.collections.index.threads import one_thread_a_product

_SCORES_AT_ONCE = 1 << 22
"""The most scores held at a time (16 MiB): many probes on many vectors are searched in groups."""


class ExactIndex:
    """An :class:`~recognizance.collections.index.protocol.Index` that compares each probe with every vector.

    Results are exact and reproducible: a float32 scan proposes, then the candidates' scores are computed in float64,
    each from its own two vectors alone. A matrix product's rounding depends on where in the matrix a vector lies; so
    without the second step equal vectors could score differently, and ties would break at random.

    Args:
        dimensions: Length of a vector.
        block: Vectors in one block of memory. Blocks never move, so that growing copies nothing and doubles no memory.
    """

    def __init__(self, dimensions: int, *, block: int = 8192) -> None:
        one_thread_a_product()
        self._dimensions = dimensions
        self._block = block
        self._blocks: list[NDArray[np.float32]] = []
        self._ids: list[NDArray[np.int64]] = []
        self._count = 0
        self._places: dict[int, int] = {}
        self._largest_norm = 0.0
        self._gate = Gate()

        self.watermark = -1

    def __len__(self) -> int:
        return self._count

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return copies of the (n,) ids and (n, dimensions) vectors; nobody may change the index meanwhile."""
        sizes = [min(self._block, self._count - start) for start in range(0, self._count, self._block)]
        if not sizes:
            return np.empty(0, np.int64), np.empty((0, self._dimensions), np.float32)
        ids = np.concatenate([ids[:size] for ids, size in zip(self._ids, sizes, strict=False)])
        return ids, np.concatenate([block[:size] for block, size in zip(self._blocks, sizes, strict=False)])

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.floating]) -> None:
        """Add vectors; one whose id is there already takes the other's place."""
        if vectors.shape != (len(ids), self._dimensions):
            raise ValueError(f"vectors have shape {vectors.shape}, not {(len(ids), self._dimensions)}")
        vectors = vectors.astype(np.float32)
        if len(vectors):
            self._largest_norm = max(self._largest_norm, float(np.linalg.norm(vectors, axis=1).max()))
        known = np.array([int(i) in self._places for i in ids], bool)
        if known.any():
            self._overwrite(ids[known], vectors[known])
            ids, vectors = ids[~known], vectors[~known]
        self._append(ids, vectors)

    def _append(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Write behind the last vector, where no search looks, and only then count them in."""
        done = 0
        while done < len(ids):
            block, row = divmod(self._count + done, self._block)
            if block == len(self._blocks):
                self._ids.append(np.empty(self._block, np.int64))
                self._blocks.append(np.empty((self._block, self._dimensions), np.float32))
            size = min(self._block - row, len(ids) - done)
            self._blocks[block][row : row + size] = vectors[done : done + size]
            self._ids[block][row : row + size] = ids[done : done + size]
            done += size
        self._places.update(zip(ids.tolist(), range(self._count, self._count + done), strict=True))
        self._count += done

    def _overwrite(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        with self._gate.changing():
            for one, vector in zip(ids.tolist(), vectors, strict=True):
                block, row = divmod(self._places[one], self._block)
                self._blocks[block][row] = vector

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; the last one moves into each gap."""
        known = [one for one in dict.fromkeys(ids) if one in self._places]
        if not known:
            return
        with self._gate.changing():
            for one in known:
                self._fill(self._places.pop(one))
            used = -(-self._count // self._block)
            del self._blocks[used + 1 :], self._ids[used + 1 :]  # one spare, against thrashing at the border

    def _fill(self, place: int) -> None:
        self._count -= 1
        if place != self._count:
            block, row = divmod(place, self._block)
            last_block, last_row = divmod(self._count, self._block)
            self._blocks[block][row] = self._blocks[last_block][last_row]
            moved = self._ids[last_block][last_row]
            self._ids[block][row] = moved
            self._places[int(moved)] = place

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], *, exact: bool = True
    ) -> list[Hits]:
        """Find the vectors with the greatest dot product with each probe."""
        del exact  # it always is
        if probes.ndim != 2 or probes.shape[1] != self._dimensions:
            raise ValueError(f"probes have shape {probes.shape}, not (k, {self._dimensions})")
        hits: list[Hits] = []
        with self._gate.searching():
            total = self._count
            group = max(1, _SCORES_AT_ONCE // max(1, total))
            for start in range(0, len(probes), group):
                some = probes[start : start + group]
                scores = self._scan(some, total)
                hits += [
                    self._best(probe, row, count, float(least))
                    for probe, row, least in zip(some, scores, minimum[start : start + group], strict=True)
                ]
        return hits

    def get(self, ids: NDArray[np.int64]) -> Part:
        """Return those of the ascending ids that are held, and their vectors."""
        held = [one for one in ids.tolist() if one in self._places]
        found = np.empty((len(held), self._dimensions), np.float16)
        for row, one in enumerate(held):
            block, place = divmod(self._places[one], self._block)
            found[row] = self._blocks[block][place]
        return np.array(held, np.int64), found

    def open(self) -> None:
        """Do nothing: there is only memory."""

    def reload(self, source: Source) -> None:
        """Come to hold what a source has."""
        present, held = source.keys(), np.sort(self.items()[0])
        self.remove(np.setdiff1d(held, present).tolist())
        for ids, vectors in source.some(np.setdiff1d(present, held)):
            self.add(ids, vectors)

    def tend(self) -> None:
        """Do nothing: nothing becomes due."""

    def owned(self) -> bool:
        """Return True: it is nobody else's."""
        return True

    def compact(self) -> None:
        """Do nothing: nothing is left of what is removed."""

    def close(self) -> None:
        """Do nothing: there is only memory."""

    def _scan(self, probes: NDArray[np.float32], total: int) -> NDArray[np.float32]:
        scores = np.empty((len(probes), total), np.float32)
        for number, start in enumerate(range(0, total, self._block)):
            size = min(self._block, total - start)
            np.matmul(probes, self._blocks[number][:size].T, out=scores[:, start : start + size])
        return scores

    def _best(self, probe: NDArray[np.float32], approximate: NDArray[np.float32], count: int, minimum: float) -> Hits:
        slack = rounding(probe, self._largest_norm)
        return select(approximate, slack, count, minimum, lambda places: self._exact(probe, places))

    def _exact(
        self, probe: NDArray[np.float32], places: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the ids at these ascending places, and their scores in float64."""
        ids = np.empty(len(places), np.int64)
        scores = np.empty(len(places), np.float64)
        numbers = places // self._block
        for number in np.unique(numbers):
            which = slice(*np.searchsorted(numbers, [number, number + 1]))
            rows = places[which] - number * self._block
            ids[which] = self._ids[number][rows]
            scores[which] = exact_scores(self._blocks[number][rows], probe)
        return ids, scores
