"""Rows that one process at a time works on: taking them, holding them, finishing them.

For any table with :func:`recognizance.storage.schema.lease_columns`. All times are the database's own: the clocks of
the machines that share it differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.ext.compiler import compiles

from recognizance.core.errors import RecognizanceError
from recognizance.core.ids import new_id
from recognizance.storage.schema import DONE, OPEN, SET_ASIDE

_MICROSECONDS = 1_000_000
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class LeaseLostError(RecognizanceError):
    """The lease ended before the work did, and somebody else has or had it since: nothing may be written any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a row.

    Attributes:
        pk: The row's key.
        token: Tells this lease from every other one of the row.
        attempt: How many leases of this row there have been, this one included.
    """

    pk: int
    token: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows are in which state.

    Attributes:
        waiting: May be taken, now or after a pause.
        held: Somebody works on them.
        done: Finished.
        set_aside: Given up after too many attempts.
        holders: Who works on them, sorted.
    """

    waiting: int
    held: int
    done: int
    set_aside: int
    holders: tuple[str, ...]


class _now(sa.sql.expression.ColumnElement[int]):  # noqa: N801 - stands in statements like a function
    """The database's time in microseconds since 1970, when the statement began."""

    inherit_cache = True
    type = sa.BigInteger()


@compiles(_now, "postgresql")
def _now_postgresql(_element: Any, _compiler: Any, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    return "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)"


@compiles(_now, "sqlite")
def _now_sqlite(_element: Any, _compiler: Any, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"


def free() -> dict[str, Any]:
    """Return the values of the lease columns of a new row that may be taken at once."""
    return {"state": OPEN, "free_at": _ALWAYS, "attempts": 0}


class Leases:
    """The leases of one table.

    Args:
        table: It has ``pk`` and the lease columns.
    """

    def __init__(self, table: sa.Table) -> None:
        self._table = table
        self._free_at: sa.ColumnElement[int] = sa.type_coerce(table.c.free_at, sa.BigInteger)

    def claim(
        self, connection: Connection, among: sa.ColumnElement[bool], *, holder: str, seconds: float, most_attempts: int
    ) -> Lease | None:
        """Take the row of these that has been free for longest, among equals the oldest.

        Rows that are free and have had ``most_attempts`` leases are set aside: what was done to them may be what ended
        the processes that did it. On PostgreSQL, processes that claim at the same time do not wait for each other.

        Args:
            connection: A transaction that writes.
            among: Which rows.
            holder: Who takes it, for people to read.
            seconds: How long the lease lasts unless it is renewed.
            most_attempts: How many leases a row gets.

        Returns:
            None when none is free.
        """
        c = self._table.c
        free = sa.and_(among, c.state == OPEN, self._free_at <= _now())
        spent = (
            sa.select(c.pk).where(free, c.attempts >= most_attempts).with_for_update(skip_locked=True, key_share=True)
        )
        connection.execute(self._table.update().where(c.pk.in_(spent)).values(state=SET_ASIDE, token=None))
        first = (
            sa.select(c.pk)
            .where(free)
            .order_by(c.free_at, c.pk)
            .limit(1)
            .with_for_update(skip_locked=True, key_share=True)
        )
        pk = connection.scalar(first)
        if pk is None:
            return None
        token = new_id()
        attempts = connection.scalar(
            self._table.update()
            .where(c.pk == pk)
            .values(token=token, holder=holder, attempts=c.attempts + 1, **self._until(seconds))
            .returning(c.attempts)
        )
        return Lease(pk, token, int(attempts or 1))

    def renew(self, connection: Connection, leases: Iterable[Lease], *, seconds: float) -> set[Lease]:
        """Make these leases last so many seconds from now; return those that are lost.

        A lease that ended is renewed all the same while nobody else took the row.
        """
        lost = set()
        for lease in sorted(leases, key=lambda one: one.pk):
            statement = self._table.update().where(self._held(lease)).values(**self._until(seconds))
            if not connection.execute(statement).rowcount:
                lost.add(lease)
        return lost

    def check(self, connection: Connection, lease: Lease) -> None:
        """Make sure that the lease is held, and stays so until the transaction ends.

        Raises:
            LeaseLostError: It is lost; the transaction must not be committed.
        """
        if (
            connection.scalar(sa.select(self._table.c.pk).where(self._held(lease)).with_for_update(key_share=True))
            is None
        ):
            raise LeaseLostError

    def finish(self, connection: Connection, lease: Lease, **values: Any) -> None:  # noqa: ANN401 - of any column
        """Mark a row as done, for good, and set other columns of it.

        What is written in the same transaction is written by the holder of the lease or not at all.

        Raises:
            LeaseLostError: The lease is lost; the transaction must not be committed.
        """
        statement = self._table.update().where(self._held(lease)).values(state=DONE, token=None, **values)
        if not connection.execute(statement).rowcount:
            raise LeaseLostError

    def hand_back(self, connection: Connection, lease: Lease, *, unused: bool = False, pause: float = 0.0) -> None:
        """Let others have the row; nothing happens when the lease is lost.

        Args:
            connection: A transaction that writes.
            lease: The lease.
            unused: Whether this does not count as an attempt; the row is then the next to be taken.
            pause: Seconds during which nobody takes it otherwise.
        """
        values = {"attempts": self._table.c.attempts - 1, "free_at": _ALWAYS} if unused else self._until(pause)
        connection.execute(self._table.update().where(self._held(lease)).values(token=None, holder=None, **values))

    def fail(self, connection: Connection, lease: Lease, trouble: str, *, pause: float) -> None:
        """Hand a row back after an attempt that failed, and note why."""
        connection.execute(self._table.update().where(self._held(lease)).values(trouble=trouble))
        self.hand_back(connection, lease, pause=pause)

    def counts(self, connection: Connection, among: sa.ColumnElement[bool]) -> Counts:
        """Count these rows by state."""
        c = self._table.c
        held = sa.and_(c.state == OPEN, c.token.is_not(None), self._free_at > _now())
        rows = connection.execute(
            sa.select(c.state, held, c.holder, sa.func.count()).where(among).group_by(c.state, held, c.holder)
        )
        totals = {"waiting": 0, "held": 0, "done": 0, "set_aside": 0}
        holders = set()
        for state, is_held, holder, count in rows:
            totals[{DONE: "done", SET_ASIDE: "set_aside"}.get(state, "held" if is_held else "waiting")] += count
            if state == OPEN and is_held:
                holders.add(holder or "")
        return Counts(**totals, holders=tuple(sorted(holders)))

    def _held(self, lease: Lease) -> sa.ColumnElement[bool]:
        c = self._table.c
        return sa.and_(c.pk == lease.pk, c.token == lease.token, c.state == OPEN)

    def _until(self, seconds: float) -> dict[str, Any]:
        return {"free_at": _now() + sa.literal(round(seconds * _MICROSECONDS), sa.BigInteger)}
