from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.core import clock
from recognizance.core.errors import IdempotentParameterMismatchError
from recognizance.storage.database import Database
from recognizance.storage.idempotency import LIFE, Once, once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path / 'x.db'}")
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
