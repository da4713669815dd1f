"""A data folder whose settings name a PostgreSQL database."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli
    from tests.conftest import PostgreSQL

pytestmark = pytest.mark.postgresql


@pytest.fixture
def write_url(cli: Cli) -> Callable[[str], None]:
    """Name a database in the data folder's file of settings."""

    def write(url: str) -> None:
        cli.data.mkdir(mode=0o700, exist_ok=True)
        (cli.data / "recognizance.toml").write_text(f'database_url = "{url}"\n')

    return write


def doctor(cli: Cli, *, code: int = 0) -> dict[str, Any]:
    found = {check["name"]: check for check in cli.json("doctor", "--port", "0", code=code)["checks"]}
    database: dict[str, Any] = found["database"]
    return database


@pytest.mark.usefixtures("portraits")
def test_the_database_is_examined(cli: Cli, write_url: Callable[[str], None], database_url: str) -> None:
    write_url(database_url)
    assert doctor(cli)["state"] == "ok"
    assert "schema current" in doctor(cli)["detail"]


@pytest.mark.usefixtures("portraits")
def test_a_database_without_tables_is_left_as_it_is(
    cli: Cli, write_url: Callable[[str], None], postgresql: PostgreSQL
) -> None:
    url = postgresql.create(empty=True)
    write_url(url)
    for _ in range(2):
        assert "the next start will bring up to date" in doctor(cli)["detail"]
    postgresql.drop(url)


def test_no_command_shows_the_password(cli: Cli, write_url: Callable[[str], None], postgresql: PostgreSQL) -> None:
    role = f"r{secrets.token_hex(4)}"
    postgresql.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    write_url(postgresql.url("postgres", user=role, password="hunter2"))
    database = doctor(cli, code=1)
    assert database["state"] == "fail"
    assert "Check the user and the password in database_url" in database["cure"]
    refused = cli.refused("keys", "list")
    assert "password authentication failed" in refused
    shown = cli("config", "show").output
    assert f"{role}:***@" in shown
    assert "hunter2" not in str(database) + refused + shown + cli("doctor", "--port", "0", code=1).output
    postgresql.execute(f"DROP ROLE {role}")
