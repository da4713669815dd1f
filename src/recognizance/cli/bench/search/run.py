"""The whole run of ``recognizance bench search``."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recognizance.cli._bars import bar
from recognizance.cli.bench.machine import cores
from recognizance.cli.bench.scratch import scratch_folder
from recognizance.cli.bench.search.embeddings import Embeddings
from recognizance.cli.bench.search.files import GalleryFiles
from recognizance.cli.bench.search.floor import Floor, code_bytes
from recognizance.cli.bench.search.gallery import ClusteredGallery, Gallery, RealGallery
from recognizance.cli.bench.search.peers import PEERS
from recognizance.cli.bench.search.processes import Worker, WorkerError, worker
from recognizance.cli.bench.search.report import Memory, PeerFigures, SearchReport
from recognizance.cli.bench.search.truth import HITS
from recognizance.core import clock
from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from recognizance.cli.bench.search.truth import Truth

_ROUNDS = 5
_OWN_DISK = 320
"""Bytes on disk that our index needs for each face of 129 dimensions: vector, codes and key."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        faces: Rows of the gallery.
        dimensions: Of an embedding, where they are made up.
        embeddings: A file of real embeddings, see ``Embeddings.read``; None makes all people up.
        peers: Names of the peers.
        probes: How many probes, at most.
        seconds: How long to measure single searches, and searches from several threads; peers as long, each.
        build_seconds: The most that building one peer's graph may take.
    """

    faces: int
    dimensions: int = 128
    embeddings: Path | None = None
    peers: tuple[str, ...] = ()
    probes: int = 200
    seconds: float = 10.0
    build_seconds: float = 600.0


def measure(plan: Plan, say: Callable[[str], None]) -> SearchReport:
    """Measure everything in a folder that is deleted afterwards.

    Args:
        plan: What to measure.
        say: Told what comes next, and what is left out.

    Raises:
        SetupError: There is no room, a file is not what it should be, or the index cannot be built.
    """
    gallery = _gallery(plan)
    with scratch_folder() as folder:
        peers = _possible(plan, gallery, folder, say)
        say(f"Making {plan.faces:,} faces and finding by comparison what searches must find")
        with bar("Faces") as tell:
            files, truth = GalleryFiles.write(folder, gallery, tell)
        try:
            return _Run(plan, gallery, files, truth, say).measure(peers)
        except WorkerError as error:
            raise SetupError(f"The index could not be measured: {error}") from error


def _gallery(plan: Plan) -> Gallery:
    if plan.embeddings is None:
        return ClusteredGallery(plan.faces, plan.dimensions, plan.probes)
    return RealGallery(Embeddings.read(plan.embeddings), plan.faces, plan.probes)


def _possible(plan: Plan, gallery: Gallery, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Return the peers that there are packages and memory for.

    Raises:
        SetupError: There is not enough room on the disk.
    """
    memory, disk = _available_memory(), shutil.disk_usage(folder).free
    needed = plan.faces * (2 * gallery.width + _OWN_DISK * gallery.width / 129)
    peers = []
    for name in plan.peers:
        peer, size = PEERS[name], plan.faces * gallery.width
        if peer.package is not None and find_spec(peer.package) is None:
            say(f"{name} is left out: {peer.package} is not installed; it is in the development group (uv sync)")
        elif memory is not None and size * peer.memory > memory:
            say(f"{name} is left out: it would need {size * peer.memory / 2**30:,.1f} GiB of memory")
        else:
            memory = None if memory is None else memory - size * peer.memory
            needed += size * peer.disk
            peers.append(name)
    if needed > disk:
        raise SetupError(
            f"{plan.faces:,} faces need {needed / 2**30:,.1f} GiB of disk for this run, and {folder.parent} has "
            f"{disk / 2**30:,.1f} GiB free; measure fewer faces or fewer peers."
        )
    say(f"This run writes up to {needed / 2**30:,.1f} GiB below {folder.parent}, and deletes it")
    return peers


def _available_memory() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    # What the own index and the rest of the system need stays free.
    return found[0] * 0.8 if found else None


