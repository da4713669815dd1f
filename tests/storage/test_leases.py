"""Rows that one process at a time works on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from recognizance.storage.database import Database
from recognizance.storage.leases import Keeper, Lease, LeaseLostError, Leases, this_process
from recognizance.storage.repositories.leases import Counts, free
from recognizance.storage.schema import Key, lease_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

WORK = sa.Table(
    "work",
    sa.MetaData(),
    sa.Column("pk", Key, primary_key=True),
    sa.Column("result", sa.Integer),
    *lease_columns(),
)
LEASES = Leases(WORK)
ALL = sa.true()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with a table of three rows of work."""
    opened = Database.open(database_url)
    with opened.begin() as connection:
        WORK.create(connection)
        connection.execute(WORK.insert(), [free() for _ in range(3)])
    yield opened
    opened.close()


def claim(database: Database, holder: str = "me", seconds: float = 60, attempts: int = 3) -> Lease | None:
    with database.begin() as connection:
        return LEASES.claim(connection, ALL, holder=holder, seconds=seconds, most_attempts=attempts)


def taken(database: Database, seconds: float = 60) -> Lease:
    lease = claim(database, seconds=seconds)
    assert lease is not None
    return lease


def counts(database: Database) -> Counts:
    with database.read() as connection:
        return LEASES.counts(connection, ALL)


def end(database: Database, lease: Lease) -> None:
    """Let time pass until the lease has ended."""
    with database.begin() as connection:
        connection.execute(WORK.update().where(WORK.c.pk == lease.pk).values(free_at=free()["free_at"]))


def test_each_row_is_given_to_one_holder_oldest_first(database: Database) -> None:
    leases = [claim(database) for _ in range(4)]
    assert [lease and lease.pk for lease in leases] == [1, 2, 3, None]
    assert len({lease.token for lease in leases if lease}) == 3
    assert counts(database) == Counts(waiting=0, held=3, done=0, set_aside=0, holders=("me",))


def test_holders_that_claim_at_the_same_time_get_different_rows(database: Database) -> None:
    together = threading.Barrier(6)

    def one(number: int) -> Lease | None:
        together.wait()
        return claim(database, f"holder {number}")

    with ThreadPoolExecutor(6) as pool:
        found = [lease for lease in pool.map(one, range(6)) if lease is not None]
    assert sorted(lease.pk for lease in found) == [1, 2, 3]
    assert len(counts(database).holders) == 3


def test_only_the_rows_asked_for_are_given(database: Database) -> None:
    with database.begin() as connection:
        lease = LEASES.claim(connection, WORK.c.pk == 2, holder="me", seconds=60, most_attempts=3)
    assert lease is not None
    assert lease.pk == 2


def test_a_row_is_finished_once_with_its_result(database: Database) -> None:
    lease = taken(database)
    with database.begin() as connection:
        LEASES.finish(connection, lease, result=7)
    with database.read() as connection:
        assert connection.scalar(sa.select(WORK.c.result).where(WORK.c.pk == lease.pk)) == 7
    assert counts(database).done == 1
    with pytest.raises(LeaseLostError), database.begin() as connection:
        LEASES.finish(connection, lease, result=8)


def finish_with_another_row(database: Database, lease: Lease) -> None:
    with database.begin() as connection:
        connection.execute(WORK.update().where(WORK.c.pk == 3).values(result=99))
        LEASES.finish(connection, lease)


def test_a_row_whose_lease_ended_is_given_to_another_and_the_first_can_write_nothing(database: Database) -> None:
    first = taken(database)
    end(database, first)
    second = taken(database)
    assert (second.pk, second.attempt) == (first.pk, 2)
    with pytest.raises(LeaseLostError):
        finish_with_another_row(database, first)
    with database.begin() as connection:
        LEASES.hand_back(connection, first)
        LEASES.check(connection, second)
        with pytest.raises(LeaseLostError):
            LEASES.check(connection, first)
        assert LEASES.renew(connection, [first, second], seconds=60) == {first}
        assert connection.scalar(sa.select(WORK.c.result).where(WORK.c.pk == 3)) is None
        LEASES.finish(connection, second)
    assert counts(database) == Counts(waiting=2, held=0, done=1, set_aside=0, holders=())


