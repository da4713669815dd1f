"""The index of a collection of any size on this machine: segments whose codes are scanned, and an exact tail.

New vectors go to the tail, an :class:`ExactIndex`; while a collection is small that is all there is. Once the tail has
grown, :meth:`ScanIndex.tend` writes it into segments, while searches and changes go on.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from recognizance.collections.index.cache import Cache
from recognizance.collections.index.codes import SAMPLE, Codebook
from recognizance.collections.index.exact import ExactIndex
from recognizance.collections.index.gate import Gate
from recognizance.collections.index.protocol import Hits, Part, Source
from recognizance.collections.index.scanning import search_codes
from recognizance.collections.index.segment import CAPACITY, Segment, merge
from recognizance.core.errors import SetupError

log = structlog.get_logger(__name__)

EXACT_UP_TO = 50_000
"""Vectors up to which a collection is searched exactly."""

TAIL_UP_TO = 16_384
"""Vectors of the tail beside segments: to compare them all takes about a millisecond."""

PURGE_SECONDS = 300.0
"""How long a deleted vector may stay in a file of the cache."""

_GROWTH = 4
"""A codebook is trained anew once there are so many times as many vectors as when it was trained."""

_SEGMENTS_AT_ONCE = 8
"""Segments written anew together: their vectors are in memory meanwhile, 64 MiB each."""

_FILE_MEMORY = 256 * 2**20
"""About how much of the vectors' files may count as this process's memory, in bytes."""

_BYTES_A_LOOK = 65_536
"""What looking at one row of a file may bring in: Linux maps sixteen pages around each that is asked for."""


class ScanIndex:
    """An :class:`~recognizance.collections.index.protocol.Index` that scans compact codes and scores the best exactly.

    Args:
        dimensions: Length of a vector.
        cache: Where its segments are kept.
        exact_up_to: As :data:`EXACT_UP_TO`.
        tail_up_to: As :data:`TAIL_UP_TO`.
        capacity: The most rows of a segment.
        purge_after: Seconds that a deleted vector may stay in a file of the cache.
    """

    def __init__(
        self,
        dimensions: int,
        cache: Cache,
        *,
        exact_up_to: int = EXACT_UP_TO,
        tail_up_to: int = TAIL_UP_TO,
        capacity: int = CAPACITY,
        purge_after: float = PURGE_SECONDS,
    ) -> None:
        self.watermark = -1
        self._cache = cache
        self._exact_up_to, self._tail_up_to, self._capacity = exact_up_to, tail_up_to, capacity
        self._purge_after = purge_after
        self._segments: tuple[Segment, ...] = ()
        self._tail = ExactIndex(dimensions)
        self._gate = Gate()
        self._writing = threading.RLock()  # held by whoever changes the index, the upkeep included
        self._tending = threading.Lock()  # held by whoever writes segments in the place of others
        self._published = -1  # the revision up to which the segments hold everything
        self._unpublished = False  # whether the cache has something else to be opened next than the segments
        self._cleared = self._took_over = False
        self._purged_at = time.monotonic()
        self._looked_at = 0

    def __len__(self) -> int:
        with self._writing:
            return len(self._tail) + sum(map(len, self._segments))

    @property
    def segments(self) -> int:
        """How many segments there are; 0 while every search is exact."""
        return len(self._segments)

    def open(self) -> None:
        """Take over what the cache has."""
        opened = self._cache.open()
        if opened is not None:
            self._segments, self.watermark, self._published = opened.segments, opened.watermark, opened.watermark

    def close(self) -> None:
        """Let another process write the cache. What the tail holds is in the database, and comes back from there."""
        self._cache.close()

    def ids(self) -> NDArray[np.int64]:
        """Return the ids that are held, ascending."""
        with self._writing:
            return np.sort(np.concatenate([self._tail.items()[0], *(one.ids[one.alive] for one in self._segments)]))

    def get(self, ids: NDArray[np.int64]) -> Part:
        """Return those of the ascending ids that are held, and their vectors."""
        with self._writing:
            parts = [self._tail.get(ids)]
            for segment in self._segments:
                rows = segment.places(ids)
                parts.append((segment.ids[rows], segment.vectors[rows]))
        return _sorted(parts)

    # Changes

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.floating]) -> None:
        """Add vectors; one whose id is there already takes the other's place."""
        with self._writing:
            held = [segment for segment in self._segments if len(segment.places(ids))]
            if not held:
                self._tail.add(ids, vectors)
                return
            with self._gate.changing():
                for segment in held:
                    segment.hide(ids)
                self._tail.add(ids, vectors)

    def remove(self, ids: Sequence[int] | NDArray[np.int64]) -> None:
        """Remove vectors; ids that are not there are ignored."""
        if not len(ids):
            return
        gone = np.unique(np.array(ids, np.int64))
        with self._writing, self._gate.changing():
            for segment in self._segments:
                segment.hide(gone)
            self._tail.remove(gone.tolist())

    def reload(self, source: Source) -> None:
        """Come to hold what a source has: by way of the tail if little is missing, else in segments at once."""
        with self._writing:
            present, held = source.keys(), self.ids()
            self.remove(np.setdiff1d(held, present, assume_unique=True))
            missing = np.setdiff1d(present, held, assume_unique=True)
            if len(missing) <= self._exact_up_to:
                for ids, vectors in source.some(missing):
                    self.add(ids, vectors)
                return
            chosen = np.sort(np.random.default_rng(0).choice(missing, min(SAMPLE, len(missing)), replace=False))
            codebook = Codebook.train(np.concatenate([vectors for _, vectors in source.some(chosen)]), len(present))
            parts = source.some(missing) if len(held) else source.every()
            for segment in self._written(parts, len(missing), codebook):
                with self._gate.changing():
                    self._segments += (segment,)

    def _written(self, parts: Iterable[Part], total: int, codebook: Codebook) -> Iterator[Segment]:
        """Write rows into segments of equal size, one while the next one's rows are read."""
        # A core scans a segment at a time: there should be some for each.
        number = max(-(-total // self._capacity), min(4, total // max(1, self._exact_up_to)), 1)
        with ThreadPoolExecutor(1, thread_name_prefix="segments") as writer:
            before = None
            for ids, vectors in _chunks(parts, -(-total // number) or 1):
                job = writer.submit(self._cache.write, ids, vectors, codebook)
                if before:
                    yield before.result()
                before = job
            if before:
                yield before.result()

    # Searches

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], *, exact: bool = False
    ) -> list[Hits]:
        """Find the vectors with the greatest dot product with each probe."""
        with self._gate.searching():
            in_tail = self._tail.search(probes, count, minimum)
            segments = self._segments
            if not segments or not len(probes):
                return in_tail
            alive = [one.alive.copy() for one in segments] if exact else []
            if not exact:
                in_segments, looked_at = search_codes(segments, probes, count, minimum)
                self._release(segments, looked_at)
        if exact:
            # In this thread: it takes seconds, and the others are for searches that take milliseconds. And as things
            # were a moment ago: a change would wait for the end, and all other searches for the change.
            found = [one.search(probes, count, minimum, rows) for one, rows in zip(segments, alive, strict=True)]
            in_segments = [merge(list(parts), count) for parts in zip(*found, strict=True)]
        return [merge([one, other], count) for one, other in zip(in_tail, in_segments, strict=True)]

    def _release(self, segments: Sequence[Segment], looked_at: int) -> None:
        """Give the pages of files back to the system, which keeps them while it has room, once they may be many."""
        self._looked_at += looked_at
        if self._looked_at * _BYTES_A_LOOK > _FILE_MEMORY < sum(one.vectors.nbytes for one in segments):
            self._looked_at = 0
            for segment in segments:
                segment.let_go()

    # Upkeep, by one thread beside all others

    def tend(self) -> None:
        """Do what has become due: write the tail into segments, rewrite those with deleted rows, train anew."""
        with self._tending:
            grown = len(self._tail) > (self._tail_up_to if self._segments else self._exact_up_to)
            if not grown and not self._segments:
                # What could not be opened, or belongs to another state of the database, holds vectors all the same.
                self._cleared = self._cleared or self._cache.clear()
            elif not self._cache.own():
                # That is worth the trouble once the tail has grown, or while there are segments in memory.
                adopted = (grown or not all(one.name for one in self._segments)) and self._adopt()
                if not adopted and len(self._tail) > _GROWTH * max(self._tail_up_to, self._exact_up_to):
                    self._renew(())
            elif self._cache.failing:
                if grown:
                    self._renew(())  # in memory: codes take a quarter of the room, and are faster
            else:
                self._tend(grown=grown)

    def _tend(self, *, grown: bool) -> None:
        if not self._took_over:
            # Whoever wrote here before may have died before deleting files with vectors that have been deleted.
            self._adopt()
            self._took_over = self._unpublished = True
        self._keep()
        if self._segments and len(self) >= _GROWTH * min(one.codes.codebook.trained_on for one in self._segments):
            self._retrain()
        purge = time.monotonic() - self._purged_at > self._purge_after and any(map(_has_hidden, self._segments))
        never = self._published < 0 <= self.watermark  # what was filled from the database, however small
        if grown or purge or never or self.watermark > self._published + self._tail_up_to:
            self._renew(self._worn(purge=purge))

    def _keep(self) -> None:
        """Write the segments that have no file: others wrote here before, or it failed. Publish what was not yet."""
        lost = [one for one in self._segments if not self._cache.has(one)]
        if lost and self._adopt():
            return
        for segment in lost:
            # Rows that were deleted may not be written again.
            rows, codebook = segment.rows(), segment.codes.codebook
            kept = self._cache.write(*rows, codebook) if _has_hidden(segment) else self._cache.keep(segment)
            if kept is None or kept.name is None:
                return
            self._install([segment], [kept])
        if self._unpublished:
            self._publish(self._published)

    def owned(self) -> bool:
        """Return whether this process is the one that writes the cache."""
        return self._cache.own()

    def compact(self) -> None:
        """Write everything anew, without the rows that were deleted.

        Raises:
            SetupError: It cannot be written; what was deleted is still in the files.
        """
        with self._tending:
            self._renew(self._segments)
            if self._unpublished if self._segments else not self._cleared:
                raise SetupError("The cache in the data folder cannot be written. Make room on the disk and try again.")

    def _worn(self, *, purge: bool) -> tuple[Segment, ...]:
        """Return the segments that are to be written anew: small ones, and if so wanted those with hidden rows."""
        segments = self._segments
        crowded = len(segments) > 2 * -(-len(self) // self._capacity) + 4
        small = self._capacity * 3 // 4 if crowded else self._capacity // 4
        return tuple(one for one in segments if len(one) < small or (purge and _has_hidden(one)))

    def _renew(self, old: Sequence[Segment]) -> None:
        """Write the tail and some segments into new ones, a few at a time, and publish."""
        with self._writing:
            watermark, (ids, vectors) = self.watermark, self._tail.items()
        if len(ids) + sum(map(len, old)) <= self._exact_up_to and len(old) == len(self._segments):
            self._dissolve()
            return
        tail: Part | None = (ids, vectors.astype(np.float16))
        for start in range(0, max(1, len(old)), _SEGMENTS_AT_ONCE):
            if not self._merge(old[start : start + _SEGMENTS_AT_ONCE], tail):
                return
            tail = None
        self._publish(watermark)
        if not self._unpublished and any(map(_has_hidden, old)):
            self._purged_at = time.monotonic()

    def _merge(self, some: Sequence[Segment], tail: Part | None) -> bool:
        """Write some segments and rows of the tail into new segments; return False if they stay as they are."""
        rows = _sorted([*([tail] if tail else []), *(one.rows() for one in some)])
        new = tuple(self._written([rows], len(rows[0]), self._codebook(*rows))) if len(rows[0]) else ()
        if any(map(self._cache.has, some)) and not all(map(self._cache.has, new)):
            # What is in files need not come into memory because no others can be written.
            self._cache.discard(new)
            if tail and len(tail[0]):
                self._merge((), tail)
            return False
        self._install(some, new)
        return True

    def _dissolve(self) -> None:
        """Take the rows of all segments back into the tail: they are few enough."""
        with self._writing, self._gate.changing():
            for segment in self._segments:
                self._tail.add(*segment.rows())
            self._segments = ()
        self._published, self._unpublished = -1, False
        self._cleared = self._cache.clear()

    def _codebook(self, ids: NDArray[np.int64], vectors: NDArray[np.float16]) -> Codebook:
        if self._segments:
            return self._segments[-1].codes.codebook
        chosen = np.random.default_rng(0).permutation(len(ids))[:SAMPLE]
        return Codebook.train(vectors[chosen], len(ids))

    def _retrain(self) -> None:
        """Code every segment anew, one after the other, with a codebook trained on a sample of them all."""
        old, rng = self._segments, np.random.default_rng(0)
        total = sum(len(one.ids) for one in old)
        sample = [one.vectors[rng.integers(0, len(one.ids), -(-SAMPLE * len(one.ids) // total))] for one in old]
        codebook = Codebook.train(np.concatenate(sample), len(self))
        log.info("the codebook of a collection was trained anew", vectors=len(self), slack=round(codebook.slack, 3))
        for segment in old:
            ids, vectors = segment.rows()
            new = [self._cache.write(ids, vectors, codebook)] if len(ids) else []
            if self._cache.has(segment) and not all(map(self._cache.has, new)):
                return  # as above
            self._install([segment], new)
        self._publish(self._published)

    def _adopt(self) -> bool:
        """Take over what another process has published, if it is newer; return whether it was."""
        if self._published < 0 and any(one.name for one in self._segments):
            return False  # filled from the database, and so newer than what was published before
        if not self._published < self._cache.published() <= self.watermark:
            return False
        opened = self._cache.open()
        if opened is None or opened.watermark > self.watermark:
            return False
        self._install(self._segments, opened.segments)
        self._published, self._unpublished = opened.watermark, False
        return True

    def _install(self, old: Sequence[Segment], new: Sequence[Segment]) -> None:
        """Put new segments in the place of old ones.

        What is held now is the truth: a row of a new segment is hidden unless an old segment or the tail still has it,
        the tail with the same vector. What a new segment has the tail need not have any more; and what no new segment
        has, because others published it before this process had it, goes to the tail.
        """
        with self._writing:
            ids, vectors = _sorted([self._tail.items()])
            for segment in new:
                shown = _same(segment, ids, vectors, np.ones(len(ids), bool))
                for one in old:
                    # Of two files the later one is no older in any row; but what is in memory may be newer than both.
                    shown |= _common(segment, one) if one.name else _same(segment, one.ids, one.vectors, one.alive)
                segment.hide_all_but(shown)
            left = [_left(one, new) for one in old]
            with self._gate.changing():
                self._segments = (*(one for one in self._segments if one not in old), *new)
                for segment in new:
                    self._tail.remove(segment.ids[segment.alive].tolist())
                for ids, vectors in left:
                    self._tail.add(ids, vectors)
            self._unpublished = True

    def _publish(self, watermark: int) -> None:
        self._published = watermark
        self._unpublished = watermark < 0 or not self._cache.publish(watermark, self._segments)


def _has_hidden(segment: Segment) -> bool:
    return len(segment) < len(segment.ids)


def _chunks(parts: Iterable[Part], size: int) -> Iterator[Part]:
    """Cut and join parts so that each has ``size`` rows, but for the last one."""
    waiting: list[Part] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part[0])
        while count >= size:
            ids, vectors = _joined(waiting)
            yield ids[:size], vectors[:size]
            waiting, count = [(ids[size:], vectors[size:])], count - size
    if count:
        yield _joined(waiting)


def _joined(parts: Sequence[tuple[NDArray[np.int64], NDArray[Any]]]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    return np.concatenate([ids for ids, _ in parts]), np.concatenate([vectors for _, vectors in parts])


def _sorted(parts: Sequence[tuple[NDArray[np.int64], NDArray[Any]]]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    ids, vectors = _joined(parts)
    order = np.argsort(ids)
    return ids[order], vectors[order]


def _common(segment: Segment, other: Segment) -> NDArray[np.bool_]:
    """Return which rows of a segment, (n,) bool, another one shows too."""
    return _places(segment.ids, other.ids, other.alive)[1]


def _same(
    segment: Segment, ids: NDArray[np.int64], vectors: NDArray[np.floating], alive: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which rows of a segment, (n,) bool, are among others, ids ascending, with the same vector."""
    places, shown = _places(segment.ids, ids, alive)
    rows = np.flatnonzero(shown)
    shown[rows] = (segment.vectors[rows] == vectors[places[rows]]).all(axis=1)
    return shown


def _places(
    ids: NDArray[np.int64], others: NDArray[np.int64], alive: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where each id would be among others, all ascending, and whether it is there and alive."""
    if not len(others):
        return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
    places = np.minimum(np.searchsorted(others, ids), len(others) - 1)
    return places, (others[places] == ids) & alive[places]


def _left(segment: Segment, new: Sequence[Segment]) -> Part:
    """Return the rows that a segment shows and none of the new ones does."""
    rows = segment.alive.copy()
    for one in new:
        rows &= ~_common(segment, one)
    return segment.ids[rows], segment.vectors[rows]
