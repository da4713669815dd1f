"""Searches made together answer as each would alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.collections.index import Coalescer, ExactIndex, ScanIndex
from recognizance.collections.index.cache import Cache
from recognizance.collections.index.coalesce import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from recognizance.collections.index import Hits, Index

DIMENSIONS = 17


class Noted(ExactIndex):
    """Notes what it is asked, may be held up, and fails when a probe says so."""

    def __init__(self) -> None:
        super().__init__(DIMENSIONS)
        self.batches: list[tuple[int, int]] = []
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], *, exact: bool = True
    ) -> list[Hits]:
        self.batches.append((len(probes), count))
        self.entered.release()
        assert self.free.wait(60)
        if np.isnan(probes).any():
            raise ArithmeticError("no number")
        return super().search(probes, count, minimum, exact=exact)


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    made: NDArray[np.float32] = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return made


@pytest.fixture
def noted() -> Noted:
    index = Noted()
    index.add(np.arange(300), vectors(300).astype(np.float16))
    return index


class Thread(threading.Thread):
    """A search of its own thread, and what came of it."""

    def __init__(self, coalescer: Coalescer, probes: NDArray[np.float32], count: int, minimum: float = -np.inf) -> None:
        super().__init__(daemon=True)
        self.asked = (probes, count, np.full(len(probes), minimum))
        self.found: list[Hits] | None = None
        self.error: BaseException | None = None
        self._coalescer = coalescer
        self.start()

    def run(self) -> None:
        try:
            self.found = self._coalescer.search(*self.asked)
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            self.error = error

    def check(self, index: Index) -> None:
        self.join(60)
        assert self.error is None
        assert self.found is not None
        for mine, alone in zip(self.found, index.search(*self.asked), strict=True):
            np.testing.assert_array_equal(mine.ids, alone.ids)
            np.testing.assert_array_equal(mine.scores, alone.scores)


def waiting(coalescer: Coalescer, count: int) -> None:
    """Return once so many searches wait for their turn."""
    patience = threading.Event()
    for _ in range(6000):
        if len(coalescer._waiting) == count:
            return
        patience.wait(0.01)
    pytest.fail(f"{len(coalescer._waiting)} searches wait, not {count}")


def held_up(noted: Noted, coalescer: Coalescer) -> Thread:
    """Begin a search that does not end before ``noted.free`` is set."""
    noted.free.clear()
    first = Thread(coalescer, vectors(1), 3)
    assert noted.entered.acquire(timeout=60)
    return first


def scanned(folder: Path) -> Index:
    index = ScanIndex(DIMENSIONS, Cache(folder, DIMENSIONS), exact_up_to=40, tail_up_to=16, capacity=64)
    index.add(np.arange(300), vectors(300).astype(np.float16))
    index.tend()
    assert index.segments > 1
    return index


def exact(_: Path) -> Index:
    index = ExactIndex(DIMENSIONS)
    index.add(np.arange(300), vectors(300).astype(np.float16))
    return index


@pytest.mark.parametrize("make", [exact, scanned])
def test_many_threads_get_what_each_would_get_alone(tmp_path: Path, make: Callable[[Path], Index]) -> None:
    index = make(tmp_path)
    coalescer = Coalescer(lambda: index)
    rng = np.random.default_rng(5)
    for turn in range(5):
        threads = [
            Thread(
                coalescer,
                vectors(int(rng.integers(0, 5)), seed=100 * turn + number),
                int(rng.choice([1, 3, 50])),
                float(rng.choice([-np.inf, 0.0, 2.0, np.inf])),
            )
            for number in range(24)
        ]
        for thread in threads:
            thread.check(index)


def test_those_that_wait_go_together_if_they_want_as_many_hits(noted: Noted) -> None:
    coalescer = Coalescer(lambda: noted)
    first = held_up(noted, coalescer)
    others = []
    for number, count in enumerate([7, 2, 7, 2, 7]):
        others.append(Thread(coalescer, vectors(2, seed=number), count, number / 4))
        waiting(coalescer, number + 1)
    noted.free.set()
    for thread in (first, *others):
        thread.join(60)
    assert sorted(noted.batches) == [(1, 3), (4, 2), (6, 7)]
    assert noted.batches[1] == (6, 7), "those that have waited longest go first"
    for thread in (first, *others):
        thread.check(noted)


def test_a_batch_has_no_more_probes_than_pay_off(noted: Noted) -> None:
    coalescer = Coalescer(lambda: noted)
    first = held_up(noted, coalescer)
    others = []
    for number in range(9):
        others.append(Thread(coalescer, vectors(3, seed=number), 4))
        waiting(coalescer, number + 1)
    noted.free.set()
    for thread in (first, *others):
        thread.join(60)
    assert sum(size for size, count in noted.batches if count == 4) == 27
    assert max(size for size, _ in noted.batches) <= LARGEST
    for thread in (first, *others):
        thread.check(noted)


def test_a_search_of_many_probes_and_an_exact_one_wait_for_nobody(noted: Noted) -> None:
    coalescer = Coalescer(lambda: noted)
    first = held_up(noted, coalescer)
    many = Thread(coalescer, vectors(LARGEST + 1), 3)
    assert noted.entered.acquire(timeout=60)
    one = threading.Thread(target=lambda: coalescer.search(vectors(1), 3, np.zeros(1), exact=True), daemon=True)
    one.start()
    assert noted.entered.acquire(timeout=60)
    noted.free.set()
    one.join(60)
    first.check(noted)
    many.check(noted)


def test_an_index_that_fails_fails_those_in_its_batch_and_no_others(noted: Noted) -> None:
    coalescer = Coalescer(lambda: noted)
    first = held_up(noted, coalescer)
    broken = vectors(1)
    broken[0, 0] = np.nan
    bad = Thread(coalescer, broken, 5)
    waiting(coalescer, 1)
    beside = Thread(coalescer, vectors(1, seed=1), 5)
    waiting(coalescer, 2)
    good = Thread(coalescer, vectors(1, seed=2), 6)
    waiting(coalescer, 3)
    noted.free.set()
    for thread in (first, bad, beside, good):
        thread.join(60)
    assert isinstance(bad.error, ArithmeticError)
    assert isinstance(beside.error, ArithmeticError), "they shared a batch"
    first.check(noted)
    good.check(noted)
    Thread(coalescer, vectors(2), 5).check(noted)


def test_the_index_of_the_moment_is_searched(noted: Noted) -> None:
    """A gallery that is built anew puts another index in the place of the one there was."""
    current: list[Index] = [noted]
    coalescer = Coalescer(lambda: current[0])
    first = held_up(noted, coalescer)
    second = Thread(coalescer, vectors(1, seed=1), 4)
    waiting(coalescer, 1)
    other = ExactIndex(DIMENSIONS)
    other.add(np.arange(1000, 1300), vectors(300).astype(np.float16))
    current[0] = other
    noted.free.set()
    first.check(noted)
    second.check(other)


def test_nobody_waits_for_ever_while_others_keep_searching(noted: Noted) -> None:
    """Threads that ask again and again for the same number of hits do not keep one out that wants another."""
    coalescer = Coalescer(lambda: noted)
    stopped = threading.Event()

    def search_on(seed: int) -> None:
        while not stopped.is_set():
            coalescer.search(vectors(2, seed=seed), 3, np.zeros(2))

    crowd = [threading.Thread(target=search_on, args=(seed,), daemon=True) for seed in range(6)]
    for thread in crowd:
        thread.start()
    try:
        for turn in range(20):
            Thread(coalescer, vectors(1, seed=turn), 30).check(noted)
    finally:
        stopped.set()
    for thread in crowd:
        thread.join(60)
        assert not thread.is_alive()
