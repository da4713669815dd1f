"""The Milvus index: candidates from Milvus, scores of our own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizance.collections.index.milvus.layout import Layout, search_parameters
from recognizance.collections.index.milvus.server import MilvusServer
from recognizance.collections.index.protocol import Hits, Part, Source
from recognizance.collections.index.scoring import best, exact_scores, rounding

MOST_HITS = 16_384
"""The most results that Milvus gives for a probe, and the most rows of a query (Milvus Limits, "Search limits")."""

_FIRST_LIMIT = 128
"""How many candidates are asked for at first: most searches have a threshold that few vectors reach."""

_WIDENING = 8
"""By how much more is asked for when the last candidate might not be the last hit."""

_ANSWER_BYTES = 32 << 20
"""About the most that Milvus is asked for in one answer; its proxy gives up to 100 MiB (milvus.yaml,
quotaAndLimits.limits.maxOutputSize)."""

_REQUEST_BYTES = 8 << 20
"""About the most that is sent in one request; Milvus takes 64 MiB (milvus.yaml, proxy.grpc.serverMaxRecvSize)."""

_IDS_AT_ONCE = 4096
"""How many keys are named in one expression."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What Milvus proposes for one probe.

    Attributes:
        ids: (n,) int64, in Milvus's order.
        scores: (n,) float64, computed here.
        vectors: (n, d) float32.
        last: The score that Milvus gives the last one, which no vector left out exceeds; minus infinity when none was
            left out.
        error: The greatest difference between a score of Milvus's and ours.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    vectors: NDArray[np.float32]
    last: float
    error: float


