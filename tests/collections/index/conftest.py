"""A Milvus to test with (milvus-lite, which answers Milvus's protocol, in a process of its own), and the truth."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.collections.index import ScanIndex, Source
from recognizance.collections.index.milvus import MilvusServer
from recognizance.collections.index.scoring import exact_scores
from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from recognizance.collections.index.protocol import Part

    Serve = Callable[[Path, int], AbstractContextManager[tuple[int, subprocess.Popen[bytes]]]]

# It ends with whoever started it, however that ends: then there is nobody left who could write to it.
_SERVE = """
import sys
from milvus_lite.adapter.grpc.server import start_server_in_thread
server, database, port = start_server_in_thread(sys.argv[1], port=int(sys.argv[2]))
print(port, flush=True)
sys.stdin.read()
"""


@contextmanager
def _serve(folder: Path, port: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    command = [sys.executable, "-c", _SERVE, str(folder), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@pytest.fixture(scope="session")
def serve_milvus() -> Serve:
    """Serve a folder on a port, 0 for a free one; gives the port and the process."""
    return _serve


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus that runs as long as the tests; each test has names of its own in it."""
    with _serve(tmp_path_factory.mktemp("milvus") / "data", 0) as (port, _):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def open_milvus(milvus_url: str) -> Iterator[Callable[..., MilvusServer]]:
    """Connect once more, as another process would."""
    opened: list[MilvusServer] = []

    def connect(**settings: object) -> MilvusServer:
        values = {"milvus_url": milvus_url, "milvus_timeout_seconds": 60} | settings
        opened.append(MilvusServer(Settings.model_validate(values)))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()


DIMENSIONS = 17


@dataclass
class Truth:
    """What indexes should hold, and the log of how it came to be."""

    held: dict[int, NDArray[np.float16]] = field(default_factory=dict)
    revision: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def vectors(self, count: int) -> NDArray[np.float16]:
        made = self.rng.normal(size=(count, DIMENSIONS))
        unit: NDArray[np.float16] = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)
        return unit

    def put(self, ids: Sequence[int], *indexes: ScanIndex) -> None:
        """Add vectors, or give those that are there others."""
        vectors = self.vectors(len(ids))
        self.held |= dict(zip(ids, vectors, strict=True))
        self.revision += len(ids)
        for index in indexes:
            index.add(np.array(ids, np.int64), vectors)
            index.watermark = self.revision

    def drop(self, ids: Sequence[int], *indexes: ScanIndex) -> None:
        for one in ids:
            self.held.pop(one, None)
        self.revision += len(ids)
        for index in indexes:
            index.remove(ids)
            index.watermark = self.revision

    def source(self) -> Source:
        held = dict(self.held)

        def part(ids: NDArray[np.int64]) -> Iterator[Part]:
            found = [one for one in ids.tolist() if one in held]
            if found:
                yield np.array(found, np.int64), np.stack([held[one] for one in found])

        def keys() -> NDArray[np.int64]:
            return np.array(sorted(held), np.int64)

        return Source(keys=keys, every=lambda: part(keys()), some=part)

    def fill(self, index: ScanIndex) -> None:
        index.reload(self.source())
        index.watermark = self.revision

    def check(self, index: ScanIndex, probes: NDArray[np.float32] | None = None) -> None:
        """Searches, exact and not, find what a sorted list finds, and nothing twice."""
        asked = self.vectors(4).astype(np.float32) if probes is None else probes
        everything = np.full(len(asked), -np.inf)
        usual = index.search(asked, 10, everything)
        exact = index.search(asked, len(self.held) + 10, everything, exact=True)
        ids = np.array(sorted(self.held), np.int64)
        for probe, found, all_found in zip(asked, usual, exact, strict=True):
            scores = exact_scores(np.stack([self.held[one] for one in ids.tolist()]).astype(np.float32), probe)
            order = np.lexsort((ids, -scores))
            np.testing.assert_array_equal(all_found.ids, ids[order])
            np.testing.assert_array_equal(all_found.scores, scores[order])
            np.testing.assert_array_equal(found.ids, ids[order][:10])
        assert len(index) == len(self.held)
        assert sorted(index.ids().tolist()) == ids.tolist()


@pytest.fixture
def truth() -> Truth:
    """What indexes should hold: nothing yet."""
    return Truth()
