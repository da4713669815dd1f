"""Rows of requests that are done once."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.schema import idempotency as table


@dataclass(frozen=True, slots=True)
class Record:
    """What was asked under a token, and what was answered."""

    digest: bytes
    response: str


def get(connection: Connection, operation: str, principal: str, token: str) -> Record | None:
    """Return the record of a token, or None."""
    row = connection.execute(
        sa.select(table.c.digest, table.c.response).where(
            table.c.operation == operation, table.c.principal == principal, table.c.token == token
        )
    ).one_or_none()
    return Record(*row) if row else None


def insert(
    connection: Connection, operation: str, principal: str, token: str, record: Record, created_at: datetime
) -> None:
    """Insert the record of a token."""
    connection.execute(
        table.insert().values(
            operation=operation,
            principal=principal,
            token=token,
            digest=record.digest,
            response=record.response,
            created_at=created_at,
        )
    )


def prune(connection: Connection, before: datetime) -> None:
    """Delete the records made before a time, but for those that another transaction is deleting."""
    old = sa.select(table.c.operation, table.c.principal, table.c.token).where(table.c.created_at < before)
    key = sa.tuple_(table.c.operation, table.c.principal, table.c.token)
    # Two transactions that deleted the same rows in different orders would wait for each other for ever.
    connection.execute(table.delete().where(key.in_(old.with_for_update(skip_locked=True))))
