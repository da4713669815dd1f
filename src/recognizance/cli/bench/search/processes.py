"""A worker, seen from the process that started it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STOP_SECONDS = 60


class WorkerError(Exception):
    """A worker could not do what it was asked for; the message is its own."""


class Worker:
    """A worker; see ``worker``."""

    def __init__(self, process: subprocess.Popen[str], asked: IO[str], answers: IO[str]) -> None:
        self._process, self._asked, self._answers = process, asked, answers

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON can say
        """Ask for something and wait for the answer.

        Raises:
            WorkerError: It could not be done.
        """
        try:
            self._asked.write(json.dumps({"do": what, **arguments}) + "\n")
            self._asked.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"its process ended with status {self._process.wait(_STOP_SECONDS)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer


@contextmanager
def worker(engine: str, folder: Path, build_seconds: float = 0.0) -> Iterator[Worker]:
    """Run a worker until the end of the block; what it says of itself goes to ``<folder>/<engine>.log``.

    Args:
        engine: ``own`` or the name of a peer.
        folder: Where the gallery's files are.
        build_seconds: The most that building a graph may take.
    """
    with (folder / f"{engine}.log").open("ab") as said:
        process = subprocess.Popen(  # noqa: S603 - ourselves, with names of ours
            [sys.executable, "-m", "recognizance.cli.bench.search.worker", engine, str(folder), str(build_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
        )
    if process.stdin is None or process.stdout is None:
        raise WorkerError("it has no standard input")  # cannot be: both were asked for
    with process.stdin as asked, process.stdout as answers:
        try:
            yield Worker(process, asked, answers)
        finally:
            asked.close()  # that it ends by itself, and stops the servers that it started
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
