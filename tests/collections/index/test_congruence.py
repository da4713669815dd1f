"""One suite for every index: whatever is done to it, it finds what a sorted list finds, restarts included."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest

from recognizance.collections.index import Cache, ExactIndex, Hits, Index, ScanIndex, Source
from recognizance.collections.index.milvus import MilvusIndex
from recognizance.collections.index.milvus.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recognizance.collections.index.milvus import MilvusServer
    from recognizance.collections.index.protocol import Part

ALL = -np.inf
KINDS = ["exact", "scan", "milvus FLAT", "milvus HNSW", "milvus IVF_SQ8"]


class Opener(Protocol):
    """Opens an index of vectors of some length; again, to stand for a restart."""

    def __call__(self, dimensions: int) -> Index: ...


@pytest.fixture(params=KINDS)
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Each kind of index in turn, on storage of the test's own."""
    kind: str = request.param
    if kind == "exact":
        return ExactIndex
    if kind == "scan":
        # Small enough that these tests' few vectors make several segments.
        return lambda dimensions: _opened(
            ScanIndex(dimensions, Cache(tmp_path, dimensions), exact_up_to=40, tail_up_to=8, capacity=64)
        )
    open_milvus: Callable[..., MilvusServer] = request.getfixturevalue("open_milvus")
    installation = f"t{abs(hash(request.node.name)):x}"
    collection = next(_COLLECTIONS)

    def opened(dimensions: int) -> Index:
        server = open_milvus(milvus_index=kind.split()[1])
        return MilvusIndex(server, Layout(server, installation, "faces", dimensions), collection)

    return opened


_COLLECTIONS = itertools.count(1)


def _opened(index: ScanIndex) -> ScanIndex:
    index.open()
    return index


