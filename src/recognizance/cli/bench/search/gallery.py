"""The galleries that are searched: stored vectors without end, a chunk at a time, and probes of people among them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from recognizance.cli.bench.search.distractors import Distractors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recognizance.cli.bench.search.embeddings import Embeddings
    from recognizance.vision.faces import FloatArray

CHUNK = 73_728
"""Rows made at a time: four blocks of the clustered gallery, 36 MiB of float32 at 129 dimensions."""

_PEOPLE = 4096
_FACES_EACH = np.arange(1, 9)
_BLOCK = _PEOPLE // len(_FACES_EACH) * int(_FACES_EACH.sum())  # 18,432 rows

_SPECTRUM = -0.25
_SPREAD = (0.58, 0.11)
_LEVEL = (0.35, 0.05)
_LEVEL_SPREAD = 0.02


class Gallery(ABC):
    """A gallery of a given size. Its rows are numbered from 0; going through it twice gives the same rows twice.

    Attributes:
        faces: How many rows there are.
        width: Dimensions of a stored vector: those of an embedding and one for the impostor level.
        probes: (p, width) float32 vectors to search with, which are not in the gallery themselves.
        people: For each probe the (k,) rows of the same person, ascending.
        source: What it is made of, in words.
    """

    faces: int
    width: int
    probes: FloatArray
    people: list[NDArray[np.int64]]
    source: str

    @abstractmethod
    def chunks(self) -> Iterator[NDArray[np.float16]]:
        """Yield all rows in order, some at a time."""


class ClusteredGallery(Gallery):
    """Made-up people, as many as it takes: directions on the sphere, with one to eight pictures each around them.

    The directions fall off slowly (variance of the i-th axis ``i ** -0.5``), so that nothing lies near anything else
    but pictures of one person: the hard case for indexes that look only where they expect to find something. Two
    pictures of a person have cosines of 0.55 to 0.90 (5 and 95 in 100) and a median of 0.75.

    Args:
        faces: How many rows.
        dimensions: Of an embedding.
        probes: How many probes.
        seed: Of everything random.
    """

    def __init__(self, faces: int, dimensions: int = 128, probes: int = 200, seed: int = 1) -> None:
        self.faces, self.width, self._seed = faces, dimensions + 1, seed
        self._scale = (np.arange(1, dimensions + 1) ** _SPECTRUM).astype(np.float32)
        self.source = "made-up people"
        random = np.random.default_rng((seed, 1))
        # Evenly over all rows, so that a change in what an index does with old and new rows would show.
        rows = np.unique(np.linspace(0, faces - 1, probes).astype(np.int64))
        made, self.people = [], []
        for block in np.unique(rows // _BLOCK).tolist():
            centres, levels, owners, _ = self._block(block)
            for row in rows[rows // _BLOCK == block].tolist():
                owner = owners[row - block * _BLOCK]
                mine = np.flatnonzero(owners == owner) + block * _BLOCK
                self.people.append(mine[mine < faces])
                made.append(self._pictures(centres[[owner]], levels[[owner]], random))
        self.probes = np.concatenate(made).astype(np.float32)
        self.probes[:, -1] = 1

    def chunks(self) -> Iterator[NDArray[np.float16]]:
        """Yield all rows in order, some at a time."""
        for start in range(0, self.faces, CHUNK):
            end = min(start + CHUNK, self.faces)
            blocks = [self._rows(first // _BLOCK) for first in range(start, end, _BLOCK)]
            yield np.concatenate(blocks)[: end - start].astype(np.float16)

    def _rows(self, block: int) -> FloatArray:
        centres, levels, owners, random = self._block(block)
        return self._pictures(centres[owners], levels[owners], random)

    def _block(self, block: int) -> tuple[FloatArray, FloatArray, NDArray[np.int64], np.random.Generator]:
        """Return a block's people, their impostor levels, whose each row is, and what draws the rows."""
        random = np.random.default_rng((self._seed, 0, block))
        owners = np.repeat(np.arange(_PEOPLE), random.permutation(np.resize(_FACES_EACH, _PEOPLE)))
        levels = random.normal(*_LEVEL, _PEOPLE).astype(np.float32)
        return self._directions(_PEOPLE, random), levels, owners, random

    def _pictures(self, centres: FloatArray, levels: FloatArray, random: np.random.Generator) -> FloatArray:
        """Return one (n, width) picture of each person."""
        n = len(centres)
        away = np.clip(random.normal(*_SPREAD, n), 0.2, 1.2).astype(np.float32)
        embeddings = centres + away[:, None] * self._directions(n, random)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        levels = levels + random.normal(0, _LEVEL_SPREAD, n).astype(np.float32)
        return np.concatenate([embeddings, -levels[:, None] / 2], axis=1)

    def _directions(self, count: int, random: np.random.Generator) -> FloatArray:
        made = random.standard_normal((count, len(self._scale)), np.float32) * self._scale
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made


class RealGallery(Gallery):
    """Real faces, scattered among as many made-up ones as it takes; see :class:`Distractors`.

    Of everybody with two faces or more, one is a probe and the others are in the gallery.

    Args:
        real: The real faces.
        faces: How many rows; from so many real faces on, none are made up, and those beyond are left out.
        probes: The most probes.
        seed: Of everything random.
    """

    def __init__(self, real: Embeddings, faces: int, probes: int = 200, seed: int = 1) -> None:
        random = np.random.default_rng((seed, 2))
        held_out = real.one_of_each_pair(random)[:probes]
        stored = np.setdiff1d(np.arange(len(real)), held_out)
        if len(stored) > faces:
            kept = np.isin(real.people[stored], real.people[held_out])
            order = np.lexsort((random.random(len(stored)), ~kept))  # the probes' people first
            stored = np.sort(stored[order[:faces]])
        self.faces, self.width, self._seed = faces, real.vectors.shape[1], seed
        self._rows = real.vectors[stored]
        self._places = np.sort(random.choice(faces, len(stored), replace=False))
        self.probes = real.vectors[held_out].copy()
        self.probes[:, -1] = 1
        self.people = [self._places[real.people[stored] == real.people[row]] for row in held_out]
        self.source = f"{len(stored):,} real faces and {faces - len(stored):,} made up like them"
        self._distractors = Distractors(real.one_each(random))

    def chunks(self) -> Iterator[NDArray[np.float16]]:
        """Yield all rows in order, some at a time."""
        for start in range(0, self.faces, CHUNK):
            random = np.random.default_rng((self._seed, 3, start))
            rows = self._distractors.draw(min(CHUNK, self.faces - start), random)
            first, last = np.searchsorted(self._places, (start, start + len(rows)))
            rows[self._places[first:last] - start] = self._rows[first:last]
            yield rows.astype(np.float16)
