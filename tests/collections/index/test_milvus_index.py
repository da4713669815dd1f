"""The Milvus index where it differs from others: candidates that Milvus proposes, in segments that it indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from recognizance.collections.index import ExactIndex
from recognizance.collections.index.milvus import MilvusIndex
from recognizance.collections.index.milvus import index as index_module
from recognizance.collections.index.milvus.layout import Layout, erase

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from recognizance.collections.index.milvus import MilvusServer

ALL = -np.inf


def clustered(rng: np.random.Generator, people: int, of_each: int) -> NDArray[np.float32]:
    """Some faces of each of some people, as they are stored."""
    centres = rng.normal(size=(people, 1, 128))
    faces = (centres + 0.7 * rng.normal(size=(people, of_each, 128))).reshape(-1, 128)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    with_level = np.concatenate([faces, 0.05 * rng.normal(size=(len(faces), 1))], axis=1)
    made: NDArray[np.float32] = with_level.astype(np.float16).astype(np.float32)
    return made


@pytest.mark.parametrize("index_type", ["FLAT", "HNSW", "IVF_SQ8"])
def test_what_milvus_indexed_is_found_with_exact_scores(
    open_milvus: Callable[..., MilvusServer], index_type: str
) -> None:
    """Milvus's own scores of quantised vectors are off; those of the hits are not, nor is their order."""
    rng = np.random.default_rng(0)
    server = open_milvus(milvus_index=index_type)
    layout = Layout(server, "indexed", "faces", 129)
    index, exact = MilvusIndex(server, layout, 1), ExactIndex(129)
    vectors = clustered(rng, 250, 4)
    for one in (index, exact):
        one.add(np.arange(len(vectors)), vectors)
    server.call("flush", layout.name)  # only then are there segments, which have an index
    probes = vectors[::50] + 0.02 * rng.normal(size=(20, 129)).astype(np.float32)
    found = index.search(probes, 5, np.full(20, ALL))
    wanted = exact.search(probes, 5, np.full(20, ALL))
    recall = np.mean([len(np.intersect1d(a.ids, b.ids)) / 5 for a, b in zip(found, wanted, strict=True)])
    assert recall == 1.0 if index_type == "FLAT" else recall >= 0.9
    for hits, probe in zip(found, probes, strict=True):
        products = (vectors[hits.ids].astype(np.float64) * probe.astype(np.float64)).sum(axis=1)
        np.testing.assert_array_equal(hits.scores, products)
        assert (np.diff(hits.scores) <= 0).all()


def test_milvus_is_asked_for_more_until_nothing_can_be_missing(
    open_milvus: Callable[..., MilvusServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_FIRST_LIMIT", 4)
    monkeypatch.setattr(index_module, "_WIDENING", 2)
    server = open_milvus()
    index = MilvusIndex(server, Layout(server, "wider", "faces", 3), 1)
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(100, 3)).astype(np.float32)
    index.add(np.arange(100), vectors)
    probe = vectors[:1]
    limits: list[object] = []
    call = server.call

    def noted(method: str, *arguments: object, **named: object) -> object:
        limits.append(named.get("limit")) if method == "search" else None
        return call(method, *arguments, **named)

    monkeypatch.setattr(server, "call", noted)
    (hits,) = index.search(probe, 30, np.array([ALL]))
    assert limits == [4, 8, 16, 32]
    assert len(hits.ids) == 30
    limits.clear()
    (hits,) = index.search(probe, 30, np.array([float(hits.scores[1])]))
    assert limits == [4], "the third one is below the minimum, so nobody else reaches it"
    assert len(hits.ids) == 2


def test_collections_share_a_milvus_collection_and_nothing_else(open_milvus: Callable[..., MilvusServer]) -> None:
    server = open_milvus()
    layout = Layout(server, "shared", "faces", 3)
    one, two = MilvusIndex(server, layout, 1), MilvusIndex(server, layout, 2)
    one.add(np.array([1, 2]), np.eye(3, dtype=np.float32)[:2])
    two.add(np.array([3]), np.eye(3, dtype=np.float32)[2:])
    one.watermark, two.watermark = 5, 7
    one.remove([3])
    (hits,) = one.search(np.ones((1, 3), np.float32), 9, np.array([ALL]))
    assert hits.ids.tolist() == [1, 2]
    assert layout.marks.all() == {1: {"faces": 5}, 2: {"faces": 7}}
    erase(server, "shared", 1)
    assert (len(one), len(two), one.watermark, two.watermark) == (0, 1, -1, 7)


def test_databases_that_share_a_milvus_do_not_meet(open_milvus: Callable[..., MilvusServer]) -> None:
    server = open_milvus()
    one, two = (MilvusIndex(server, Layout(server, name, "faces", 3), 1) for name in ("here", "there"))
    one.add(np.array([1]), np.ones((1, 3), np.float32))
    assert (len(one), len(two)) == (1, 0)


def test_more_rows_than_milvus_gives_at_once_are_compared(
    open_milvus: Callable[..., MilvusServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "MOST_HITS", 10)
    server = open_milvus()
    index = MilvusIndex(server, Layout(server, "many", "faces", 3), 1)
    vectors = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    index.add(np.arange(1, 41), vectors)
    written, removed = index.make_equal(0, None, np.array([5, 50]), vectors[:2])
    assert (written, removed) == (1, 39)
    assert index.get(np.arange(100))[0].tolist() == [5, 50]
