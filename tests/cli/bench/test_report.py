"""The figures, for programs and for people."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from recognizance.cli.bench.machine import Cpu, Setup
from recognizance.cli.bench.pipeline import OneThread, Stages
from recognizance.cli.bench.report import FacesReport, HundredFaces, PeerFigures, Pictures, Rates
from recognizance.cli.bench.server import Overhead
from recognizance.cli.bench.timing import Latency, Rate


def _rate(per_second: float) -> Rate:
    return Rate(per_second, per_second / 2, per_second * 2, 5)


@pytest.fixture
def report() -> FacesReport:
    """A run that found a hundred faces, with the peer."""
    one = OneThread(Stages(1.0, 2.0, 3.0), Latency(6.0, 7.0, 8.0))
    return FacesReport(
        setup=Setup("core", "1.0", "openvino", "f32", 2, Cpu("A processor", 2), {"python": "3.11"}),
        pictures=Pictures("the folder people", 200, 210, 10, 35),
        workers=4,
        seconds=10.0,
        rates=Rates(
            _rate(60.0),
            _rate(12.3456),
            PeerFigures("face_recognition", "1.3.0", {1: _rate(4.0), 2: _rate(7.5)}, 190, {"numpy": "2"}),
        ),
        one_portrait=one,
        one_photo=one,
        hundred=HundredFaces(100.0, 900.0, 100, 100),
        bulk=_rate(50.0),
        overhead=Overhead(2.5, 12.5, 10.0),
        memory_mib=300.0,
        gallery=100_000,
        when="2026-01-01T00:00:00+00:00",
    )


def _text(report: FacesReport) -> str:
    out = io.StringIO()
    report.print(Console(file=out, width=120, highlight=False))
    return out.getvalue()


def test_the_peer_is_taken_at_its_best(report: FacesReport) -> None:
    shown = report.to_json()
    assert shown["peer_portrait_per_second"] == 7.5
    assert shown["ratio_to_peer"] == 8.0
    assert shown["peer"]["processes"] == 2
    assert shown["peer"]["by_processes"]["1"]["per_second"] == 4.0


def test_the_claims_come_first_and_in_json_numbers_are_short(report: FacesReport) -> None:
    shown = report.to_json()
    assert list(shown)[:9] == [
        "portrait_per_second",
        "photo_per_second",
        "peer_portrait_per_second",
        "ratio_to_peer",
        "hundred_faces_detect_ms",
        "hundred_faces_index_ms",
        "server_overhead_ms",
        "bulk_index_per_second",
        "memory_mib_100k_faces",
    ]
    assert shown["photo_per_second"] == 12.346
    assert shown["memory_mib_100k_faces"] == 300.0


def test_memory_with_another_number_of_faces_is_not_passed_off_as_that_of_100_000(report: FacesReport) -> None:
    shown = replace(report, gallery=99_999).to_json()
    assert shown["memory_mib_100k_faces"] is None
    assert shown["server"] == {
        "detect_faces_ms": 12.5,
        "pipeline_ms": 10.0,
        "gallery_faces": 99_999,
        "memory_mib": 300.0,
    }


def test_people_are_told_the_ratio_in_a_sentence(report: FacesReport) -> None:
    text = _text(report)
    assert "8.0 times as many portraits a second as face_recognition 1.3.0: 60.0 against 7.5" in text
    assert "2 processes" in text
    assert "210 faces, face_recognition 190" in text
    assert "faces were found in the picture of 100" not in text


def test_people_are_told_when_faces_were_missed(report: FacesReport) -> None:
    missed = replace(report, hundred=replace(report.hundred, found=97, indexed=97))
    assert "97 faces were found in the picture of 100 portraits" in _text(missed)


def test_without_the_peer_nothing_is_said_of_it(report: FacesReport) -> None:
    alone = replace(report, rates=replace(report.rates, peer=None), memory_mib=None)
    assert alone.ratio_to_peer is None
    text = _text(alone)
    assert "times as many" not in text
    assert "unknown" in text
