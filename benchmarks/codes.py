"""Compare ways of coding vectors, and keep the result: ``python benchmarks/codes.py [--embeddings FILE --name NAME]``.

Each code proposes candidates for the probes of one gallery; how many of the truly best are among the first so many says
how many must be scored exactly. Times are of one thread, measured in turns.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from recognizance.cli._bars import bar
from recognizance.cli._output import messages
from recognizance.cli.bench.machine import cpu, installed_versions
from recognizance.cli.bench.search.embeddings import Embeddings
from recognizance.cli.bench.search.files import GalleryFiles
from recognizance.cli.bench.search.floor import code_bytes
from recognizance.cli.bench.search.gallery import ClusteredGallery, Gallery, RealGallery
from recognizance.cli.bench.search.truth import HITS, Truth
from recognizance.collections.index.codes import SAMPLE, Codebook, Codes
from recognizance.core import clock

Matrix = NDArray[np.float32]

RESULTS = Path(__file__).parent / "results"
OURS = "ours: 2 dimensions a code, axes weighted"
CANDIDATES = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_SAMPLE = 20_000
_AT_ONCE = 1 << 20
_TURNS = 40
_INNER = faiss.METRIC_INNER_PRODUCT


@dataclass
class Code:
    """A way of coding.

    Attributes:
        what: Its description.
        size: Bytes a vector.
        make: Makes faiss's index for a width, without vectors.
        matrices: Returns what vectors and what probes are multiplied with first, of a sample of vectors; None leaves
            them as they are.
    """

    what: str
    size: float
    make: Callable[[int], Any]
    matrices: Callable[[Matrix], tuple[Matrix, Matrix]] | None = None


def scan(dimensions: int) -> Callable[[int], Any]:
    """Return what makes FastScan codes of four bits for so many dimensions."""

    def make(width: int) -> Any:  # noqa: ANN401 - faiss has no types
        codes = -(-width // dimensions)
        return faiss.IndexPQFastScan(codes * dimensions, codes, 4, _INNER)

    return make


def turned(*, level: bool) -> Callable[[Matrix], tuple[Matrix, Matrix]]:
    """Return what turns vectors at random: all coordinates, or the embedding without the impostor level."""

    def matrices(sample: Matrix) -> tuple[Matrix, Matrix]:
        width = sample.shape[1]
        turn = np.eye(width, dtype=np.float32)
        some = width if level else width - 1
        turn[:some, :some] = np.linalg.qr(np.random.default_rng(1).standard_normal((some, some)))[0]
        return turn, turn

    return matrices


def weighted(width: int, dimensions: int) -> Callable[[Matrix], tuple[Matrix, Matrix]]:
    """Return what makes errors count as much as they count in scores.

    What a code gets wrong in a direction matters as much as probes point there. So vectors are multiplied with the root
    of the probes' second moments and probes divided by it; then the principal components, the largest ``width`` of
    them, are dealt into codes so that each code gets the same product of variances (the allocation of Ge, He, Ke and
    Sun, "Optimized product quantization", IEEE TPAMI 36(4), 2014).
    """

    def matrices(sample: Matrix) -> tuple[Matrix, Matrix]:
        vectors = sample.astype(np.float64)
        probes = vectors.copy()
        probes[:, -1] = 1
        moments, axes = np.linalg.eigh(probes.T @ probes / len(probes))
        roots = np.sqrt(np.maximum(moments, moments.max() * 1e-7))
        root, inverse = (axes * roots) @ axes.T, (axes / roots) @ axes.T
        variances, components = np.linalg.eigh(np.cov((vectors @ root).T))
        order = _dealt(variances[::-1][:width], dimensions)
        chosen = components[:, ::-1][:, order]
        return (root @ chosen).astype(np.float32), (inverse @ chosen).astype(np.float32)

    return matrices


def _dealt(variances: NDArray[np.float64], dimensions: int) -> NDArray[np.int64]:
    codes: list[list[int]] = [[] for _ in range(len(variances) // dimensions)]
    products = np.zeros(len(codes))
    logs = np.log(np.maximum(variances, 1e-30))
    for number, value in enumerate(logs - logs.min()):
        free = [code for code, members in enumerate(codes) if len(members) < dimensions]
        least = min(free, key=lambda code: (products[code], code))
        codes[least].append(number)
        products[least] += value
    return np.concatenate(codes).astype(np.int64)


def codes(width: int) -> Iterator[Code]:
    """Yield what is compared."""
    even = width - width % 2
    yield Code(OURS, code_bytes(width), _Ours)
    yield Code("2 dimensions a code", code_bytes(width), scan(2))
    yield Code("2, all turned at random", code_bytes(width), scan(2), turned(level=True))
    yield Code("2, embedding turned at random", code_bytes(width), scan(2), turned(level=False))
    yield Code("2, weighted by probes", even / 4, scan(2), weighted(even, 2))
    yield Code("2, weighted, 3/4 of the dimensions", even * 3 / 16, scan(2), weighted(even * 3 // 4 // 2 * 2, 2))
    yield Code("3 dimensions a code", width / 6, scan(3))
    yield Code("3, weighted by probes", width // 3 / 2, scan(3), weighted(width // 3 * 3, 3))
    yield Code("4 dimensions a code", width / 8, scan(4))
    if width % 13 == 12:  # 129 and a zero are 13 times 10
        parts, stages = (width + 1) // 10, 5
        make = partial(_residual, parts=parts, stages=stages)
        yield Code("residual, 5 stages for 10 dimensions", (width + 1) / 4, make)
    yield Code("int8", width, _int8)
    yield Code("RaBitQ, 1 bit", width / 8 + 8, lambda wide: faiss.IndexRaBitQFastScan(wide + -wide % 8, _INNER))
    for probed in (64, 256):
        yield Code(f"2, behind 1,024 lists, {probed} read", code_bytes(width) + 8, partial(_lists, probed=probed))


def _int8(width: int) -> Any:  # noqa: ANN401 - faiss has no types
    # Of other widths than these it computes number by number.
    return faiss.IndexScalarQuantizer(width + -width % 16, faiss.ScalarQuantizer.QT_8bit, _INNER)


def _residual(width: int, *, parts: int, stages: int) -> Any:  # noqa: ANN401 - faiss has no types
    kind = faiss.AdditiveQuantizer.ST_LUT_nonorm
    return faiss.IndexProductResidualQuantizerFastScan(width + 1, parts, stages, 4, _INNER, kind)


def _lists(width: int, *, probed: int) -> Any:  # noqa: ANN401 - faiss has no types
    wide = width + width % 2
    index: Any = faiss.index_factory(wide, f"IVF1024,PQ{wide // 2}x4fs", _INNER)
    index.nprobe = probed
    return index


class _Ours:
    """The index's own codes, in the form of an index of faiss."""

    def __init__(self, width: int) -> None:
        self.d = width
        self._parts: list[Codes] = []

    def train(self, sample: Matrix) -> None:
        self._codebook = Codebook.train(sample[:SAMPLE], len(sample))

    def add(self, vectors: Matrix) -> None:
        self._parts.append(self._codebook.encode(vectors))

    def search(self, probes: Matrix, count: int) -> tuple[Matrix, NDArray[np.int64]]:
        scores, rows, start = [], [], 0
        for part in self._parts:
            some_scores, some_rows = part.search(probes, min(count, len(part)))
            scores.append(some_scores)
            rows.append(some_rows + start)
            start += len(part)
        all_scores, all_rows = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
        order = np.argsort(-all_scores, axis=1)[:, :count]
        return np.take_along_axis(all_scores, order, 1), np.take_along_axis(all_rows, order, 1)


