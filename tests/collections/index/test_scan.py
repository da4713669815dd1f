"""The scan index among threads and processes: what it holds is the truth at every moment, and its cache follows."""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from recognizance.collections.index import Cache, ScanIndex, Source, segment_file
from recognizance.collections.index import cache as cache_module
from recognizance.collections.index.segment import Segment
from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from tests.collections.index.conftest import Truth

    from recognizance.collections.index.codes import Codebook
    from recognizance.collections.index.protocol import Hits, Part

DIMENSIONS = 17


def new_index(folder: Path, cache: Cache | None = None, **options: Any) -> ScanIndex:
    """An index that makes segments of few vectors."""
    few: dict[str, Any] = {"exact_up_to": 40, "tail_up_to": 16, "capacity": 64, "purge_after": 1e9}
    index = ScanIndex(DIMENSIONS, cache or Cache(folder, DIMENSIONS), **(few | options))
    index.open()
    return index


def sealed(folder: Path, truth: Truth, rows: int = 200) -> ScanIndex:
    """An index whose rows are in published segments."""
    index = new_index(folder)
    truth.put(range(rows), index)
    index.tend()
    assert index.segments > 2
    return index


def names(index: ScanIndex) -> list[str | None]:
    return [one.name for one in index._segments]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.segment")}


class Interrupted(Cache):
    """A cache that lets something else happen whenever a segment is about to be written."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def write(self, ids: NDArray[np.int64], vectors: NDArray[np.float16], codebook: Codebook) -> Segment:
        written = super().write(ids, vectors, codebook)
        self.meanwhile()
        return written


# Changes while segments are written


def test_what_changes_while_segments_are_written_is_neither_lost_nor_undone(tmp_path: Path, truth: Truth) -> None:
    cache = Interrupted(tmp_path, DIMENSIONS)
    index = new_index(tmp_path, cache, purge_after=0.0)
    fresh = iter(range(1000, 10_000))

    def change() -> None:
        some = truth.rng.choice(sorted(truth.held), 9, replace=False).tolist()
        truth.put(some[:3], index)
        truth.drop(some[3:6], index)
        truth.put([next(fresh) for _ in range(2)], index)
        truth.drop(some[6:7], index)
        truth.put(some[6:7], index)  # gone, and back with another vector
        truth.check(index)

    truth.put(range(60), index)
    cache.meanwhile = change
    for _ in range(12):
        truth.put([next(fresh) for _ in range(18)], index)
        index.tend()
        truth.check(index)
    cache.meanwhile = lambda: None
    assert index.segments
    index.close()
    # What was published is some moment in the past: the log from there on, applied again, leads to the same.
    again = new_index(tmp_path)
    assert 0 <= again.watermark <= truth.revision
    again.remove(np.setdiff1d(again.ids(), sorted(truth.held)))
    again.add(np.array(sorted(truth.held)), np.stack([truth.held[one] for one in sorted(truth.held)]))
    truth.check(again)


def test_a_codebook_trained_anew_codes_what_there_is_then(tmp_path: Path, truth: Truth) -> None:
    cache = Interrupted(tmp_path, DIMENSIONS)
    index = new_index(tmp_path, cache)
    truth.put(range(41), index)
    index.tend()
    assert {one.codes.codebook.trained_on for one in index._segments} == {41}
    cache.meanwhile = lambda: truth.put(truth.rng.choice(sorted(truth.held), 2, replace=False).tolist(), index)
    with capture_logs() as logs:
        for start in range(50, 250, 20):
            truth.put(range(start, start + 20), index)
            index.tend()
            truth.check(index)
    assert [line["event"] for line in logs].count("the codebook of a collection was trained anew") == 1
    assert min(one.codes.codebook.trained_on for one in index._segments) >= 4 * 41
    cache.meanwhile = lambda: None
    truth.put(range(300, 320), index)
    index.tend()
    index.close()
    again = new_index(tmp_path)
    assert again.watermark == truth.revision
    truth.check(again)


def test_no_search_misses_or_repeats_anything_while_the_index_is_tended(tmp_path: Path, truth: Truth) -> None:
    """A row's own vector finds it at any moment, once, while threads move the rows about."""
    index = new_index(tmp_path, purge_after=0.0)
    truth.put(range(120), index)
    index.tend()
    lasting = np.stack([truth.held[one] for one in range(60)]).astype(np.float32)
    stopped = threading.Event()
    errors: list[BaseException] = []

    def work(action: Callable[[], None]) -> None:
        try:
            while not stopped.is_set():
                action()
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            errors.append(error)
            stopped.set()

    def look() -> None:
        hits = index.search(lasting, 20, np.full(60, -np.inf))
        assert [one.ids[0] for one in hits] == list(range(60))
        assert all(len(set(one.ids.tolist())) == len(one.ids) == 20 for one in hits)

    def compact() -> None:
        index.compact()

    threads = [threading.Thread(target=work, args=(action,)) for action in (look, look, index.tend, compact)]
    for thread in threads:
        thread.start()
    for turn in range(25):
        truth.put(range(1000 + 20 * turn, 1020 + 20 * turn), index)
        truth.put(range(60, 80), index)  # as users' vectors do
        truth.drop(range(1000 + 20 * turn, 1010 + 20 * turn), index)
        if stopped.is_set():
            break
    stopped.set()
    for thread in threads:
        thread.join()
    assert errors == []
    truth.check(index)


