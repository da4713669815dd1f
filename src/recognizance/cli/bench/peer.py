"""The peer: face_recognition, the library that most people begin with, on the same pictures.

It lives in a virtual environment of its own in the user's cache, so that nothing of it mixes with this program. Its
package asks for ``dlib``, which has to be compiled; ``dlib-bin`` is the same library, ready made.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import IO, TYPE_CHECKING, Any

from platformdirs import user_cache_path

from recognizance.core.errors import SetupError
from recognizance.vision.models.files import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAME, VERSION = "face_recognition", "1.3.0"
_PACKAGES = (
    f"{NAME}=={VERSION}",
    "face_recognition_models==0.3.0",
    "dlib-bin==20.0.1.post1",
    "click",
    "numpy",
    "pillow",
    "setuptools<81",  # the last with pkg_resources, which face_recognition_models imports
)
_VERSIONS = """
import importlib.metadata, json
names = ("face_recognition", "face_recognition_models", "dlib-bin", "numpy", "pillow")
print(json.dumps({name: importlib.metadata.version(name) for name in names}))
"""
_STOP_SECONDS = 20


class PeerError(Exception):
    """The peer cannot be installed or does not run; the message says why."""


@dataclass(frozen=True, slots=True)
class _Environment:
    """A virtual environment with the peer: its interpreter, and the versions of the packages that matter."""

    python: Path
    packages: dict[str, str]


def _make_environment(say: Callable[[str], None]) -> _Environment:
    python_version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = user_cache_path("recognizance") / "bench" / f"{NAME}-{VERSION}-python{python_version}"
    python, complete = folder / "env" / "bin" / "python", folder / "complete"
    try:
        with locked(folder):
            if not complete.is_file():
                say(f"Installing {NAME} {VERSION} into {folder}, once: about 110 MB are fetched")
                _output("no virtual environment could be made", sys.executable, "-m", "venv", "--clear", folder / "env")
                pip = (python, "-I", "-m", "pip", "install", "--quiet", "--no-deps")
                _output("its packages could not be fetched", *pip, *_PACKAGES)
                complete.touch()
        versions = _output(f"what was installed is damaged, delete {folder}", python, "-I", "-c", _VERSIONS)
        return _Environment(python, json.loads(versions))
    except (SetupError, OSError) as error:
        raise PeerError(f"{folder} cannot be used: {error}") from error


def _output(failure: str, *command: str | Path) -> str:
    """Return what a program prints.

    Raises:
        PeerError: It fails; the message is the failure and the last line that the program wrote.
    """
    done = subprocess.run(  # noqa: S603 - the interpreter itself, with arguments from above
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PeerError(f"{failure}: {_last_line(done.stderr or done.stdout)}")
    return done.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


class Peer:
    """Processes of the peer, each with all pictures in memory.

    Attributes:
        packages: The versions of what it runs on.

    Args:
        workers: The processes, ready to answer.
        packages: As above.
    """

    def __init__(self, workers: Sequence[_Worker], packages: dict[str, str]) -> None:
        self._workers, self.packages = workers, packages

    def rate(self, rows: Sequence[int], processes: int) -> tuple[float, int]:
        """Analyse pictures.

        Args:
            rows: Their numbers.
            processes: How many processes share them.

        Returns:
            Pictures a second, from the request to the last answer, and how many faces were found.

        Raises:
            PeerError: A process died.
        """
        workers = self._workers[:processes]
        started = perf_counter()
        for number, worker in enumerate(workers):
            worker.ask({"run": list(rows[number::processes])})
        faces = sum(worker.answer()["faces"] for worker in workers)
        return len(rows) / (perf_counter() - started), faces


@contextmanager
def running(pictures: Sequence[Path], processes: int, say: Callable[[str], None]) -> Iterator[Peer]:
    """Start so many processes of the peer, and have each read the pictures; install it first where that is needed.

    Args:
        pictures: The files.
        processes: How many processes.
        say: Told before what takes long.

    Raises:
        PeerError: It cannot be installed, mostly for want of a network, or does not start.
    """
    environment = _make_environment(say)
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(environment.python)) for _ in range(processes)]
        for worker in workers:
            worker.answer()
            worker.ask({"load": [str(path) for path in pictures]})
        for worker in workers:
            worker.answer()
        yield Peer(workers, environment.packages)


class _Worker:
    """One process of peer_worker.py."""

    def __init__(self, requests: IO[str], answers: IO[str], said: IO[str]) -> None:
        self._requests, self._answers, self._said = requests, answers, said

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request; its answer is to be read before the next."""
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        except OSError as error:
            raise self._death() from error

    def answer(self) -> dict[str, Any]:
        """Wait for an answer; the first one comes unasked, when the process is ready."""
        line = self._answers.readline()
        try:
            document: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError as error:
            raise self._death() from error
        return document

    def _death(self) -> PeerError:
        self._said.seek(0)
        return PeerError(f"it does not run: {_last_line(self._said.read())}")


@contextmanager
def _worker(python: Path) -> Iterator[_Worker]:
    script = Path(__file__).with_name("peer_worker.py")
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(  # noqa: S603 - our own script
            [str(python), "-I", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
        )
        if process.stdin is None or process.stdout is None:
            raise TypeError("pipes were asked for")
        try:
            yield _Worker(process.stdin, process.stdout, said)
        finally:
            process.kill()  # it keeps nothing
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what it did not read any more
                    pipe.close()
