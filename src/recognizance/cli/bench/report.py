"""The figures of a run, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from recognizance.cli.bench.machine import Setup
    from recognizance.cli.bench.pipeline import OneThread
    from recognizance.cli.bench.server import Overhead
    from recognizance.cli.bench.timing import Rate

_PLACES = 3


@dataclass(frozen=True, slots=True)
class Pictures:
    """What was measured with.

    Attributes:
        source: Where the faces are from, in words.
        portraits: How many portraits of 250 x 250 pixels.
        portrait_faces: How many faces were found in them.
        photos: How many pictures whose long side has 1280 pixels.
        photo_faces: How many faces were found in them.
    """

    source: str
    portraits: int
    portrait_faces: int
    photos: int
    photo_faces: int


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """How the peer did.

    Attributes:
        name: The package.
        version: Its version.
        by_processes: Portraits a second by number of processes.
        faces_found: In how many faces of the portraits, all of them once.
        packages: The versions of what it runs on.
    """

    name: str
    version: str
    by_processes: dict[int, Rate]
    faces_found: int
    packages: dict[str, str]

    @property
    def processes(self) -> int:
        """The number of processes that suits it best."""
        return max(self.by_processes, key=lambda processes: self.by_processes[processes].per_second)

    @property
    def per_second(self) -> float:
        """Portraits a second with that number of processes."""
        return self.by_processes[self.processes].per_second


@dataclass(frozen=True, slots=True)
class Rates:
    """Pictures a second, found and embedded.

    Attributes:
        portraits: Portraits.
        photos: Photographs.
        peer: The peer's figures, on the same portraits; None when it was not asked for or did not run.
    """

    portraits: Rate
    photos: Rate
    peer: PeerFigures | None


@dataclass(frozen=True, slots=True)
class HundredFaces:
    """A hundred portraits in one picture.

    Attributes:
        detect_ms: Finding them, in milliseconds.
        index_ms: Indexing them by IndexFaces, from the file to the commit, in milliseconds.
        found: How many were found.
        indexed: How many were stored.
    """

    detect_ms: float
    index_ms: float
    found: int
    indexed: int


@dataclass(frozen=True, slots=True)
class FacesReport:
    """Everything that ``recognizance bench faces`` measures.

    Attributes:
        setup: Networks, machine and software.
        pictures: What was measured with.
        workers: How many pictures were worked on at once where rates were measured.
        seconds: How long each figure was measured for, at least.
        rates: Pictures a second.
        one_portrait: Portraits one after the other.
        one_photo: Photographs one after the other.
        hundred: The picture of a hundred faces.
        bulk: Portraits that ``recognizance index`` stores a second.
        overhead: What a request costs beyond its work.
        memory_mib: Memory of a server that has searched a collection of ``gallery`` faces; None if it cannot tell.
        gallery: How many faces that were.
        when: When the run ended, ISO 8601, UTC.
    """

    setup: Setup
    pictures: Pictures
    workers: int
    seconds: float
    rates: Rates
    one_portrait: OneThread
    one_photo: OneThread
    hundred: HundredFaces
    bulk: Rate
    overhead: Overhead
    memory_mib: float | None
    gallery: int
    when: str

    @property
    def ratio_to_peer(self) -> float | None:
        """How many times as many portraits a second as the peer."""
        return self.rates.portraits.per_second / self.rates.peer.per_second if self.rates.peer else None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON document: first the claims, then all that they rest on."""
        rates, setup = self.rates, asdict(self.setup)
        one = {"portrait": self.one_portrait, "photo": self.one_photo}
        document = {
            "portrait_per_second": rates.portraits.per_second,
            "photo_per_second": rates.photos.per_second,
            "peer_portrait_per_second": rates.peer.per_second if rates.peer else None,
            "ratio_to_peer": self.ratio_to_peer,
            "hundred_faces_detect_ms": self.hundred.detect_ms,
            "hundred_faces_index_ms": self.hundred.index_ms,
            "server_overhead_ms": self.overhead.overhead_ms,
            "bulk_index_per_second": self.bulk.per_second,
            "memory_mib_100k_faces": self.memory_mib if self.gallery == 100_000 else None,
            **{name: setup[name] for name in setup if name != "versions"},
            "workers": self.workers,
            "seconds": self.seconds,
            "stages": {name: asdict(figures.stages) for name, figures in one.items()},
            "latency_ms": {name: asdict(figures.latency) for name, figures in one.items()},
            "rounds": {"portrait": asdict(rates.portraits), "photo": asdict(rates.photos), "bulk": asdict(self.bulk)},
            "hundred_faces": {"found": self.hundred.found, "indexed": self.hundred.indexed},
            "server": {
                "detect_faces_ms": self.overhead.detect_faces_ms,
                "pipeline_ms": self.overhead.pipeline_ms,
                "gallery_faces": self.gallery,
                "memory_mib": self.memory_mib,
            },
            "pictures": asdict(self.pictures),
            "peer": asdict(rates.peer) | {"processes": rates.peer.processes} if rates.peer else None,
            "versions": setup["versions"],
            "when": self.when,
        }
        rounded: dict[str, Any] = _rounded(document)
        return rounded

    def print(self, out: Console) -> None:
        """Show the figures to people."""
        setup, pictures = self.setup, self.pictures
        out.print(
            f"Contract {setup.contract} (face model {setup.face_model_version}) on {setup.runtime} {setup.precision}, "
            f"{setup.threads} threads\n{setup.cpu.model}, {setup.cpu.cores} cores\n"
            f"{pictures.portraits} portraits and {pictures.photos} photographs from {pictures.source}\n",
            soft_wrap=True,
        )
        out.print(self._figures())
        out.print()
        out.print(self._latencies())
        if self.hundred.found != 100:
            out.print(f"\n[yellow]{self.hundred.found} faces were found in the picture of 100 portraits.[/yellow]")
        if self.rates.peer:
            out.print(f"\n{self._comparison(self.rates.peer)}", soft_wrap=True)

    def _figures(self) -> Table:
        memory = "unknown" if self.memory_mib is None else f"{self.memory_mib:,.0f} MiB"
        faces_each = self.pictures.photo_faces / max(1, self.pictures.photos)
        table = Table(box=None, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_column()
        for row in (
            ("Portraits", f"{self.rates.portraits.per_second:,.1f}/s", "250 x 250 pixels, found and embedded"),
            ("Photographs", f"{self.rates.photos.per_second:,.1f}/s", f"1280 pixels long, {faces_each:.1f} faces each"),
            ("Bulk indexing", f"{self.bulk.per_second:,.1f}/s", "portraits, from the file to the commit"),
            ("100 faces found", f"{self.hundred.detect_ms:,.0f} ms", "in 1280 x 1280 pixels"),
            ("100 faces indexed", f"{self.hundred.index_ms:,.0f} ms", "by IndexFaces, from the file to the commit"),
            ("Server overhead", f"{self.overhead.overhead_ms:,.1f} ms", "DetectFaces by boto3, beyond its work"),
            ("Server memory", memory, f"after a search among {self.gallery:,} faces"),
        ):
            table.add_row(*row)
        return table

    def _latencies(self) -> Table:
        table = Table("One after the other, in ms", box=None)
        for heading in ("decode", "detect", "embed", "half within", "9 in 10", "99 in 100"):
            table.add_column(heading, justify="right")
        for name, one in (("Portrait", self.one_portrait), ("Photograph", self.one_photo)):
            figures = (*asdict(one.stages).values(), *asdict(one.latency).values())
            table.add_row(name, *(f"{figure:,.1f}" for figure in figures))
        return table

    def _comparison(self, peer: PeerFigures) -> str:
        processes = "1 process" if peer.processes == 1 else f"{peer.processes} processes"
        return (
            f"On this machine Recognizance analyses [bold]{self.ratio_to_peer:,.1f} times[/bold] as many portraits a "
            f"second as {peer.name} {peer.version}: {self.rates.portraits.per_second:,.1f} against "
            f"{peer.per_second:,.1f} (HOG detection, {processes}). In the {self.pictures.portraits} portraits it finds "
            f"{self.pictures.portrait_faces} faces, {peer.name} {peer.faces_found}."
        )


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float):
        return round(value, _PLACES)
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    return value
