"""``recognizance bench search``, small."""

from __future__ import annotations

import io
import json
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from recognizance.cli.bench.search import run
from recognizance.cli.bench.search.files import GalleryFiles
from recognizance.cli.bench.search.floor import Floor, code_bytes
from recognizance.cli.bench.search.gallery import ClusteredGallery
from recognizance.cli.bench.search.peers import PEERS
from recognizance.cli.bench.search.processes import WorkerError, worker
from recognizance.cli.bench.search.run import Plan, measure
from recognizance.collections.index.codes import Codebook
from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program

KEYS = {"faces", "dim", "p50_ms", "p99_ms", "qps", "recall_at_1", "recall_at_10", "rss_mib"} | {
    "bytes_per_face",
    "build_s",
    "reopen_s",
    "floor_ms",
    "peers",
}


@pytest.fixture
def gallery(tmp_path: Path) -> tuple[GalleryFiles, ClusteredGallery]:
    """Two thousand faces on disk."""
    made = ClusteredGallery(2000, 16, 20)
    return GalleryFiles.write(tmp_path, made, lambda *_: None)[0], made


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.slow
def test_everything_is_measured_and_told_in_json(program: Program, tmp_path: Path) -> None:
    """On a gallery that is just large enough for codes; the figures themselves are of no interest here."""
    done = program(
        *("bench", "search", "--faces", "60000", "--dim", "32", "--seconds", "0.01", "--probes", "20", "--json"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "cache" / "recognizance" / "bench").iterdir()) == []
    measured = json.loads(done.stdout)
    assert set(measured) > KEYS
    assert (measured["faces"], measured["dim"], measured["peers"]) == (60_000, 32, {})
    assert measured["index"].startswith("1 segments")
    assert measured["recall_at_1"] == 1
    assert 0.9 < measured["recall_at_10"] <= 1
    assert measured["searches"] >= 5 * measured["probes"] == 100
    assert 0 < measured["p50_ms"] <= measured["p99_ms"]
    assert measured["rss_mib"] == pytest.approx(measured["rss_anonymous_mib"] + measured["rss_file_mib"], abs=0.01)
    assert all(measured[name] > 0 for name in ("qps", "build_s", "reopen_s", "floor_ms", "bytes_per_face"))


@pytest.mark.usefixtures("_own_cache")
def test_peers_are_measured_on_the_same_searches_and_shown_beside(tmp_path: Path) -> None:
    said: list[str] = []
    report = measure(
        Plan(2000, 16, peers=("numpy", "faiss-hnsw"), probes=20, seconds=0.01, build_seconds=0), said.append
    )
    assert list((tmp_path / "cache" / "recognizance" / "bench").iterdir()) == []
    out = io.StringIO()
    report.print(Console(file=out, width=200))
    assert "every face is compared" in out.getvalue()
    rows = {line.split()[0]: line.split() for line in out.getvalue().splitlines() if line.split()}
    assert rows["numpy"][4:6] == ["1.000", "1.000"]
    assert rows["faiss-hnsw"][1:6] == ["-"] * 5
    assert any("faiss-hnsw is left out: not built within 0 s" in line for line in said)
    peers = report.to_json()["peers"]
    assert peers["numpy"]["p50_ms"] > 0
    assert (peers["numpy"]["recall_at_1"], peers["numpy"]["recall_at_10"]) == (1, 1)
    assert peers["faiss-hnsw"]["p50_ms"] is None


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_finds_what_must_be_found(
    name: str, gallery: tuple[GalleryFiles, ClusteredGallery], tmp_path: Path
) -> None:
    if PEERS[name].package is not None and find_spec(str(PEERS[name].package)) is None:
        pytest.skip(f"{name} is not installed")
    files, made = gallery
    scores = files.vectors().astype(np.float32) @ made.probes[3]
    with worker(name, files.folder, 60) as peer:
        assert peer.ask("build")["note"]
        (found,) = peer.ask("search", probes=[3], seconds=0, least=1)["found"]
    assert found[0] == np.argmax(scores)
    assert len(found) == 10
    assert (tmp_path / f"{name}.log").exists()


def test_a_graph_that_is_not_built_in_time_says_how_far_it_came(
    gallery: tuple[GalleryFiles, ClusteredGallery],
) -> None:
    with worker("faiss-hnsw", gallery[0].folder, 0) as peer, pytest.raises(WorkerError, match="of 2,000 faces were in"):
        peer.ask("build")


def test_a_worker_that_ends_is_reported(tmp_path: Path) -> None:
    with worker("numpy", tmp_path) as peer:
        with pytest.raises(WorkerError, match="No such file"):
            peer.ask("build")
        peer._process.kill()
        with pytest.raises(WorkerError, match="ended with status -9"):
            peer.ask("build")


def test_a_run_needs_room_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("usage", (), {"free": 1000}))
    with pytest.raises(SetupError, match="GiB of disk"):
        measure(Plan(100_000), lambda _: None)


def test_peers_without_package_or_memory_are_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    monkeypatch.setattr(run, "find_spec", lambda _: None)
    monkeypatch.setattr(run, "_available_memory", lambda: 1e6)
    plan = Plan(100_000, peers=("numpy", "usearch"))
    assert run._possible(plan, ClusteredGallery(100_000), tmp_path, said.append) == []
    assert "numpy is left out: it would need 0.1 GiB of memory" in said
    assert any("usearch is left out" in line and "uv sync" in line for line in said)


def test_the_floor_reads_as_many_bytes_as_the_codes_have() -> None:
    codes = Codebook.train(np.random.default_rng(1).standard_normal((600, 129)), 600).encode(np.zeros((32, 129)))
    assert codes._index.code_size == code_bytes(129) == 33
    floor = Floor(1 << 20, 2)
    try:
        assert floor.ms() > 0
    finally:
        floor.close()
