"""``recognizance bench capacity``."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from recognizance.cli.bench import capacity, indexing
from recognizance.cli.bench.capacity import Plan, measure
from recognizance.cli.bench.capacity_report import CapacityReport, Served
from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program

    from recognizance.cli.bench.workload import Workload


@pytest.fixture
def report() -> CapacityReport:
    """A machine that searches a thousand times a second."""
    one, several = Served(1000.0, 1.0, 2.0, 5000), Served(2000.0, 4.0, 9.0, 9000)
    return CapacityReport(
        contract="core",
        faces=10_000_000,
        server_faces=300_000,
        clients=8,
        price_per_hour=3.6,
        faces_per_hour=90_000.0,
        pictures="the folder people",
        index=(one, several),
        served={"search_faces": (one, several)},
        when="2026-01-01T00:00:00+00:00",
    )


def test_costs_are_the_price_of_the_time_that_a_million_take(report: CapacityReport) -> None:
    shown = report.to_json()
    assert shown["cost_per_million_faces_indexed"] == 40
    assert shown["index"]["clients_1"]["cost_per_million"] == 1
    assert shown["search_faces"]["clients_8"]["cost_per_million"] == 0.5


def test_people_get_a_table_and_readmes_get_the_same(report: CapacityReport) -> None:
    out = io.StringIO()
    report.print(Console(file=out, width=160))
    markdown = report.to_markdown()
    for text in ("90,000 faces", "SearchFaces", "10,000,000", "2,000.0", "9.0 ms", "0.50"):
        assert text in out.getvalue()
        assert text in markdown
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 4
    assert len({line.count("|") for line in table}) == 1


@pytest.mark.slow
def test_everything_is_measured_and_told_in_json(program: Program, workload: Workload, tmp_path: Path) -> None:
    """On few faces for no time at all; the figures themselves are of no interest here."""
    indexing.write_pictures(tmp_path / "portraits", workload.portraits[:4])
    done = program(
        *("bench", "capacity", "--json", "--seconds", "0.01", "--faces", "2000", "--server-faces", "1000"),
        *("--clients", "3", "--price-per-hour", "2", "--images", tmp_path / "portraits"),
        *("--data", tmp_path / "data", "--models", Settings().models),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data").exists()
    assert list((tmp_path / "cache" / "recognizance" / "bench").iterdir()) == []
    measured = json.loads(done.stdout)
    assert measured["faces_per_hour"] > 0
    for name in ("index", "search_faces", "search_faces_by_image"):
        for served in (measured[name]["clients_1"], measured[name]["clients_3"]):
            assert served["requests"] >= 1
            assert 0 < served["p50_ms"] <= served["p99_ms"]
            assert served["cost_per_million"] == pytest.approx(2e6 / 3600 / served["per_second"], rel=0.01)


def test_a_run_needs_room_on_the_disk_and_a_folder_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(SetupError, match="is not a folder"):
        measure(Settings(data=tmp_path), Plan(images=tmp_path / "nothing"), lambda _: None)
    monkeypatch.setattr(capacity, "_BYTES_A_FACE", 10**15)
    with pytest.raises(SetupError, match="GiB free"):
        measure(Settings(data=tmp_path), Plan(1000), lambda _: None)
