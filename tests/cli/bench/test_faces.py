"""``recognizance bench faces`` as a program."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from recognizance.cli.bench import indexing
from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program

    from recognizance.cli.bench.workload import Workload

CLAIMS = {
    "portrait_per_second",
    "photo_per_second",
    "hundred_faces_detect_ms",
    "hundred_faces_index_ms",
    "bulk_index_per_second",
}


@pytest.mark.slow
def test_everything_is_measured_and_told_in_json(program: Program, workload: Workload, tmp_path: Path) -> None:
    """On a few portraits for no time at all; the figures themselves are of no interest here.

    The cache is an empty one, so that the peer has to be installed, and there is no package index: it is left out.
    """
    indexing.write_pictures(tmp_path / "portraits", workload.portraits[:6])
    done = program(
        *("bench", "faces", "--peer", "--json", "--seconds", "0.01", "--gallery", "2000"),
        *("--images", tmp_path / "portraits", "--data", tmp_path / "data", "--models", Settings().models),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        PIP_NO_INDEX="1",
        PIP_CONFIG_FILE=os.devnull,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "face_recognition is left out: its packages could not be fetched" in " ".join(done.stderr.split())
    assert not (tmp_path / "data").exists()
    assert [path.name for path in (tmp_path / "cache" / "recognizance" / "bench").glob("run-*")] == []
    measured = json.loads(done.stdout)
    assert all(measured[name] > 0 for name in CLAIMS)
    assert isinstance(measured["server_overhead_ms"], float)
    assert measured["peer_portrait_per_second"] is None
    assert measured["ratio_to_peer"] is None
    assert measured["peer"] is None
    assert measured["memory_mib_100k_faces"] is None  # this collection had 2000
    assert 50 < measured["server"]["memory_mib"] < 1024
    assert (measured["contract"], measured["face_model_version"]) == ("core", "1.0")
    assert measured["precision"] in {"bf16", "f32"}
    assert measured["cpu"]["cores"] >= 1
    assert measured["cpu"]["model"]
    for picture in ("portrait", "photo"):
        assert measured["stages"][picture].keys() == {"decode", "detect", "embed"}
        assert all(value > 0 for value in measured["stages"][picture].values())
    assert measured["hundred_faces"]["found"] > 90
    assert measured["hundred_faces"]["indexed"] == measured["hundred_faces"]["found"]
    assert measured["pictures"]["portraits"] == 6
    assert measured["versions"].keys() >= {"python", "recognizance", "numpy"}


def test_a_folder_that_is_none_is_a_plain_error(program: Program, tmp_path: Path) -> None:
    done = program("bench", "faces", "--json", "--images", tmp_path / "nowhere")
    assert done.returncode == 1
    assert not done.stdout
    assert "nowhere is not a folder" in done.stderr
    assert "Traceback" not in done.stderr
