"""``recognizance keys``."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from recognizance.core.settings import load_settings
from recognizance.governance.keys import KeyStore
from recognizance.storage.database import Database

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Program

pytestmark = pytest.mark.usefixtures("either_database")


def _secret(cli: Cli, access_key_id: str) -> str | None:
    settings = load_settings(data=cli.data)
    with closing(Database.open(settings.resolved_database_url)) as database:
        found = KeyStore(database, cli.data, account_id=settings.account_id).find(access_key_id)
    return found.secret if found else None


def test_create_prints_one_object_with_the_key(cli: Cli, program: Program) -> None:
    """The form that scripts rely on, from the program itself."""
    done = program("keys", "create", "--data", cli.data, "--role", "administrator", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert _secret(cli, made["AccessKeyId"]) == made["SecretAccessKey"]
    assert made["Role"] == "administrator"


def test_create_shows_lines_to_paste_into_a_shell(cli: Cli) -> None:
    lines = cli("keys", "create", "--role", "reader").stdout.splitlines()
    values = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    assert values["AWS_ENDPOINT_URL_REKOGNITION"] == "http://127.0.0.1:8111"
    assert values["AWS_DEFAULT_REGION"] == "us-east-1"
    assert _secret(cli, values["AWS_ACCESS_KEY_ID"]) == values["AWS_SECRET_ACCESS_KEY"]


def test_list_shows_every_key_and_no_secret(cli: Cli) -> None:
    made = [cli.json("keys", "create", "--role", role) for role in ("administrator", "reader")]
    listed = cli.json("keys", "list")
    assert [(key["AccessKeyId"], key["Role"], key["Enabled"]) for key in listed] == [
        (key["AccessKeyId"], key["Role"], True) for key in made
    ]
    shown = cli("keys", "list").output
    for key in made:
        assert key["AccessKeyId"] in shown
        assert key["SecretAccessKey"] not in shown + str(listed)


def test_list_of_a_new_data_folder_says_how_to_make_a_key(cli: Cli) -> None:
    assert cli.json("keys", "list") == []
    assert "recognizance keys create" in cli("keys", "list").stderr


def test_a_disabled_key_is_listed_as_disabled(cli: Cli) -> None:
    made = cli.json("keys", "create", "--role", "reader")
    cli("keys", "disable", made["AccessKeyId"])
    assert [key["Enabled"] for key in cli.json("keys", "list")] == [False]
    assert "disabled" in cli("keys", "list").stdout


def test_a_key_that_does_not_exist_cannot_be_disabled(cli: Cli) -> None:
    assert "AKIANOBODY" in cli.refused("keys", "disable", "AKIANOBODY")


def test_a_role_that_does_not_exist_is_wrong_usage(cli: Cli) -> None:
    assert "administrator" in cli("keys", "create", "--role", "emperor", code=2).stderr


def test_after_the_key_file_is_lost_a_reset_makes_the_folder_usable_again(cli: Cli) -> None:
    cli("keys", "create", "--role", "administrator")
    (cli.data / "secret.key").unlink()
    assert "keys reset" in cli.refused("keys", "create", "--role", "administrator")
    assert "--yes" in cli.refused("keys", "reset")
    assert cli.json("keys", "reset", "--yes") == {"Deleted": True}
    cli("keys", "create", "--role", "administrator")
    assert len(cli.json("keys", "list")) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_file_that_others_may_read_is_refused(cli: Cli, mode: int) -> None:
    cli("keys", "create", "--role", "administrator")
    (cli.data / "secret.key").chmod(mode)
    assert "chmod 600" in cli.refused("keys", "list")