def test_a_change_does_not_wait_for_an_exact_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: Truth
) -> None:
    """It would, and every other search would wait behind the change."""
    index = sealed(tmp_path, truth)
    probe = truth.held[50][None].astype(np.float32)
    began, done = threading.Event(), threading.Event()
    search = Segment.search
    found: list[Hits] = []

    def slowly(one: Segment, *arguments: Any) -> list[Hits]:
        began.set()
        assert done.wait(60)
        return search(one, *arguments)

    monkeypatch.setattr(Segment, "search", slowly)
    thread = threading.Thread(target=lambda: found.extend(index.search(probe, 1, np.array([-np.inf]), exact=True)))
    thread.start()
    assert began.wait(60)
    truth.drop([50], index)
    truth.put(range(300, 330), index)
    index.compact()
    done.set()
    thread.join()
    assert found[0].ids.tolist() == [50], "it was there when the search began"
    truth.check(index)


# Deleted vectors


def test_nothing_of_a_deleted_vector_is_left_in_the_files_once_it_was_purged(tmp_path: Path, truth: Truth) -> None:
    index = sealed(tmp_path, truth)
    gone = [truth.held[one].tobytes() for one in (3, 77, 150)]
    changed = truth.held[99].tobytes()

    def left() -> list[bool]:
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return [vector in stored for vector in (*gone, changed)]

    truth.drop([3, 77, 150], index)
    truth.put([99], index)
    index.tend()
    assert left() == [True] * 4, "until the purge is due"
    index._purge_after = 0.0
    index.tend()
    assert left() == [False] * 4
    truth.check(index)
    index.close()
    truth.check(new_index(tmp_path))


def test_compacting_removes_deleted_vectors_at_once(tmp_path: Path, truth: Truth) -> None:
    index = sealed(tmp_path, truth)
    gone = truth.held[7].tobytes()
    truth.drop([7], index)
    index.compact()
    assert not any(gone in path.read_bytes() for path in tmp_path.iterdir())
    truth.check(index)


def test_an_index_that_has_become_small_leaves_no_files(tmp_path: Path, truth: Truth) -> None:
    index = sealed(tmp_path, truth)
    index._purge_after = 0.0
    truth.drop(range(10, 200), index)
    index.tend()
    assert index.segments == 0
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}
    truth.check(index)
    truth.put(range(300, 400), index)
    index.tend()
    assert index.segments
    truth.check(index)


def test_files_that_a_small_index_cannot_use_are_deleted(tmp_path: Path, truth: Truth) -> None:
    sealed(tmp_path, truth).close()
    (tmp_path / "manifest.json").write_bytes(b"nonsense")
    index = new_index(tmp_path)
    truth.drop(range(10, 200))
    truth.fill(index)
    index.tend()
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}


# A disk that is full


@dataclass
class Disk:
    """Says whether segments and manifests can be written."""

    full: bool = False


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made, write = Disk(), segment_file.write

    def write_if_there_is_room(path: Path, segment: Segment) -> int:
        if made.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, segment)

    monkeypatch.setattr(segment_file, "write", write_if_there_is_room)
    monkeypatch.setattr(cache_module, "RETRY_SECONDS", 0.0)
    return made


def test_a_full_disk_leaves_searches_as_they_are_and_is_told_once(tmp_path: Path, disk: Disk, truth: Truth) -> None:
    index = new_index(tmp_path)
    disk.full = True
    with capture_logs() as logs:
        for start in range(0, 200, 20):
            truth.put(range(start, start + 20), index)
            index.tend()
            truth.check(index)
    assert index.segments
    assert names(index) == [None] * index.segments
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert "No space left" in line["error"]
    disk.full = False
    index.tend()
    assert None not in names(index)
    assert files(tmp_path) == set(names(index))
    index.close()
    again = new_index(tmp_path)
    assert again.watermark > 150
    assert again.segments
    disk.full = True
    with capture_logs() as logs:
        truth.put(range(300, 340), index)
    assert logs == []


