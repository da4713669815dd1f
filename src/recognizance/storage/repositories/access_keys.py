"""Rows of access keys."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.schema import access_keys as table


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A row of the table; ``secret`` is encrypted."""

    access_key_id: str
    role: str
    secret: bytes
    enabled: bool
    created_at: datetime


_SELECT = sa.select(table.c.access_key_id, table.c.role, table.c.secret, table.c.enabled, table.c.created_at)
_GET = _SELECT.where(table.c.access_key_id == sa.bindparam("id"))
_ALL = _SELECT.order_by(table.c.pk)


def insert(connection: Connection, row: KeyRow) -> None:
    """Insert a key."""
    connection.execute(
        table.insert().values(
            access_key_id=row.access_key_id,
            role=row.role,
            secret=row.secret,
            enabled=row.enabled,
            created_at=row.created_at,
        )
    )


def get(connection: Connection, access_key_id: str) -> KeyRow | None:
    """Return a key, or None."""
    row = connection.execute(_GET, {"id": access_key_id}).one_or_none()
    return KeyRow(*row) if row else None


def all_keys(connection: Connection) -> list[KeyRow]:
    """Return every key, oldest first."""
    return [KeyRow(*row) for row in connection.execute(_ALL)]


def disable(connection: Connection, access_key_id: str) -> bool:
    """Disable a key; return whether there is one of that id."""
    statement = table.update().where(table.c.access_key_id == access_key_id).values(enabled=False)
    return connection.execute(statement).rowcount > 0


def delete_all(connection: Connection) -> None:
    """Delete every key."""
    connection.execute(table.delete())
