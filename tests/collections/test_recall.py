"""What the ordinary search misses, measured on searches as they come."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recognizance.collections.index import Cache, ExactIndex, Hits, ScanIndex
from recognizance.collections.recall import RecallMonitor, Tally

ANYTHING = np.full(2, -np.inf)


@pytest.fixture
def vectors() -> NDArray[np.float16]:
    return np.random.default_rng(3).normal(size=(500, 9)).astype(np.float16)


@pytest.fixture
def scan(tmp_path: Path, vectors: NDArray[np.float16]) -> ScanIndex:
    index = ScanIndex(9, Cache(tmp_path, 9), exact_up_to=50)
    index.add(np.arange(len(vectors)), vectors)
    index.tend()
    assert index.segments
    return index


def searched(index: ScanIndex, probes: NDArray[np.float32]) -> list[Hits]:
    return index.search(probes, 10, ANYTHING)


def test_hits_that_exact_searches_give_too_are_found(scan: ScanIndex, vectors: NDArray[np.float16]) -> None:
    monitor = RecallMonitor(1)
    probes = vectors[:2].astype(np.float32)
    monitor.offer(scan, probes, 10, ANYTHING, searched(scan, probes))
    assert monitor.tally == Tally()
    monitor.check()
    assert monitor.tally == Tally(searches=2, found=20, missed=0)


def test_hits_that_were_not_given_are_missed(scan: ScanIndex, vectors: NDArray[np.float16]) -> None:
    monitor = RecallMonitor(1)
    probes = vectors[:2].astype(np.float32)
    first, second = searched(scan, probes)
    less = Hits(np.delete(first.ids, [0, 4, 9]), np.delete(first.scores, [0, 4, 9]))
    monitor.offer(scan, probes, 10, ANYTHING, [less, second])
    monitor.check()
    assert monitor.tally == Tally(searches=2, found=17, missed=3)


def test_a_collection_that_has_changed_since_says_nothing(scan: ScanIndex, vectors: NDArray[np.float16]) -> None:
    monitor = RecallMonitor(1)
    probes = vectors[:2].astype(np.float32)
    monitor.offer(scan, probes, 10, ANYTHING, searched(scan, probes))
    scan.remove([0])
    scan.watermark += 1
    monitor.check()
    assert monitor.tally == Tally()


@pytest.mark.parametrize(("share", "fits"), [(0.0, lambda n: n == 0), (0.5, lambda n: 300 < n < 700)])
def test_a_share_of_the_searches_is_checked(share: float, fits: Callable[[int], bool]) -> None:
    index = ExactIndex(2)
    index.add(np.array([1]), np.ones((1, 2)))
    probe = np.ones((1, 2), np.float32)
    minimum = np.full(1, -np.inf)
    monitor = RecallMonitor(share)
    for _ in range(1000):
        monitor.offer(index, probe, 1, minimum, index.search(probe, 1, minimum))
        monitor.check()
    assert fits(monitor.tally.searches)


def test_probes_do_not_pile_up(scan: ScanIndex, vectors: NDArray[np.float16]) -> None:
    monitor = RecallMonitor(1)
    probes = vectors[:2].astype(np.float32)
    hits = searched(scan, probes)
    for _ in range(1000):
        monitor.offer(scan, probes, 10, ANYTHING, hits)
    monitor.check()
    assert monitor.tally.searches <= 32