def test_what_is_in_files_does_not_come_into_memory_for_want_of_room(tmp_path: Path, disk: Disk, truth: Truth) -> None:
    index = sealed(tmp_path, truth)
    kept = set(names(index))
    disk.full = True
    index._purge_after = 0.0
    truth.drop([5, 120], index)
    for start in range(1000, 1600, 50):
        truth.put(range(start, start + 50), index)
        index.tend()
        truth.check(index)
    assert kept <= set(names(index))
    with pytest.raises(SetupError, match="Make room"):
        index.compact()
    truth.check(index)
    disk.full = False
    index.tend()
    index.tend()
    assert None not in names(index)
    assert files(tmp_path) == set(names(index)), "what was written in vain is gone"
    index.close()
    again = new_index(tmp_path)
    assert again.watermark > 0
    assert again.segments


def test_a_purge_that_could_not_be_published_is_published_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: Truth
) -> None:
    """Else the old files, deleted vector included, would stay for as long as the collection does not grow."""
    index = sealed(tmp_path, truth)
    gone = truth.held[8].tobytes()
    truth.drop([8], index)
    index._purge_after = 0.0
    monkeypatch.setattr(cache_module, "RETRY_SECONDS", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(Cache, "_replace_manifest", _no_room)
        index.tend()
    assert any(gone in path.read_bytes() for path in tmp_path.iterdir())
    index.tend()
    assert not any(gone in path.read_bytes() for path in tmp_path.iterdir())
    truth.check(index)


def _no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_nothing_is_written_again_and_again_to_a_full_disk(tmp_path: Path, disk: Disk, truth: Truth) -> None:
    index = new_index(tmp_path)
    disk.full = True
    truth.put(range(100), index)
    index.tend()
    cache_module.RETRY_SECONDS = 3600.0  # the fixture puts it back
    disk.full = False
    index.tend()
    assert names(index) == [None] * index.segments
    assert files(tmp_path) == set()


# Several processes on one folder


def test_a_follower_takes_over_what_the_owner_publishes(tmp_path: Path, truth: Truth) -> None:
    owner, follower = new_index(tmp_path), new_index(tmp_path)
    for start in range(0, 300, 30):
        truth.put(range(start, start + 30), owner, follower)
        truth.drop([start, start + 7], owner, follower)
        truth.put([start + 9], owner, follower)
        owner.tend()
        truth.check(owner)
        truth.check(follower)
        follower.tend()
        truth.check(follower)
    assert owner.owned()
    assert not follower.owned()
    assert follower.segments
    assert set(names(follower)) <= files(tmp_path)


def test_a_follower_ahead_of_what_is_published_keeps_what_it_has(tmp_path: Path, truth: Truth) -> None:
    """It filled itself from the database while the owner was writing an older state, which comes out later."""
    cache = Interrupted(tmp_path, DIMENSIONS)
    owner = new_index(tmp_path, cache)
    truth.put(range(150), owner)
    follower = new_index(tmp_path)

    def write_on() -> None:
        cache.meanwhile = lambda: None
        truth.put([3, 90], owner)  # another vector
        truth.drop([5, 91], owner)
        truth.put(range(500, 530), owner)
        truth.fill(follower)
        assert names(follower) == [None] * follower.segments

    cache.meanwhile = write_on
    owner.tend()
    assert owner._cache.published() < truth.revision
    follower.tend()
    assert set(names(follower)) <= files(tmp_path), "it has taken over the older state"
    truth.check(follower)
    truth.check(owner)


def test_a_follower_becomes_the_owner_and_goes_on_from_what_was_published_last(tmp_path: Path, truth: Truth) -> None:
    owner = sealed(tmp_path, truth)
    follower = new_index(tmp_path)
    follower.watermark = truth.revision
    old = files(tmp_path)
    for start in range(1000, 1100, 20):
        truth.put(range(start, start + 20), owner)
        truth.drop([start - 1000], owner)
        owner.tend()
    owner.compact()
    assert not files(tmp_path) & old, "the files that the follower has open are gone"
    owner.close()
    follower.remove(np.setdiff1d(follower.ids(), sorted(truth.held)))
    missing = np.setdiff1d(sorted(truth.held), follower.ids())
    follower.add(missing, np.stack([truth.held[one] for one in missing.tolist()]))
    follower.watermark = truth.revision
    truth.check(follower)
    follower.tend()
    assert follower.owned()
    truth.put(range(2000, 2040), follower)
    follower.tend()
    truth.check(follower)
    follower.close()
    with capture_logs() as logs:
        again = new_index(tmp_path)
    assert logs == []
    assert again.watermark == truth.revision
    truth.check(again)


def test_what_was_filled_anew_is_not_replaced_by_what_was_published_before(tmp_path: Path, truth: Truth) -> None:
    """As users' vectors are when the log does not reach back to the cache: they may have changed meanwhile."""
    sealed(tmp_path, truth).close()
    truth.put(range(0, 150, 2))
    truth.drop(range(1, 30, 2))
    index = ScanIndex(DIMENSIONS, Cache(tmp_path, DIMENSIONS), exact_up_to=40, tail_up_to=16, capacity=64)
    truth.fill(index)
    for _ in range(3):
        index.tend()
        truth.check(index)
    index.close()
    again = new_index(tmp_path)
    assert again.watermark == truth.revision
    truth.check(again)


def test_a_new_owner_writes_what_it_has_only_in_memory(tmp_path: Path, truth: Truth) -> None:
    owner = new_index(tmp_path)
    assert owner.owned()
    follower = new_index(tmp_path)
    truth.put(range(200))
    truth.fill(follower)
    truth.drop([4], follower)
    follower.tend()
    assert names(follower) == [None] * follower.segments
    owner.close()
    follower.tend()
    assert files(tmp_path) == set(names(follower))
    follower.close()
    truth.check(new_index(tmp_path))


def test_a_follower_without_an_owner_that_publishes_does_not_compare_every_vector_for_ever(
    tmp_path: Path, truth: Truth
) -> None:
    owner, follower = new_index(tmp_path), new_index(tmp_path)
    assert owner.owned()
    truth.put(range(41), follower)
    follower.tend()
    assert follower.segments == 0, "the owner is going to publish"
    truth.put(range(100, 250), follower)
    follower.tend()
    assert follower.segments
    truth.check(follower)


def test_a_folder_deleted_by_hand_comes_back(tmp_path: Path, truth: Truth) -> None:
    folder = tmp_path / "cache"
    index = sealed(folder, truth)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    truth.check(index)
    index.tend()
    assert files(folder) == set(names(index))
    index.close()
    truth.check(new_index(folder))


def test_an_index_that_is_closed_writes_nothing_more(tmp_path: Path, truth: Truth) -> None:
    """A collection may be deleted, with its folder, while its index is being written."""
    cache = Interrupted(tmp_path / "cache", DIMENSIONS)
    index = new_index(tmp_path, cache)
    truth.put(range(100), index)

    def delete() -> None:
        index.close()
        for path in (tmp_path / "cache").iterdir():
            path.unlink()
        (tmp_path / "cache").rmdir()

    cache.meanwhile = lambda: delete() if (tmp_path / "cache").exists() else None
    index.tend()
    index.tend()
    assert not (tmp_path / "cache").exists()
    truth.check(index)


# Filling


def test_an_interrupted_fill_is_taken_up_again(tmp_path: Path, truth: Truth) -> None:
    index = new_index(tmp_path)
    truth.put(range(200))
    whole = truth.source()

    def broken() -> Iterator[Part]:
        for ids, vectors in whole.every():
            yield ids[:120], vectors[:120]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        index.reload(Source(keys=whole.keys, every=broken, some=whole.some))
    assert index.watermark == -1
    truth.drop(range(0, 50, 3))
    truth.fill(index)
    truth.check(index)


def test_rows_with_a_vector_that_scores_nothing_are_not_found_twice(tmp_path: Path, truth: Truth) -> None:
    """A probe of zeros scores every code alike, and faiss then finds none."""
    index = sealed(tmp_path, truth)
    (hits,) = index.search(np.zeros((1, DIMENSIONS), np.float32), 150, np.array([-np.inf]))
    assert len(set(hits.ids.tolist())) == len(hits.ids)


def test_many_small_segments_become_few(tmp_path: Path, truth: Truth) -> None:
    index = new_index(tmp_path)
    for start in range(0, 600, 20):
        truth.put(range(start, start + 20), index)
        index.tend()
    assert index.segments <= 2 * -(-600 // 64) + 4
    assert max(len(one.ids) for one in index._segments) <= 64
    truth.check(index)
