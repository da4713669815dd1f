"""The command line, in this process and as a program, on data folders of the tests' own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from typer.testing import CliRunner

from recognizance.cli.app import app
from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

# As a program, for this process has no network.
_PULL = "models", "pull", "demo_pictures", "centerface", "dlib_face_recognition_resnet_v1", "impostor_core"


class Program:
    """``recognizance`` as a program of its own, without settings of whoever runs the tests, under the contract core."""

    def start(self, *arguments: str | Path, **settings: str) -> subprocess.Popen[str]:
        """Start it; settings are environment variables."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECOGNIZANCE_")}
        return subprocess.Popen(
            [sys.executable, "-m", "recognizance", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=inherited | {"RECOGNIZANCE_CONTRACT": "core"} | settings,
        )

    def __call__(self, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        with self.start(*arguments, **settings) as process:
            try:
                stdout, stderr = process.communicate(timeout=170)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@dataclass(frozen=True)
class Cli:
    """The command line in this process, with a data folder."""

    data: Path

    def __call__(self, *arguments: str | Path, code: int = 0, answer: str | None = None) -> Result:
        """Run a command on the data folder; it must end with this code."""
        result = CliRunner().invoke(app, [*map(str, arguments), "--data", str(self.data)], input=answer)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """Run a command with ``--json`` and return the document, which must be all that is on standard output."""
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def refused(self, *arguments: str | Path) -> str:
        """Run a command that must fail in a plain way, and return what it says."""
        result = self(*arguments, code=1)
        assert not result.stdout
        assert "Traceback" not in result.stderr
        return " ".join(result.stderr.split())


@pytest.fixture
def program() -> Program:
    """Return the program."""
    return Program()


@pytest.fixture(autouse=True)
def _untouched_logging() -> Iterator[None]:
    """Commands set logging up for their process, which here is the tests'."""
    root = logging.getLogger()
    handlers, level, configured, configuration = (
        root.handlers,
        root.level,
        structlog.is_configured(),
        structlog.get_config(),
    )
    yield
    root.handlers = handlers
    root.setLevel(level)
    if configured:  # by tests of another folder, for longer than one test
        structlog.configure(**configuration)
    else:
        structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests do not count; the contract is core."""
    for name in list(os.environ):
        if name.startswith("RECOGNIZANCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RECOGNIZANCE_CONTRACT", "core")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line with an empty data folder."""
    return Cli(tmp_path / "data")


@pytest.fixture
def either_database(cli: Cli, database_kind: str, database_url: str) -> None:
    """Run the module on both databases: on PostgreSQL the data folder's file of settings says so."""
    if database_kind == "postgresql":
        cli.data.mkdir(mode=0o700)
        (cli.data / "recognizance.toml").write_text(f'database_url = "{database_url}"\n')


@pytest.fixture(scope="session")
def portraits() -> Path:
    """The folder of the demonstration pictures; the models of the contract core are installed too."""
    done = Program()(*_PULL)
    assert done.returncode == 0, done.stderr
    return next(iter(ModelStore(Settings()).paths("demo_pictures").values())).parent
