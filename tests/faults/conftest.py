"""Real processes on one database."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.worker import Worker

SCRIPT = Path(__file__).with_name("worker.py")


class Child:
    """A worker process."""

    def __init__(self, data: Path, database_url: str, *options: str, within: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*within, sys.executable, str(SCRIPT), str(data), database_url, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, name: str, *arguments: object) -> None:
        assert self.process.stdin is not None
        print(json.dumps([name, *arguments]), file=self.process.stdin, flush=True)

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def do(self, name: str, *arguments: object) -> Any:
        self.say(name, *arguments)
        return self.hear()

    def died(self, seconds: float = 60) -> int | None:
        """Wait until it has ended, for so long at most; return how."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> list[Any]:
        """Kill it with SIGKILL, if it is alive; return what it had still said."""
        if self.process.poll() is not None:
            return []
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        return [json.loads(line) for line in self.process.stdout]


class Starter(Protocol):
    """Starts a process.

    Its options are words: with ``few``, segments have few faces and are written all the time. ``folder`` is another
    data folder, ``url`` another database, ``within`` the beginning of a command that the process is run by.
    """

    def __call__(
        self, *options: str, folder: Path | None = None, url: str | None = None, within: Sequence[str] = ()
    ) -> Child: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data: Path, database_url: str) -> Iterator[Starter]:
    """Start a process on the database."""
    children: list[Child] = []

    def start_one(
        *options: str, folder: Path | None = None, url: str | None = None, within: Sequence[str] = ()
    ) -> Child:
        children.append(Child(folder or data, url or database_url, *options, within=within))
        return children[-1]

    yield start_one
    for child in children:
        child.kill()
        for stream in (child.process.stdin, child.process.stdout):
            if stream:
                stream.close()


@pytest.fixture
def here(data: Path, database_url: str) -> Iterator[Worker]:
    """A worker in this process, and in the database one empty collection."""
    spec = importlib.util.spec_from_file_location("faults_worker", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    worker: Worker = module.Worker(data, database_url)
    worker.service.create_collection("c")
    yield worker
    worker.service.close()
    worker.database.close()
