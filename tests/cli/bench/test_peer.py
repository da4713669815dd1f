"""The peer, in an environment of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recognizance.cli.bench import indexing, peer

if TYPE_CHECKING:
    from tests.cli.conftest import Program

    from recognizance.cli.bench.workload import Workload


def test_an_interpreter_without_the_peer_is_a_plain_error() -> None:
    with (
        peer._worker(Path(sys.executable)) as worker,
        pytest.raises(peer.PeerError, match="No module named 'face_recognition'"),
    ):
        worker.answer()


def test_a_process_that_died_is_a_plain_error() -> None:
    with peer._worker(Path(sys.executable)) as worker:
        with pytest.raises(peer.PeerError):
            worker.answer()
        with pytest.raises(peer.PeerError, match="it does not run"):
            worker.ask({"load": ["x" * 1000] * 1000})


def test_what_failed_and_what_the_program_said_last_are_in_the_message() -> None:
    with pytest.raises(peer.PeerError, match=r"^it cannot be: no luck$"):
        peer._output("it cannot be", sys.executable, "-c", "import sys; print('hm'); sys.exit('well\\nno luck')")


@pytest.mark.slow
@pytest.mark.network
def test_the_peer_analyses_the_same_portraits(program: Program, workload: Workload, tmp_path: Path) -> None:
    """It is installed into the user's cache, once, and finds faces in most portraits."""
    indexing.write_pictures(tmp_path / "portraits", workload.portraits[:5])
    done = program(
        *("bench", "faces", "--peer", "--json", "--seconds", "0.01", "--gallery", "10"),
        *("--images", tmp_path / "portraits", "--data", tmp_path / "data"),
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    found = measured["peer"]
    assert found["version"] == "1.3.0"
    assert found["packages"].keys() >= {"face_recognition", "dlib-bin", "numpy"}
    assert 3 <= found["faces_found"] <= 6
    assert found["by_processes"].keys() >= {"1", str(measured["cpu"]["cores"])}
    best = max(rate["per_second"] for rate in found["by_processes"].values())
    assert measured["peer_portrait_per_second"] == best
    assert measured["ratio_to_peer"] == pytest.approx(measured["portrait_per_second"] / best, rel=0.01)