class MilvusIndex:
    """An :class:`~recognizance.collections.index.protocol.Index` of one collection's faces or users, kept in Milvus.

    Milvus proposes; the candidates' scores are then computed here in float64 from the vectors that Milvus returns with
    them, and Milvus is asked for more until no vector that it left out can belong among the hits. With a Milvus index
    that compares every vector (FLAT) the hits are therefore those of the exact index. Others may miss some.

    Everything is idempotent: to add or to remove the same again changes nothing.

    Args:
        server: The Milvus server.
        layout: The Milvus collection that all our collections of this kind and dimension share.
        collection_pk: Key of our collection.
    """

    def __init__(self, server: MilvusServer, layout: Layout, collection_pk: int) -> None:
        self._server = server
        self._layout = layout
        self._pk = collection_pk
        self._mine = f"collection == {collection_pk}"

    def __len__(self) -> int:
        rows = self._query(self._mine, fields=["count(*)"])
        return int(rows[0]["count(*)"])

    @property
    def watermark(self) -> int:
        """The revision of the collection's log up to which Milvus holds everything; -1 where it is not known."""
        return self._layout.marks.get(self._pk).get(self._layout.kind, -1)

    @watermark.setter
    def watermark(self, revision: int) -> None:
        self._layout.marks.put(self._pk, {self._layout.kind: revision})

    def open(self) -> None:
        """Do nothing: Milvus keeps what it has, the watermark too."""

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.floating]) -> None:
        """Add vectors; one whose id is there already takes the other's place."""
        dimensions = self._layout.dimensions
        if vectors.shape != (len(ids), dimensions):
            raise ValueError(f"vectors have shape {vectors.shape}, not {(len(ids), dimensions)}")
        self._layout.make()
        size = max(1, _REQUEST_BYTES // (4 * dimensions))
        wide = vectors.astype(np.float32)
        for start in range(0, len(ids), size):
            rows = [
                {"pk": pk, "collection": self._pk, "vector": vector}
                for pk, vector in zip(ids[start : start + size].tolist(), wide[start : start + size], strict=True)
            ]
            self._server.call("upsert", self._layout.name, rows)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; ids that are not there are ignored."""
        self._layout.make()
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ", ".join(str(int(one)) for one in ids[start : start + _IDS_AT_ONCE])
            self._server.call("delete", self._layout.name, filter=f"{self._mine} and pk in [{some}]")

    def clear(self) -> None:
        """Remove every vector."""
        self._layout.make()
        self._server.call("delete", self._layout.name, filter=self._mine)

    def reload(self, source: Source) -> None:
        """Come to hold what a source has. Rows that are held already are taken to be the same in the source."""
        after = 0
        for ids, vectors in source.every():
            self.make_equal(after, int(ids[-1]), ids, vectors)
            after = int(ids[-1])
        self.make_equal(after, None, *self.nothing())

    def nothing(self) -> Part:
        """Return no ids and no vectors."""
        return np.empty(0, np.int64), np.empty((0, self._layout.dimensions), np.float16)

    def make_equal(
        self,
        after: int,
        last: int | None,
        ids: NDArray[np.int64],
        vectors: NDArray[np.floating],
        *,
        rewrite: bool = False,
    ) -> tuple[int, int]:
        """Hold these vectors, and no others, under the ids greater than ``after`` and not greater than ``last``.

        Args:
            after: Bounds the ids from below.
            last: Bounds them from above; None is no bound.
            ids: (n,) int64, all within the bounds.
            vectors: (n, dimensions).
            rewrite: Whether vectors are written that are there already.

        Returns:
            How many vectors were written, and how many removed.
        """
        removed = 0
        while True:
            there = self._ids_between(after, last)
            others = np.setdiff1d(there, ids)
            self.remove(others.tolist())
            removed += len(others)
            if len(there) < MOST_HITS or not len(others):  # else there may be more
                break
        missing = np.ones(len(ids), bool) if rewrite else ~np.isin(ids, there)
        self.add(ids[missing], vectors[missing])
        return int(missing.sum()), removed

    def _ids_between(self, after: int, last: int | None) -> NDArray[np.int64]:
        """Return :data:`MOST_HITS` of the ids between these bounds, all where there are fewer."""
        upper = "" if last is None else f" and pk <= {last}"
        rows = self._query(f"{self._mine} and pk > {after}{upper}", fields=["pk"], limit=MOST_HITS)
        return np.array([row["pk"] for row in rows], np.int64)

    def get(self, ids: NDArray[np.int64]) -> Part:
        """Return those of the ascending ids that are held, and their vectors."""
        size = max(1, min(_IDS_AT_ONCE, _ANSWER_BYTES // (8 * self._layout.dimensions)))
        held: dict[int, NDArray[np.float32]] = {}
        for start in range(0, len(ids), size):
            some = ", ".join(map(str, ids[start : start + size].tolist()))
            for row in self._query(f"{self._mine} and pk in [{some}]", fields=["pk", "vector"]):
                held[int(row["pk"])] = np.array(row["vector"], np.float32)
        found = sorted(held)
        return np.array(found, np.int64), self._matrix([held[one] for one in found]).astype(np.float16)

    def vectors(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Give the ids and vectors that Milvus holds, some at a time."""
        self._layout.make()
        size = min(MOST_HITS, max(1, _ANSWER_BYTES // (8 * self._layout.dimensions)))
        pages = self._server.pages(
            collection_name=self._layout.name,
            filter=self._mine,
            output_fields=["pk", "vector"],
            batch_size=size,
            consistency_level="Strong",
        )
        for page in pages:
            yield np.array([row["pk"] for row in page], np.int64), self._matrix([row["vector"] for row in page])

    def search(
        self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64], *, exact: bool = False
    ) -> list[Hits]:
        """Find the vectors with the greatest dot product with each probe.

        With ``exact``, where the Milvus index does not compare every vector, all are fetched and compared here.
        """
        if probes.ndim != 2 or probes.shape[1] != self._layout.dimensions:
            raise ValueError(f"probes have shape {probes.shape}, not (k, {self._layout.dimensions})")
        if exact and self._server.index_type != "FLAT":
            return self._compare_all(probes, count, minimum)
        hits = [_NOTHING] * len(probes)
        open_ = list(range(len(probes)))
        limit = _FIRST_LIMIT
        while open_:
            found = self._propose(probes[open_], limit)
            again = []
            for row, candidates in zip(open_, found, strict=True):
                hits[row] = best(candidates.ids, candidates.scores, count, float(minimum[row]))
                if limit < MOST_HITS and _more_may_hit(probes[row], candidates, hits[row], count, float(minimum[row])):
                    again.append(row)
            open_, limit = again, min(MOST_HITS, limit * _WIDENING)
        return hits

    def tend(self) -> None:
        """Do nothing: Milvus looks after its indexes itself."""

    def owned(self) -> bool:
        """Return that this process may write: all take turns."""
        return True

    def compact(self) -> None:
        """Ask Milvus to write its files anew, without what was removed. It goes on doing so after this returns."""
        self._layout.make()
        self._server.call("flush", self._layout.name)
        self._server.call("compact", self._layout.name)

    def close(self) -> None:
        """Do nothing: the connection is the server's."""

    def _propose(self, probes: NDArray[np.float32], limit: int) -> list[_Candidates]:
        """Ask Milvus for the ``limit`` vectors nearest to each probe."""
        self._layout.make()
        group = min(MOST_HITS, max(1, _ANSWER_BYTES // (limit * (8 * self._layout.dimensions + 64))))
        found: list[_Candidates] = []
        for start in range(0, len(probes), group):
            some = probes[start : start + group]
            answers = self._server.call(
                "search",
                self._layout.name,
                data=list(some),
                anns_field="vector",
                filter=self._mine,
                limit=limit,
                output_fields=["vector"],
                search_params={"metric_type": "IP", "params": search_parameters(self._server.index_type, limit)},
                consistency_level="Strong",
            )
            found += [self._candidates(probe, list(hits), limit) for probe, hits in zip(some, answers, strict=True)]
        return found

    def _candidates(self, probe: NDArray[np.float32], found: list[Any], limit: int) -> _Candidates:
        ids = np.array([hit["pk"] for hit in found], np.int64)
        theirs = np.array([hit["distance"] for hit in found], np.float64)
        vectors = self._matrix([hit["entity"]["vector"] for hit in found])
        ours = exact_scores(vectors, probe)
        last = float(theirs[-1]) if len(found) >= limit else -np.inf
        error = float(np.abs(theirs - ours).max()) if len(found) else 0.0
        return _Candidates(ids, ours, vectors, last, error)

    def _compare_all(self, probes: NDArray[np.float32], count: int, minimum: NDArray[np.float64]) -> list[Hits]:
        hits = [_NOTHING] * len(probes)
        for ids, vectors in self.vectors():
            for row, probe in enumerate(probes):
                so_far = hits[row]
                scores = np.concatenate([so_far.scores, exact_scores(vectors, probe)])
                hits[row] = best(np.concatenate([so_far.ids, ids]), scores, count, float(minimum[row]))
        return hits

    def _query(self, expression: str, *, fields: list[str], limit: int | None = None) -> list[dict[str, Any]]:
        self._layout.make()
        named = {} if limit is None else {"limit": limit}
        rows: list[dict[str, Any]] = list(
            self._server.call(
                "query",
                self._layout.name,
                filter=expression,
                output_fields=fields,
                consistency_level="Strong",
                **named,
            )
        )
        return rows

    def _matrix(self, vectors: Sequence[Any]) -> NDArray[np.float32]:
        return np.array(vectors, np.float32).reshape(len(vectors), self._layout.dimensions)


_NOTHING = Hits(np.empty(0, np.int64), np.empty(0, np.float64))


def _more_may_hit(probe: NDArray[np.float32], candidates: _Candidates, hits: Hits, count: int, minimum: float) -> bool:
    """Tell whether a vector that Milvus left out may belong among the hits.

    It scores no more than the last candidate does, by Milvus's reckoning; that errs by about as much as it erred with
    the candidates (nothing but rounding where vectors are kept whole, more where they are quantised), on both sides.
    """
    if candidates.last == -np.inf:
        return False
    longest = float(np.linalg.norm(candidates.vectors, axis=1).max())
    reach = candidates.last + 2 * candidates.error + rounding(probe, longest)
    return reach >= max(minimum, float(hits.scores[-1]) if len(hits.scores) == count else -np.inf)
