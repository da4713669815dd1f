"""A process that holds one engine and does what is asked for on standard input, a JSON document a line.

Run as ``python -m recognizance.cli.bench.search.worker ENGINE FOLDER [SECONDS]``. In a process of its own an engine's
memory is its own, and one that fails or takes too long takes nothing else down.
"""

from __future__ import annotations

import json
import sys
import threading
import traceback
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from recognizance.cli.bench.search.files import GalleryFiles
from recognizance.cli.bench.search.truth import HITS

if TYPE_CHECKING:
    from recognizance.cli.bench.search.engine import Engine
    from recognizance.vision.faces import FloatArray

_WARM = 3


def main() -> None:
    """Answer until standard input ends."""
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries that print must not spoil the answers
    worker = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if worker is None:
                worker = _Worker(_engine(name, GalleryFiles.open(folder), seconds), GalleryFiles.open(folder).probes())
            answer = getattr(worker, asked.pop("do"))(**asked)
        except Exception as error:  # noqa: BLE001 - whatever a peer's library raises is the answer
            traceback.print_exc()
            answer = {"error": str(error) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _engine(name: str, files: GalleryFiles, seconds: float) -> Engine:
    if name == "own":
        from recognizance.cli.bench.search.engine import OwnEngine

        return OwnEngine(files)
    from recognizance.cli.bench.search.peers import PEERS

    return PEERS[name].engine(files, seconds)


class _Worker:
    """What can be asked; every answer is a dictionary."""

    def __init__(self, engine: Engine, probes: FloatArray) -> None:
        self._engine, self._probes = engine, probes

    def build(self) -> dict[str, Any]:
        """Take in the gallery."""
        started = perf_counter()
        self._engine.build()
        return {"seconds": perf_counter() - started, "note": self._engine.note()}

    def open(self) -> dict[str, Any]:
        """Open what was built."""
        started = perf_counter()
        self._engine.open()
        return {"seconds": perf_counter() - started, "note": self._engine.note()}

    def warm(self) -> dict[str, Any]:
        """Search a little, so that caches and threads are there."""
        for probe in self._probes[:_WARM]:
            self._engine.search(probe, HITS)
        return {}

    def search(self, probes: list[int], seconds: float, least: int) -> dict[str, Any]:
        """Search for one probe after the other, round and round, until the time is over and ``least`` are done."""
        deadline = perf_counter() + seconds
        times: list[float] = []
        found: list[list[int]] = []
        while len(times) < least or perf_counter() < deadline:
            number = probes[len(times) % len(probes)]
            started = perf_counter()
            rows = self._engine.search(self._probes[number], HITS)
            times.append((perf_counter() - started) * 1000)
            if len(found) < len(probes):
                found.append(rows)
        return {"ms": times, "found": found}

    def load(self, threads: int, seconds: float) -> dict[str, Any]:
        """Search from several threads at once, each as often as it can."""
        deadline = perf_counter() + seconds
        times: list[list[float]] = [[] for _ in range(threads)]

        def work(mine: list[float], number: int) -> None:
            while not mine or perf_counter() < deadline:
                number = (number + threads) % len(self._probes)
                started = perf_counter()
                self._engine.search(self._probes[number], HITS)
                mine.append((perf_counter() - started) * 1000)

        started = perf_counter()
        workers = [threading.Thread(target=work, args=(mine, number)) for number, mine in enumerate(times)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        ms = [one for mine in times for one in mine]
        return {"per_second": len(ms) / (perf_counter() - started), "ms": ms}

    def memory(self) -> dict[str, Any]:
        """Return this process's resident memory in MiB: its own, and pages of files that the system may take back."""
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        sizes = {name: value for name, _, value in (line.partition(":") for line in text.splitlines())}
        return {
            "anonymous_mib": int(sizes["RssAnon"].split()[0]) / 1024,
            "file_mib": (int(sizes["RssFile"].split()[0]) + int(sizes["RssShmem"].split()[0])) / 1024,
        }


if __name__ == "__main__":
    main()
