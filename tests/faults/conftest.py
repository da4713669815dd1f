"""Real processes on one database."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.worker import Worker

SCRIPT = Path(__file__).with_name("worker.py")


class Nursery:
    """A process that has imported everything, and forks the others."""

    def __init__(self) -> None:
        self._requests, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, str(SCRIPT), "breed", str(other.fileno())]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[other.fileno()])

    def ask(self, request: object, *handles: int) -> Any:
        socket.send_fds(self._requests, [json.dumps(request).encode()], handles)
        return json.loads(self._requests.recv(1 << 16))

    def close(self) -> None:
        self._requests.close()
        self._process.wait()


class Forked:
    """A process of the nursery, as ``subprocess.Popen`` shows its own."""

    def __init__(self, nursery: Nursery, arguments: Sequence[str]) -> None:
        (its_input, ours), (its_output, theirs) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(ours, "w"), os.fdopen(its_output)
        self._nursery = nursery
        self._pid: int = nursery.ask(arguments, its_input, theirs)
        self._status: int | None = None
        os.close(its_input)
        os.close(theirs)

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._nursery.ask(self._pid)
        return self._status

    def wait(self, timeout: float = 60) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self._pid), timeout)
            time.sleep(0.01)
        return status

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


class Child:
    """A worker process."""

    def __init__(self, process: Forked | subprocess.Popen[str]) -> None:
        self.process = process

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
    data folder, ``within`` the beginning of a command that the process is run by.
    """

    def __call__(self, *options: str, folder: Path | None = None, within: Sequence[str] = ()) -> Child: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data: Path, database_url: str, nursery: Nursery) -> Iterator[Starter]:
    """Start a process on the database."""
    children: list[Child] = []

    def start_one(*options: str, folder: Path | None = None, within: Sequence[str] = ()) -> Child:
        arguments = [str(folder or data), database_url, *options]
        process: Forked | subprocess.Popen[str]
        if within:
            command = [*within, sys.executable, str(SCRIPT), *arguments]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        else:
            process = Forked(nursery, arguments)
        children.append(Child(process))
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
