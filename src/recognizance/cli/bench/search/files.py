"""What the processes of a run share: the gallery's vectors, the probes and the right answers, in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import orjson

from recognizance.cli.bench.search.truth import Truth

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from recognizance.cli._bars import Tell
    from recognizance.cli.bench.search.gallery import Gallery
    from recognizance.vision.faces import FloatArray

_VECTORS, _PROBES, _SHAPE = "vectors.f16", "probes.npy", "shape.json"
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class GalleryFiles:
    """A gallery on disk.

    Attributes:
        folder: Where it is.
        faces: How many rows it has.
        width: Dimensions of a stored vector.
    """

    folder: Path
    faces: int
    width: int

    @classmethod
    def write(cls, folder: Path, gallery: Gallery, tell: Tell) -> tuple[Self, Truth]:
        """Write a gallery, and find meanwhile what searches of it must find; only a chunk is in memory at a time."""
        truth = Truth(gallery.probes)
        done = 0
        with (folder / _VECTORS).open("wb") as file:
            for chunk in gallery.chunks():
                truth.see(chunk)
                file.write(chunk.data)
                done += len(chunk)
                tell(done, gallery.faces)
        np.save(folder / _PROBES, gallery.probes)
        (folder / _SHAPE).write_bytes(orjson.dumps({"faces": gallery.faces, "width": gallery.width}))
        return cls(folder, gallery.faces, gallery.width), truth

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what another process wrote."""
        return cls(folder, **orjson.loads((folder / _SHAPE).read_bytes()))

    def probes(self) -> FloatArray:
        """Return the (p, width) float32 probes."""
        probes: FloatArray = np.load(self.folder / _PROBES)
        return probes

    def vectors(self) -> NDArray[np.float16]:
        """Return all (n, width) vectors, mapped from the file."""
        return np.memmap(self.folder / _VECTORS, np.float16, "r", shape=(self.faces, self.width))

    def parts(self) -> list[slice]:
        """Return the rows in handy parts."""
        return [slice(start, min(start + _ROWS_AT_ONCE, self.faces)) for start in range(0, self.faces, _ROWS_AT_ONCE)]