@dataclass
class _Measured:
    """What rounds of searches gave."""

    ms: list[float] = field(default_factory=list)
    probes: list[int] = field(default_factory=list)
    found: list[list[int]] = field(default_factory=list)

    def take(self, peer: Worker, probes: Sequence[int], seconds: float, least: int) -> None:
        answer = peer.ask("search", probes=list(probes), seconds=seconds, least=least)
        self.ms += answer["ms"]
        self.found += answer["found"]
        self.probes += probes[: len(answer["found"])]

    def recall(self, truth: Truth, at: int) -> float:
        return truth.recall(self.found, self.probes, at)


class _Run:
    def __init__(
        self, plan: Plan, gallery: Gallery, files: GalleryFiles, truth: Truth, say: Callable[[str], None]
    ) -> None:
        self._plan, self._gallery, self._files, self._truth, self._say = plan, gallery, files, truth, say

    def measure(self, names: Sequence[str]) -> SearchReport:
        plan, say = self._plan, self._say
        say("Building the index")
        with worker("own", self._files.folder) as builder:
            build_s = builder.ask("build")["seconds"]
        figures: dict[str, PeerFigures] = {}
        with ExitStack() as stack:
            own = stack.enter_context(worker("own", self._files.folder))
            before = own.ask("memory")
            opened = own.ask("open")
            loaded = own.ask("memory")
            running = {}
            for name in names:
                if (peer := self._built(stack, name, figures)) is not None:
                    running[name] = peer
            say("Measuring searches")
            ours, theirs, floor_ms = self._rounds(own, running)
            qps = own.ask("load", threads=cores(), seconds=plan.seconds)["per_second"]
            after = own.ask("memory")
            for name, measured in theirs.items():
                figures[name].finish(measured.ms, measured.recall(self._truth, 1), measured.recall(self._truth, HITS))
        size = self._gallery.width - 1
        return SearchReport(
            faces=plan.faces,
            dim=size,
            source=self._gallery.source,
            probes=len(self._gallery.probes),
            threads=cores(),
            note=opened["note"],
            ms=tuple(ours.ms),
            qps=qps,
            recall_at_1=ours.recall(self._truth, 1),
            recall_at_10=ours.recall(self._truth, HITS),
            found_person=self._right(ours.probes, ours.found),
            found_person_exactly=self._right(range(len(self._truth.rows)), self._truth.rows.tolist()),
            memory=Memory(before["anonymous_mib"], loaded["anonymous_mib"], after["anonymous_mib"], after["file_mib"]),
            build_s=build_s,
            reopen_s=opened["seconds"],
            floor_ms=floor_ms,
            peers=figures,
            when=clock.now().isoformat(timespec="seconds"),
        )

    def _built(self, stack: ExitStack, name: str, figures: dict[str, PeerFigures]) -> Worker | None:
        self._say(f"Building {name}")
        peer = stack.enter_context(worker(name, self._files.folder, self._plan.build_seconds))
        try:
            answer = peer.ask("build")
            peer.ask("warm")
        except WorkerError as error:
            self._say(f"{name} is left out: {error}")
            figures[name] = PeerFigures(note=str(error))
            return None
        figures[name] = PeerFigures(note=answer["note"], build_s=answer["seconds"])
        return peer

    def _rounds(self, own: Worker, peers: dict[str, Worker]) -> tuple[_Measured, dict[str, _Measured], float]:
        """Measure in rounds, everybody in each, so that whatever else the machine does slows all of them down."""
        order = np.random.default_rng(1).permutation(len(self._gallery.probes)).tolist()
        ours, theirs, floors = _Measured(), {name: _Measured() for name in peers}, []
        seconds = self._plan.seconds / _ROUNDS
        own.ask("warm")
        with _floor(self._plan.faces * code_bytes(self._gallery.width)) as floor, bar("Rounds") as tell:
            for turn in range(_ROUNDS):
                ours.take(own, order, seconds, least=len(order))
                floors.append(floor.ms())
                for name, peer in peers.items():
                    theirs[name].take(peer, order[turn::_ROUNDS], seconds, least=1)
                tell(turn + 1, _ROUNDS)
        return ours, theirs, float(np.median(floors))

    def _right(self, probes: Sequence[int], found: Sequence[Sequence[int]]) -> float:
        """Return the share of searches whose first hit is a face of the probe's person."""
        right = [rows[0] in self._gallery.people[probe] for probe, rows in zip(probes, found, strict=True)]
        return float(np.mean(right))


@contextmanager
def _floor(size: int) -> Iterator[Floor]:
    floor = Floor(size, cores())
    try:
        yield floor
    finally:
        floor.close()
