from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from recognizance.core import clock
from recognizance.core.errors import IdempotentParameterMismatchError
from recognizance.storage import schema
from recognizance.storage.database import Database
from recognizance.storage.idempotency import LIFE, Once, once

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


class Action:
    """Counts how often it is done."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        return {"answer": self.times, "list": ["é", None]}


def perform(database: Database, request: Once | None, action: Action) -> dict[str, Any]:
    with database.begin() as connection:
        return once(connection, request, action)


REQUEST = Once.of("CreateUser", "principal", "token", {"UserId": "u"})


def test_a_request_is_done_once_and_answered_alike(database: Database) -> None:
    action = Action()
    assert (
        perform(database, REQUEST, action) == perform(database, REQUEST, action) == {"answer": 1, "list": ["é", None]}
    )


def test_without_a_token_it_is_done_each_time(database: Database) -> None:
    action = Action()
    assert perform(database, None, action) != perform(database, None, action)


@pytest.mark.parametrize(
    "other",
    [
        Once.of("DeleteUser", "principal", "token", {"UserId": "u"}),
        Once.of("CreateUser", "somebody", "token", {"UserId": "v"}),
        Once.of("CreateUser", "principal", "Token", {"UserId": "v"}),
    ],
)
def test_tokens_of_others_do_not_meet(database: Database, other: Once) -> None:
    action = Action()
    perform(database, REQUEST, action)
    assert perform(database, other, action)["answer"] == 2


def test_a_token_used_for_something_else_is_refused(database: Database) -> None:
    action = Action()
    perform(database, REQUEST, action)
    with pytest.raises(IdempotentParameterMismatchError):
        perform(database, Once.of("CreateUser", "principal", "token", {"UserId": "v"}), action)
    assert action.times == 1


def test_the_token_itself_and_the_order_of_members_do_not_count_as_the_request() -> None:
    one = Once.of("O", "p", "t", {"ClientRequestToken": "t", "A": 1, "B": [1, 2]})
    assert one == Once.of("O", "p", "t", {"B": [1, 2], "A": 1})
    assert one != Once.of("O", "p", "t", {"B": [2, 1], "A": 1})


def test_record_and_action_are_one_transaction(database: Database) -> None:
    action = Action()

    def perform_and_fail() -> None:
        with database.begin() as connection:
            once(connection, REQUEST, action)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        perform_and_fail()
    assert perform(database, REQUEST, action)["answer"] == 2


def test_a_token_is_forgotten_after_seven_days(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timedelta(days=7) == LIFE
    action = Action()
    start = clock.now()
    perform(database, REQUEST, action)
    monkeypatch.setattr(clock, "now", lambda: start + LIFE - timedelta(seconds=1))
    assert perform(database, REQUEST, action)["answer"] == 1
    monkeypatch.setattr(clock, "now", lambda: start + LIFE + timedelta(minutes=1))
    assert perform(database, REQUEST, action)["answer"] == 2


def test_one_token_at_the_same_time_on_two_subjects_is_refused_once(database: Database) -> None:
    """One request is done; the other says that the token is taken, and nothing breaks."""
    outcomes: list[str] = []
    meet = threading.Barrier(2)

    def ask(subject: int) -> None:
        action = Action()
        meet.wait(60)
        try:
            perform(database, REQUEST.on(subject), action)
            outcomes.append("done")
        except IdempotentParameterMismatchError:
            outcomes.append("refused")

    for turn in range(10):
        with database.begin() as connection:
            connection.execute(schema.idempotency.delete())
        threads = [threading.Thread(target=ask, args=(subject,)) for subject in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["done"] * (turn + 1) + ["refused"] * (turn + 1)


def test_old_tokens_are_forgotten_by_several_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each deletes the old records; none waits for another for ever."""
    for number in range(200):
        perform(database, Once.of("CreateUser", "p", f"old {number}", {}), Action())
    start = clock.now()
    monkeypatch.setattr(clock, "now", lambda: start + LIFE + timedelta(minutes=1))
    errors: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            perform(database, Once.of("CreateUser", "p", f"new {number}", {}), Action())
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.idempotency)) == 8