@dataclass
class Subject:
    """An index, what it should hold, and the log of what was done to it: what restarts are made of."""

    open_index: Opener
    dimensions: int
    index: Index = field(init=False)
    held: dict[int, NDArray[np.float16]] = field(default_factory=dict)
    log: list[tuple[int, NDArray[np.float16] | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.index = self.open_index(self.dimensions)

    def add(self, ids: Sequence[int], vectors: NDArray[np.floating[Any]]) -> None:
        stored = vectors.astype(np.float16)
        self.index.add(np.array(ids, np.int64), stored)
        self.held |= dict(zip(ids, stored, strict=True))
        self._logged(zip(ids, stored, strict=True))

    def remove(self, ids: Sequence[int]) -> None:
        self.index.remove(ids)
        self.held = {one: vector for one, vector in self.held.items() if one not in set(ids)}
        self._logged((one, None) for one in ids)

    def _logged(self, entries: Any) -> None:
        self.log += entries
        self.index.watermark = len(self.log)
        self.tend()

    def tend(self) -> None:
        """Do what a thread beside the others does for an index that has it."""
        if isinstance(self.index, ScanIndex):
            self.index.tend()

    def restart(self) -> None:
        """Open it anew, and apply the log from the revision on up to which it holds everything."""
        self.index.close()
        self.index = self.open_index(self.dimensions)
        done = max(0, self.index.watermark)
        assert done <= len(self.log)
        for one, vector in self.log[done:]:
            if vector is None:
                self.index.remove([one])
            else:
                self.index.add(np.array([one]), vector[None])
        self.index.watermark = len(self.log)
        self.tend()

    def check(
        self, probes: NDArray[np.floating[Any]], count: int, minimum: float | NDArray[np.float64] = ALL
    ) -> list[Hits]:
        """Search, compare with the sorted list, and return what was found."""
        asked = probes.astype(np.float32)
        least = np.broadcast_to(np.asarray(minimum, np.float64), (len(asked),))
        assert len(self.index) == len(self.held)
        found = self.index.search(asked, count, least)
        assert len(found) == len(asked)
        for hits, probe, one_least in zip(found, asked, least, strict=True):
            ids, scores = self._expected(probe, count, float(one_least))
            np.testing.assert_array_equal(hits.ids, ids)
            np.testing.assert_allclose(hits.scores, scores, rtol=0, atol=1e-12)
        return found

    def _expected(self, probe: NDArray[np.float32], count: int, minimum: float) -> tuple[list[int], list[float]]:
        scored = [(-score(vector, probe), one) for one, vector in self.held.items()]
        best = sorted((negative, one) for negative, one in scored if -negative >= minimum)[:count]
        return [one for _, one in best], [-negative for negative, _ in best]


def score(vector: NDArray[np.float16], probe: NDArray[np.float32]) -> float:
    return float((vector.astype(np.float64) * probe.astype(np.float64)).sum())


def directions(rng: np.random.Generator, count: int, dimensions: int) -> NDArray[np.float64]:
    """Vectors as they are stored: an embedding of length one, and a small number behind it."""
    made = rng.normal(size=(count, dimensions))
    made[:, :-1] /= np.linalg.norm(made[:, :-1], axis=1, keepdims=True)
    made[:, -1] *= 0.05
    return made


@pytest.mark.parametrize("dimensions", [129, 513])
def test_it_agrees_with_a_sorted_list_whatever_is_done_to_it(open_index: Opener, dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    subject = Subject(open_index, dimensions)
    probes = directions(rng, 5, dimensions)
    subject.check(probes, 3)
    for turn in range(6):
        fresh = range(60 * turn, 60 * turn + 60)
        subject.add(list(fresh), directions(rng, 60, dimensions))
        again = rng.choice(60 * turn + 60, 7, replace=False).tolist()  # users' vectors change; some come back
        subject.add(again, directions(rng, 7, dimensions))
        subject.remove(rng.choice(60 * turn + 80, 20, replace=False).tolist())  # some of them are not there
        if turn % 2:
            subject.restart()
        near = np.array([subject.held[one] for one in list(subject.held)[:3]])
        subject.check(np.concatenate([probes, near]), int(rng.integers(1, 30)), 0.05)
    subject.restart()
    subject.check(probes, 12)


def test_the_last_state_counts_after_a_restart(open_index: Opener) -> None:
    rng = np.random.default_rng(1)
    subject = Subject(open_index, 129)
    old, new = directions(rng, 2, 129)
    subject.add([1, 2], np.stack([old, new]))
    subject.add([1], new[None])
    subject.remove([2])
    subject.restart()
    (hits,) = subject.check(new[None], 5)
    assert hits.ids.tolist() == [1]
    subject.remove([1])
    subject.restart()
    (hits,) = subject.check(new[None], 5)
    assert len(hits.ids) == 0


def test_equals_are_ordered_by_id_and_cut_off_there(open_index: Opener) -> None:
    """Of more equals than are wanted the smallest ids are returned, however many there are."""
    rng = np.random.default_rng(2)
    subject = Subject(open_index, 129)
    (twin,), others = directions(rng, 1, 129), directions(rng, 60, 129)
    ids = rng.permutation(260)
    subject.add(ids[:200].tolist(), np.tile(twin, (200, 1)))
    subject.add(ids[200:].tolist(), others)
    for count in (1, 7, 130, 200, 230):
        subject.check(twin[None], count)
    subject.remove(sorted(ids[:200].tolist())[:50])
    subject.restart()
    subject.check(twin[None], 9)


def test_a_minimum_includes_what_reaches_it_exactly(open_index: Opener) -> None:
    rng = np.random.default_rng(3)
    subject = Subject(open_index, 129)
    subject.add(list(range(80)), directions(rng, 80, 129))
    probes = directions(rng, 4, 129).astype(np.float32)
    (all_of_them,) = subject.check(probes[:1], 80)
    for rank in (0, 4, 40, 79):
        (hits,) = subject.check(probes[:1], 80, float(all_of_them.scores[rank]))
        assert len(hits.ids) == rank + 1
    subject.check(probes, 10, np.array([ALL, 0.0, 0.1, np.inf]))


def test_many_probes_find_what_each_finds_alone(open_index: Opener) -> None:
    rng = np.random.default_rng(4)
    subject = Subject(open_index, 129)
    subject.add(list(range(150)), directions(rng, 150, 129))
    probes = directions(rng, 120, 129)
    together = subject.check(probes, 5)
    for row in range(0, 120, 40):
        (alone,) = subject.check(probes[row : row + 1], 5)
        np.testing.assert_array_equal(alone.ids, together[row].ids)
        np.testing.assert_array_equal(alone.scores, together[row].scores)
    assert subject.index.search(np.empty((0, 129), np.float32), 5, np.empty(0)) == []


def test_more_than_there_are_may_be_asked_for(open_index: Opener) -> None:
    rng = np.random.default_rng(5)
    subject = Subject(open_index, 129)
    (probe,) = directions(rng, 1, 129)
    subject.check(probe[None], 4096)
    subject.add(list(range(300)), directions(rng, 300, 129))
    (hits,) = subject.check(probe[None], 4096)
    assert len(hits.ids) == 300


def test_an_exact_search_compares_every_vector(open_index: Opener) -> None:
    rng = np.random.default_rng(6)
    subject = Subject(open_index, 129)
    subject.add(list(range(200)), directions(rng, 200, 129))
    subject.remove(list(range(0, 200, 3)))
    probes = directions(rng, 3, 129).astype(np.float32)
    usual = subject.check(probes, 20, 0.01)
    for hits, exact in zip(usual, subject.index.search(probes, 20, np.full(3, 0.01), exact=True), strict=True):
        np.testing.assert_array_equal(hits.ids, exact.ids)
        np.testing.assert_array_equal(hits.scores, exact.scores)


def test_the_vectors_that_are_held_can_be_had_back(open_index: Opener) -> None:
    rng = np.random.default_rng(7)
    subject = Subject(open_index, 129)
    subject.add(list(range(0, 300, 2)), directions(rng, 150, 129))
    subject.add([4, 8], directions(rng, 2, 129))
    subject.remove([6])
    ids, vectors = subject.index.get(np.arange(0, 20))
    assert ids.tolist() == [0, 2, 4, 8, 10, 12, 14, 16, 18]
    assert vectors.dtype == np.float16
    np.testing.assert_array_equal(vectors, [subject.held[one] for one in ids.tolist()])


def test_reloading_makes_it_equal_to_the_source(open_index: Opener) -> None:
    """Rows that are held already keep their vectors; the rest comes, and what the source has not goes."""
    rng = np.random.default_rng(8)
    subject = Subject(open_index, 129)
    subject.add(list(range(1, 200)), directions(rng, 199, 129))
    probes = directions(rng, 3, 129)
    subject.held = {one: vector for one, vector in subject.held.items() if one % 3}
    subject.held |= dict(zip(range(200, 420), directions(rng, 220, 129).astype(np.float16), strict=True))
    subject.index.reload(source(subject.held))
    subject.check(probes, 25)
    subject.tend()
    subject.check(probes, 25)
    subject.held = {}
    subject.index.reload(source(subject.held))
    subject.check(probes, 25)


def source(held: dict[int, NDArray[np.float16]]) -> Source:
    """What these rows can be read from, some at a time."""

    def parts(ids: Sequence[int]) -> Iterator[Part]:
        for start in range(0, len(ids), 50):
            some = ids[start : start + 50]
            yield np.array(some, np.int64), np.stack([held[one] for one in some])

    return Source(
        keys=lambda: np.array(list(held), np.int64),
        every=lambda: parts(list(held)),
        some=lambda ids: parts([one for one in ids.tolist() if one in held]),
    )


@pytest.mark.parametrize("shape", [(1, 128), (129,)])
def test_vectors_of_another_length_are_refused(open_index: Opener, shape: tuple[int, ...]) -> None:
    index = open_index(129)
    with pytest.raises(ValueError, match="shape"):
        index.search(np.ones(shape, np.float32), 1, np.array([ALL]))
    with pytest.raises(ValueError, match="shape"):
        index.add(np.array([1]), np.ones(shape, np.float32))
