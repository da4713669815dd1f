"""The program as a whole: help, versions, errors."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from typer.testing import CliRunner

from recognizance import __version__
from recognizance.cli.app import COMMANDS, app, load_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Cli

_IMPORTED_BY_HELP = """
import sys
from recognizance.cli import main
sys.argv = ["recognizance", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"numpy", "sqlalchemy", "openvino", "cv2", "pydantic", "boto3", "rich", "structlog", "PIL"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or None)
"""


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        yield from _leaves(f"{path} {name}", child)


LEAVES = dict(leaf for name in COMMANDS for leaf in _leaves(name, load_command(name)))


def test_help_of_the_program_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTED_BY_HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"--help imports {done.stderr}"
    for name in COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_in_the_help_is_what_the_command_says_of_itself(name: str) -> None:
    first = load_command(name).help.partition("\n\n")[0].replace("\n", " ")
    assert first == COMMANDS[name]


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_can_print_json(path: str) -> None:
    assert any("--json" in parameter.opts for parameter in LEAVES[path].params)


@pytest.mark.parametrize("path", LEAVES)
def test_every_option_is_explained(path: str) -> None:
    unexplained = [parameter.name for parameter in LEAVES[path].params if not getattr(parameter, "help", None)]
    assert not unexplained


def test_the_program_tells_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recognizance", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"recognizance {__version__}\n"


def test_a_slip_of_the_pen_is_answered_with_the_right_word() -> None:
    result = CliRunner().invoke(app, ["serv"])
    assert result.exit_code == 2
    assert "Did you mean 'serve'" in result.stderr


def test_a_setting_out_of_range_is_named_without_a_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_PORT", "many")
    assert "port" in cli.refused("config", "show")


def test_a_database_that_is_none_is_named_without_a_traceback(cli: Cli) -> None:
    cli.data.mkdir()
    (cli.data / "recognizance.db").write_bytes(b"no database" * 1000)
    assert "recognizance.db" in cli.refused("keys", "list")


def test_a_data_folder_that_is_a_file_is_named_without_a_traceback(cli: Cli) -> None:
    cli.data.write_text("")
    assert str(cli.data) in cli.refused("collections", "list")


def test_the_root_of_the_program_is_a_group_of_every_command() -> None:
    assert set(typer.main.get_command(app).commands) == set(COMMANDS)  # type: ignore[attr-defined]
