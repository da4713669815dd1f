"""Rows of tags."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.schema import tags as table


def get(connection: Connection, collection_pk: int) -> dict[str, str]:
    """Return a collection's tags, sorted by key."""
    rows = connection.execute(sa.select(table.c.key, table.c.value).where(table.c.collection_pk == collection_pk))
    return {row.key: row.value for row in sorted(rows)}  # here, for each database sorts text in its own way


def put(connection: Connection, collection_pk: int, tags: Mapping[str, str]) -> None:
    """Write tags, over those of the same keys."""
    if tags:
        remove(connection, collection_pk, tags)
        rows = [{"collection_pk": collection_pk, "key": key, "value": value} for key, value in tags.items()]
        connection.execute(table.insert(), rows)


def remove(connection: Connection, collection_pk: int, keys: Iterable[str]) -> None:
    """Delete the tags of these keys, where there are any."""
    connection.execute(table.delete().where(table.c.collection_pk == collection_pk, table.c.key.in_(list(keys))))
