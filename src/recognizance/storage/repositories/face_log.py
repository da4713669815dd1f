"""Rows of the log that indexes follow."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.repositories import _bulk
from recognizance.storage.schema import face_log as table

KEPT = 65_536
"""At least so many newest entries stay; an index that is further behind reads the whole collection again."""

_SINCE = (
    sa.select(table.c.revision, table.c.kind, table.c.subject)
    .where(table.c.collection_pk == sa.bindparam("collection"), table.c.revision > sa.bindparam("after"))
    .order_by(table.c.revision)
)
_PRUNE = table.delete().where(
    table.c.collection_pk == sa.bindparam("collection"), table.c.revision <= sa.bindparam("last")
)


def append(connection: Connection, collection_pk: int, revision: int, entries: Sequence[tuple[int, int]]) -> int:
    """Append entries, each a kind and a subject, after a revision; return the new revision."""
    newest = revision + len(entries)
    if entries:
        columns = {
            "collection_pk": [collection_pk] * len(entries),
            "revision": range(revision + 1, newest + 1),
            "kind": [kind for kind, _ in entries],
            "subject": [subject for _, subject in entries],
        }
        _bulk.insert(connection, table, columns)
        if newest // KEPT > revision // KEPT:
            connection.execute(_PRUNE, {"collection": collection_pk, "last": newest - KEPT})
    return newest


def since(connection: Connection, collection_pk: int, revision: int) -> list[tuple[int, int, int]]:
    """Return the entries after a revision in order: revision, kind, subject."""
    rows = connection.execute(_SINCE, {"collection": collection_pk, "after": revision})
    return [(number, kind, subject) for number, kind, subject in rows]
