"""``recognizance config show``: each value, and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_every_setting_is_shown(cli: Cli) -> None:
    shown = cli("config", "show").stdout
    assert cli.json("config", "show").keys() == Settings.model_fields.keys()
    for name in Settings.model_fields:
        assert name in shown


def test_arguments_win_over_the_environment_which_wins_over_the_file_which_wins_over_defaults(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.data.mkdir()
    (cli.data / "recognizance.toml").write_text('port = 1111\nhost = "10.0.0.1"\nregion = "eu-west-1"\n')
    monkeypatch.setenv("RECOGNIZANCE_PORT", "2222")
    monkeypatch.setenv("RECOGNIZANCE_HOST", "10.0.0.2")
    shown = cli.json("config", "show", "--port", "3333")
    assert shown["port"] == {"value": 3333, "origin": "argument"}
    assert shown["host"] == {"value": "10.0.0.2", "origin": "environment"}
    assert shown["region"] == {"value": "eu-west-1", "origin": "file"}
    assert shown["account_id"]["origin"] == "default"
    assert shown["data"] == {"value": str(cli.data), "origin": "argument"}


def test_secrets_are_masked_everywhere(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_S3_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("RECOGNIZANCE_DATABASE_URL", "postgresql+psycopg://me:hush-hush@db/faces")
    for shown in (cli("config", "show").output, str(cli.json("config", "show"))):
        assert "hush" not in shown
        assert "me:***@db/faces" in shown


def test_a_database_url_that_is_none_gives_nothing_away(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_DATABASE_URL", "hush-hush")
    assert "hush" not in cli("config", "show").output


def test_a_variable_that_is_no_setting_is_pointed_out(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_PROT", "1")
    assert "RECOGNIZANCE_PROT is no setting" in cli("config", "show").stderr


@pytest.mark.parametrize(
    ("text", "named"), [("port = ", "recognizance.toml"), ("prot = 1", "prot: "), ('port = "many"', "port: ")]
)
def test_what_is_wrong_in_the_file_is_named(cli: Cli, text: str, named: str) -> None:
    cli.data.mkdir()
    (cli.data / "recognizance.toml").write_text(text)
    assert named in cli.refused("config", "show")


def test_a_password_in_the_url_of_milvus_is_masked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_MILVUS_URL", "http://user:hidden-word@milvus:19530")
    assert cli.json("config", "show")["milvus_url"]["value"] == "http://user:***@milvus:19530"


def test_a_file_that_cannot_be_read_is_named(cli: Cli) -> None:
    file = cli.data / "recognizance.toml"
    file.mkdir(parents=True)  # nobody can read a folder as a file, not even root
    assert f"{file} cannot be read" in cli.refused("config", "show")
