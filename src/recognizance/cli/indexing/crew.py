"""Processes that analyse pictures, for machines with many cores.

A fifth of the work on a picture holds Python's interpreter lock, and threads that share batches take turns at
embedding, so that one process keeps five cores busy at the most. So there is one for each few cores. They have no
database and no journal: pictures go in and faces come out.
"""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Self

from recognizance.core import log
from recognizance.core.errors import ServiceError, SetupError
from recognizance.operations.local import analyse
from recognizance.vision.analyser import Analysers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from recognizance.core.settings import Settings
    from recognizance.operations.local import Analysed, Choice

_CORES_OF_PROCESS = 4


class AnalystLostError(SetupError):
    """A process that analyses pictures has ended by itself."""


def default_processes(cores: int) -> int:
    """Return how many processes analyse on so many cores; 1 is this one."""
    return max(1, cores // _CORES_OF_PROCESS)


class Crew:
    """Analyses pictures in other processes. A context manager; safe to use from many threads.

    Args:
        settings: Where the models are. Each process takes an equal part of the threads.
        contract: The model contract.
        choice: Which faces to embed.
        processes: How many processes.
        workers: Pictures analysed at once, in all of them.
        threads: Threads that run networks, in all of them.
    """

    def __init__(
        self, settings: Settings, contract: str, choice: Choice, *, processes: int, workers: int, threads: int
    ) -> None:
        own = settings.model_copy(update={"threads": max(1, threads // processes), "streams": 0})
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks that other threads hold
        self._free: SimpleQueue[Connection] = SimpleQueue()
        self._ends: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._theirs: list[Connection] = []
        lines: list[list[Connection]] = [[] for _ in range(processes)]
        for worker in range(max(workers, processes)):
            ours, theirs = context.Pipe()
            self._ends.append(ours)
            self._theirs.append(theirs)
            lines[worker % processes].append(theirs)
        for line in lines:
            process = context.Process(target=_work, args=(line, own, contract, choice), daemon=True)
            self._processes.append(process)

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        for theirs in self._theirs:
            theirs.close()  # the last copy is the process's own, so that its end is seen here
        for ours in self._ends:
            self._free.put(ours)
        return self

    def __exit__(self, *_: object) -> None:
        for ours in self._ends:
            ours.close()
        for process in self._processes:
            process.join()

    def analyse(self, data: bytes, external_image_id: str | None) -> Analysed:
        """Find and embed the faces of a picture file; see :func:`recognizance.operations.local.analyse`.

        Raises:
            AnalystLostError: The process that did it has ended.
        """
        line = self._free.get()
        try:
            line.send((data, external_image_id))
            answer: Analysed | ServiceError | str = line.recv()
        except (EOFError, OSError) as error:
            raise AnalystLostError(
                "A process that analyses pictures has ended by itself: it may have used up the memory (then give fewer "
                "--processes), or a picture crashed it. What is done stays done; run the same command again."
            ) from error
        finally:
            self._free.put(line)
        if isinstance(answer, ServiceError):
            raise answer
        if isinstance(answer, str):
            raise RuntimeError(answer)  # noqa: TRY004 - not of the wrong type: the text of another process's error
        return answer


def _work(lines: Sequence[Connection], settings: Settings, contract: str, choice: Choice) -> None:
    """Answer on each line, until the other end is closed: in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too, and the other one decides
    log.configure(settings.model_copy(update={"log_level": "warning"}))
    analyser = Analysers(settings).get(contract)

    def answer(line: Connection) -> None:
        with suppress(EOFError, OSError):
            while True:
                data, external_image_id = line.recv()
                try:
                    line.send(analyse(analyser, choice, data, external_image_id))
                except ServiceError as error:
                    line.send(error)
                except Exception as error:  # noqa: BLE001 - raised again in the other process
                    line.send(repr(error))

    threads = [Thread(target=answer, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
