"""The exact index, against a model that is too simple to be wrong."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from recognizance.collections.index import ExactIndex, Hits

EVERYTHING = np.array([-np.inf])


def naive(held: dict[int, NDArray[np.float64]], probe: NDArray[np.float64], count: int, minimum: float) -> Hits:
    scored = [(-float(np.sum(vector * probe)), one) for one, vector in held.items()]
    best = sorted((score, one) for score, one in scored if -score >= minimum)[:count]
    return Hits(np.array([one for _, one in best], np.int64), np.array([-score for score, _ in best]))


def filled(vectors: NDArray[np.float32], *, block: int = 8192) -> ExactIndex:
    index = ExactIndex(vectors.shape[1], block=block)
    index.add(np.arange(len(vectors)), vectors)
    return index


# Coordinates from so few values that scores often tie.
coarse = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=3, max_size=3)
additions = st.tuples(
    st.just("add"), st.lists(st.tuples(st.integers(0, 30), coarse), max_size=9, unique_by=lambda p: p[0])
)
removals = st.tuples(st.just("remove"), st.lists(st.integers(0, 30), max_size=9))
searches = st.tuples(
    st.just("search"),
    st.tuples(
        st.lists(st.tuples(coarse, st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 0.5])), max_size=4), st.integers(1, 12)
    ),
)


@given(st.lists(st.one_of(additions, removals, searches), max_size=25), st.sampled_from([1, 2, 5, 64]))
@settings(max_examples=200, deadline=None)
def test_it_agrees_with_a_sorted_list_whatever_is_done_to_it(steps: list[tuple[str, object]], block: int) -> None:
    index = ExactIndex(3, block=block)
    held: dict[int, NDArray[np.float64]] = {}
    for name, argument in steps:
        match name, argument:
            case "add", list(pairs):
                index.add(
                    np.array([one for one, _ in pairs], np.int64),
                    np.array([vector for _, vector in pairs], np.float32).reshape(-1, 3),
                )
                held |= {one: np.array(vector) for one, vector in pairs}
            case "remove", list(ids):
                index.remove(ids)
                held = {one: vector for one, vector in held.items() if one not in ids}
            case "search", (list(asked), int(count)):
                probes = np.array([vector for vector, _ in asked], np.float32).reshape(-1, 3)
                found = index.search(probes, count, np.array([least for _, least in asked]))
                assert len(found) == len(asked)
                for hits, (vector, least) in zip(found, asked, strict=True):
                    expected = naive(held, np.array(vector), count, least)
                    np.testing.assert_array_equal(hits.ids, expected.ids)
                    np.testing.assert_array_equal(hits.scores, expected.scores)
        assert len(index) == len(held)


@pytest.mark.parametrize("dimensions", [129, 513])
def test_it_finds_the_nearest_among_many_random_vectors(dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    vectors = rng.normal(size=(3000, dimensions)).astype(np.float32)
    probes = rng.normal(size=(7, dimensions)).astype(np.float32)
    held = dict(enumerate(vectors.astype(np.float64)))
    for hits, probe in zip(filled(vectors, block=256).search(probes, 20, np.full(7, -np.inf)), probes, strict=True):
        expected = naive(held, probe.astype(np.float64), 20, -np.inf)
        np.testing.assert_array_equal(hits.ids, expected.ids)
        np.testing.assert_allclose(hits.scores, expected.scores, rtol=0, atol=1e-10)


def test_equal_vectors_score_equally_wherever_they_lie() -> None:
    """A matrix product rounds differently in different places; which of two equals wins must not depend on it."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(2 * 997, 129)).astype(np.float32)
    vectors[5::7] = vectors[5]
    twins = np.arange(5, len(vectors), 7)
    for size in (1, 2, 5):
        probes = vectors[[5] * size] + rng.normal(size=(size, 129)).astype(np.float32) * 0.01
        for hits in filled(vectors, block=100).search(probes, 50, np.full(size, -np.inf)):
            np.testing.assert_array_equal(hits.ids, twins[:50])
            assert len(set(hits.scores)) == 1


def test_many_probes_find_what_each_finds_alone() -> None:
    """More scores than are held at once are computed in groups."""
    rng = np.random.default_rng(4)
    index = filled(rng.normal(size=(9000, 8)).astype(np.float32))
    probes = rng.normal(size=(1000, 8)).astype(np.float32)
    together = index.search(probes, 3, np.full(1000, -np.inf))
    for row in range(0, 1000, 50):
        (alone,) = index.search(probes[row : row + 1], 3, EVERYTHING)
        np.testing.assert_array_equal(together[row].ids, alone.ids)
        np.testing.assert_array_equal(together[row].scores, alone.scores)


def test_an_id_added_again_takes_the_new_vector() -> None:
    index = filled(np.eye(3, dtype=np.float32))
    index.add(np.array([1, 7]), np.array([[0, 0, 5], [0, 0, 4]], np.float32))
    (hits,) = index.search(np.array([[0, 0, 1]], np.float32), 3, EVERYTHING)
    assert hits.ids.tolist() == [1, 7, 2]
    assert len(index) == 4


def test_a_search_of_nothing_finds_nothing() -> None:
    (hits,) = ExactIndex(4).search(np.ones((1, 4), np.float32), 5, EVERYTHING)
    assert len(hits.ids) == len(hits.scores) == 0
    assert filled(np.eye(4, dtype=np.float32)).search(np.empty((0, 4), np.float32), 5, np.empty(0)) == []


@pytest.mark.parametrize("shape", [(1, 3), (4,)])
def test_vectors_of_another_length_are_refused(shape: tuple[int, ...]) -> None:
    index = ExactIndex(4)
    with pytest.raises(ValueError, match="shape"):
        index.search(np.ones(shape, np.float32), 1, EVERYTHING)
    with pytest.raises(ValueError, match="shape"):
        index.add(np.array([1]), np.ones(shape, np.float32))


def test_searches_see_whole_vectors_while_others_come_and_go() -> None:
    """Each id has one vector for ever, so a search that saw a vector half moved would report a score no id has."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(400, 33)).astype(np.float32)
    probe = rng.normal(size=(1, 33)).astype(np.float32)
    truth = {one: float(np.sum(vectors[one].astype(np.float64) * probe[0])) for one in range(400)}
    index = ExactIndex(33, block=16)
    stay = np.arange(0, 400, 4)
    index.add(stay, vectors[stay])
    stop = threading.Event()
    wrong: list[object] = []

    def search() -> None:
        while not stop.is_set():
            (hits,) = index.search(probe, 400, EVERYTHING)
            ids, scores = hits.ids.tolist(), hits.scores.tolist()
            if (
                scores != [truth[one] for one in ids]
                or len(set(ids)) != len(ids)
                or not set(stay.tolist()) <= set(ids)
                or scores != sorted(scores, reverse=True)
            ):
                wrong.append((ids, scores))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    come_and_go = np.setdiff1d(np.arange(400), stay)
    for _ in range(60):
        some = rng.choice(come_and_go, 60, replace=False)
        index.add(some, vectors[some])
        index.remove(rng.choice(come_and_go, 60, replace=False).tolist())
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_scan_takes_one_thread() -> None:
    """Two that wait for each other are slower than one wherever the machine has other work."""
    ExactIndex(4)
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