class Coded:
    """A gallery in one code."""

    def __init__(self, code: Code, files: GalleryFiles, sample: Matrix) -> None:
        self._stored: Matrix | None = None
        self._probe: Matrix | None = None
        if code.matrices is not None:
            self._stored, self._probe = code.matrices(sample)
        wide = files.width if self._stored is None else self._stored.shape[1]
        self._index = code.make(wide)
        started = perf_counter()
        self._index.train(self._prepared(sample, self._stored))
        self.train_s = perf_counter() - started
        started = perf_counter()
        vectors = files.vectors()
        for start in range(0, files.faces, _AT_ONCE):
            self._index.add(self._prepared(vectors[start : start + _AT_ONCE].astype(np.float32), self._stored))
        self.code_s = perf_counter() - started

    def _prepared(self, vectors: Matrix, matrix: Matrix | None) -> Matrix:
        if matrix is not None:
            vectors = vectors @ matrix
        return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, self._index.d - vectors.shape[1]))))

    def search(self, probes: Matrix, count: int) -> NDArray[np.int64]:
        """Return the rows that are proposed, the best first."""
        rows: NDArray[np.int64] = self._index.search(self._prepared(probes, self._probe), count)[1]
        return rows

    def ms(self, probe: Matrix) -> float:
        """Return how long one search for a thousand candidates takes, in milliseconds."""
        started = perf_counter()
        self.search(probe[None], 1000)
        return (perf_counter() - started) * 1000


