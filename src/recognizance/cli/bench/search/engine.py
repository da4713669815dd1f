"""What a worker holds and measures: the index of this program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recognizance.cli.bench.search.files import GalleryFiles
    from recognizance.collections.index.protocol import Part
    from recognizance.vision.faces import FloatArray


class Engine(Protocol):
    """One way to search the gallery."""

    def build(self) -> None:
        """Take in the gallery, so that it can be searched or opened."""
        ...

    def open(self) -> None:
        """Open what another process built; do nothing if this one did."""
        ...

    def search(self, probe: FloatArray, count: int) -> list[int]:
        """Return the best rows for a (width,) probe, the best first."""
        ...

    def note(self) -> str:
        """Say what should be known of the figures, after building; empty if nothing."""
        ...


class OwnEngine:
    """The index that collections are searched by, as ``collections.galleries`` makes it.

    Args:
        files: The gallery; the index's own files go into its folder.
    """

    def __init__(self, files: GalleryFiles) -> None:
        import faiss  # now, so that its memory counts as the program's and not as the index's

        from recognizance.collections.index import Coalescer
        from recognizance.collections.index.cache import Cache
        from recognizance.collections.index.scan import ScanIndex

        self._files, self._faiss = files, faiss.__version__
        self._index = ScanIndex(files.width, Cache(files.folder / "index", files.width))
        self._searches = Coalescer(lambda: self._index)
        self._all = np.array([-np.inf])

    def build(self) -> None:
        """Fill the index from the gallery's file as from a database, and keep it on disk."""
        from recognizance.collections.index.protocol import Source

        files, vectors = self._files, self._files.vectors()

        def every() -> Iterator[Part]:
            for rows in files.parts():
                yield np.arange(rows.start, rows.stop), np.array(vectors[rows])

        def some(ids: NDArray[np.int64]) -> Iterator[Part]:
            for rows in files.parts():
                mine = ids[slice(*np.searchsorted(ids, (rows.start, rows.stop)))]
                if len(mine):
                    yield mine, np.array(vectors[mine])

        self._index.reload(Source(lambda: np.arange(files.faces), every, some))
        self._index.watermark = files.faces
        self._index.tend()

    def open(self) -> None:
        """Take over what is on disk; a small collection keeps nothing there and is read anew."""
        self._index.open()
        if self._index.watermark < 0:
            self.build()

    def search(self, probe: FloatArray, count: int) -> list[int]:
        """Return the best rows for a (width,) probe, the best first."""
        ids: list[int] = self._searches.search(probe[None], count, self._all)[0].ids.tolist()
        return ids

    def note(self) -> str:
        """Say in how many segments the codes lie."""
        segments = self._index.segments
        return f"{segments} segments, faiss {self._faiss}" if segments else "every face is compared"
