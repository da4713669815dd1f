"""Searching a collection for the faces or the users that probes resemble."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import numpy as np
from sqlalchemy import Connection

from recognizance.collections.changes import find
from recognizance.collections.galleries import Galleries
from recognizance.collections.gallery import Gallery
from recognizance.collections.index import Coalescer, Hits
from recognizance.collections.recall import RecallMonitor
from recognizance.collections.vectors import embedding_and_level, from_rows, probes
from recognizance.core.errors import InvalidParameterError
from recognizance.storage.database import Database
from recognizance.storage.repositories.collections import CollectionRow
from recognizance.vision.contracts import contract_of_version
from recognizance.vision.faces import FloatArray

R = TypeVar("R")
M = TypeVar("M")

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What a search looks for.

    Attributes:
        embeddings: (k, d) float32.
        impostor_levels: (k,) float32.
        leave_out: Key of the row that the probe itself is, if it is stored.
    """

    embeddings: FloatArray
    impostor_levels: FloatArray
    leave_out: int | None = None

    @classmethod
    def empty(cls, dimensions: int) -> Self:
        """Look for nothing."""
        return cls(np.empty((0, dimensions), np.float32), np.empty(0, np.float32))

    @classmethod
    def of_row(cls, vector: bytes, *, leave_out: int | None = None) -> Self:
        """Look for what resembles a stored vector."""
        return cls(*embedding_and_level(from_rows([vector])), leave_out)


@dataclass(frozen=True, slots=True)
class Target(Generic[R, M]):
    """What kind of row is searched.

    Attributes:
        searches: Chooses what searches a gallery.
        rows: Reads the rows of keys, those that still exist.
        match: Makes the answer of a similarity and a row.
    """

    searches: Callable[[Gallery], Coalescer]
    rows: Callable[[Connection, list[int]], Mapping[int, R]]
    match: Callable[[float, R], M]


def search(
    database: Database,
    galleries: Galleries,
    target: Target[R, M],
    collection_id: str,
    ask: Callable[[Connection, CollectionRow], Query],
    *,
    threshold: float,
    limit: int,
    exact: bool,
) -> list[list[M]]:
    """Search a collection as it is now.

    Args:
        database: Where the rows are.
        galleries: Where the vectors are.
        target: What kind of row is searched.
        collection_id: The collection.
        ask: Makes the query once the collection is found.
        threshold: Least similarity, 0 to 100.
        limit: The most matches for each probe.
        exact: Whether every vector is compared, however long that takes.

    Returns:
        The matches of each probe, the most similar first.

    Raises:
        ResourceNotFoundError: There is no such collection.
    """
    for attempt in range(_ATTEMPTS):
        with database.read() as connection:
            collection = find(connection, collection_id)
            query = ask(connection, collection)
        contract = contract_of_version(collection.contract_version)
        searches = target.searches(galleries.current(collection))
        hits = _hits(searches, query, contract.score(threshold), limit, None if exact else galleries.recall)
        keys = np.unique(np.concatenate([found.ids for found in hits])) if hits else np.empty(0, np.int64)
        with database.read() as connection:
            rows = target.rows(connection, keys.tolist())
        # A row deleted since the scan has taken the place of another match: look again.
        if len(rows) == len(keys) or attempt == _ATTEMPTS - 1:
            break
    answers = []
    for found, level in zip(hits, query.impostor_levels, strict=True):
        # Every hit has reached the threshold's score: rounding on the way there and back must not say less.
        similarities = np.maximum(contract.similarity(found.scores - level / 2), threshold)
        pairs = zip(found.ids.tolist(), similarities.tolist(), strict=True)
        answers.append([target.match(similarity, rows[key]) for key, similarity in pairs if key in rows])
    return answers


def _hits(searches: Coalescer, query: Query, score: float, limit: int, recall: RecallMonitor | None) -> list[Hits]:
    """Search, and let the monitor check it; exactly, where there is none."""
    extra = 0 if query.leave_out is None else 1
    minimum = score + query.impostor_levels.astype(np.float64) / 2
    asked = probes(query.embeddings)
    found = searches.search(asked, limit + extra, minimum, exact=recall is None)
    if recall is not None:
        recall.offer(searches.index, asked, limit + extra, minimum, found)
    if not extra:
        return found
    kept = [(hits, np.flatnonzero(hits.ids != query.leave_out)[:limit]) for hits in found]
    return [Hits(hits.ids[which], hits.scores[which]) for hits, which in kept]


def check_contract(collection: CollectionRow, contract_version: str) -> None:
    """Return when the collection is pinned to this contract.

    Raises:
        InvalidParameterError: It is pinned to another one.
    """
    if collection.contract_version != contract_version:
        raise InvalidParameterError(
            f"The collection {collection.collection_id} uses face model {collection.contract_version}; the faces "
            f"were analysed with {contract_version}."
        )