def compare(gallery: Gallery, folder: Path) -> dict[str, Any]:
    """Return each code's figures."""
    with bar("Faces") as tell:
        files, truth = GalleryFiles.write(folder, gallery, tell)
    rows = np.sort(np.random.default_rng(1).choice(files.faces, min(_SAMPLE, files.faces), replace=False))
    sample = files.vectors()[rows].astype(np.float32)
    made: list[tuple[Code, Coded]] = []
    figures: dict[str, Any] = {}
    for code in codes(files.width):
        messages().print(f"Coding: {code.what}")
        coded = Coded(code, files, sample)
        made.append((code, coded))
        figures[code.what] = {
            "bytes": round(code.size, 1),
            "train_s": round(coded.train_s, 2),
            "code_s": round(coded.code_s, 2),
            **_recalls(coded.search(gallery.probes, CANDIDATES[-1]), truth),
        }
    times: dict[str, list[float]] = {code.what: [] for code, _ in made}
    for turn in range(_TURNS):
        for code, coded in made:
            times[code.what].append(coded.ms(gallery.probes[turn % len(gallery.probes)]))
    return {what: {"ms": round(float(np.median(times[what])), 3), **one} for what, one in figures.items()}


def _recalls(proposed: NDArray[np.int64], truth: Truth) -> dict[str, dict[str, float]]:
    """Return recall at 1 and at 10 by how many candidates are scored exactly."""
    recalls: dict[str, dict[str, float]] = {"recall_at_1": {}, "recall_at_10": {}}
    for number in CANDIDATES:
        hit = np.array([np.isin(best, some[:number]) for best, some in zip(truth.rows, proposed, strict=True)])
        recalls["recall_at_1"][str(number)] = round(float(hit[:, 0].mean()), 4)
        recalls["recall_at_10"][str(number)] = round(float(hit[:, :HITS].mean()), 4)
    return recalls


def main() -> None:
    """Compare, and write ``results/codes-<name>.json``."""
    parser = argparse.ArgumentParser(description="Compare ways of coding vectors, and keep the result.")
    parser.add_argument("--faces", type=int, default=300_000)
    parser.add_argument("--embeddings", type=Path, help="real embeddings, see embed.py")
    parser.add_argument("--name", default="made-up", help="what to call the result")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    gallery: Gallery = ClusteredGallery(arguments.faces, probes=400)
    if arguments.embeddings:
        gallery = RealGallery(Embeddings.read(arguments.embeddings), arguments.faces, 400)
    with tempfile.TemporaryDirectory() as folder:
        document = {
            "faces": gallery.faces,
            "gallery": gallery.source,
            "probes": len(gallery.probes),
            "codes": compare(gallery, Path(folder)),
            "cpu": cpu().model,
            "versions": installed_versions(("numpy", "faiss-cpu")),
            "when": clock.now().isoformat(timespec="seconds"),
        }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"codes-{arguments.name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    messages().print(f"\nWritten to {path}")


if __name__ == "__main__":
    main()