def test_a_lease_ends_by_the_time_of_the_database(database: Database) -> None:
    first = taken(database, seconds=0.3)
    others = [taken(database), taken(database)]
    assert claim(database) is None
    again = None
    while again is None:  # 0.3 s of the database's time
        time.sleep(0.02)
        again = claim(database)
    assert again.pk == first.pk
    assert again.pk not in {other.pk for other in others}


def test_a_lease_that_ended_is_still_good_while_nobody_took_the_row(database: Database) -> None:
    lease = taken(database)
    end(database, lease)
    with database.begin() as connection:
        assert LEASES.renew(connection, [lease], seconds=60) == set()
        LEASES.finish(connection, lease)


def test_a_row_handed_back_unused_can_be_taken_at_once_and_lost_no_attempt(database: Database) -> None:
    lease = taken(database)
    with database.begin() as connection:
        LEASES.hand_back(connection, lease, unused=True)
    assert taken(database) == Lease(lease.pk, taken_token(database, lease.pk), 1)


def taken_token(database: Database, pk: int) -> str:
    with database.read() as connection:
        return str(connection.scalar(sa.select(WORK.c.token).where(WORK.c.pk == pk)))


def test_a_row_that_failed_rests_before_it_is_tried_again(database: Database) -> None:
    lease = taken(database)
    with database.begin() as connection:
        LEASES.fail(connection, lease, "no disk", pause=60)
        assert connection.scalar(sa.select(WORK.c.trouble).where(WORK.c.pk == lease.pk)) == "no disk"
    assert counts(database) == Counts(waiting=3, held=0, done=0, set_aside=0, holders=())
    assert {taken(database).pk, taken(database).pk} == {2, 3}
    assert claim(database) is None


def test_a_row_that_failed_too_often_is_set_aside(database: Database) -> None:
    for attempt in range(1, 4):
        lease = taken(database)
        assert (lease.pk, lease.attempt) == (1, attempt)
        end(database, lease)
    assert taken(database).pk == 2
    assert counts(database).set_aside == 1
    with database.begin() as connection:
        assert LEASES.renew(connection, [lease], seconds=60) == {lease}
        with pytest.raises(LeaseLostError):
            LEASES.finish(connection, lease)


def test_a_keeper_renews_what_it_keeps(database: Database) -> None:
    with Keeper(database, LEASES, seconds=0.6) as keeper:
        lease = taken(database, seconds=0.6)
        keeper.keep(lease)
        others = [taken(database), taken(database)]
        time.sleep(1.5)
        assert claim(database) is None
        keeper.let_go(lease)
        while (again := claim(database)) is None:
            time.sleep(0.02)
        assert again.pk == lease.pk
        assert keeper.held() == []
    assert len(others) == 2


def test_a_keeper_tells_which_lease_is_lost(database: Database) -> None:
    lost: list[Lease] = []
    told = threading.Event()

    def on_lost(lease: Lease) -> None:
        lost.append(lease)
        told.set()

    first = taken(database)
    end(database, first)
    second = taken(database)
    with Keeper(database, LEASES, seconds=0.1, on_lost=on_lost) as keeper:
        keeper.keep(first)
        keeper.keep(second)
        assert told.wait(30)
        assert keeper.held() == [second]
    assert lost == [first]


def test_a_keeper_outlives_a_database_that_does_not_answer(database: Database) -> None:
    lease = taken(database)
    with Keeper(database, LEASES, seconds=0.1) as keeper:
        keeper.keep(lease)
        with database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE work RENAME TO gone"))
        time.sleep(0.3)
        with database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE gone RENAME TO work"))
        time.sleep(0.2)
        assert keeper.held() == [lease]


def test_a_process_is_named_by_host_and_number() -> None:
    name, number = this_process().rsplit(":", 1)
    assert name
    assert int(number) > 0
