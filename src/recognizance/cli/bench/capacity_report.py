"""What one machine serves, for programs, for people, and for a README."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from rich.table import Table

from recognizance.cli.bench.machine import cpu, installed_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

_PACKAGES = ("recognizance", "openvino", "onnxruntime", "numpy", "faiss-cpu", "uvicorn", "boto3")
_NAMES = {"search_faces": "SearchFaces", "search_faces_by_image": "SearchFacesByImage"}
_HEADINGS = ("", "faces", "clients", "a second", "half within", "99 in 100 within", "a million cost")


@dataclass(frozen=True, slots=True)
class Served:
    """What clients got that sent each request when they had the answer to the last.

    Attributes:
        per_second: Requests a second of them all.
        p50_ms: Half of the requests took no longer.
        p99_ms: 99 in 100 took no longer.
        requests: How many were measured.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int

    @classmethod
    def of(cls, ms: Sequence[float], per_second: float) -> Self:
        """Return the figures of measured times."""
        p50, p99 = np.percentile(ms, (50, 99)).tolist()
        return cls(per_second, p50, p99, len(ms))


@dataclass(frozen=True, slots=True)
class CapacityReport:
    """Everything that ``recognizance bench capacity`` measures. Pairs are of one client and of several.

    Attributes:
        contract: The model contract.
        faces: Faces that the index was searched with.
        server_faces: Faces of the server's collection.
        clients: How many clients "several" are.
        price_per_hour: What an hour of this machine costs, as the caller says.
        faces_per_hour: Faces that ``recognizance index`` stores in an hour.
        pictures: Where the portraits were from, in words.
        index: Searches of the index alone, in its own process.
        served: Requests to a server, by operation.
        when: When the run ended, ISO 8601, UTC.
    """

    contract: str
    faces: int
    server_faces: int
    clients: int
    price_per_hour: float
    faces_per_hour: float
    pictures: str
    index: tuple[Served, Served]
    served: dict[str, tuple[Served, Served]]
    when: str

    def cost_per_million(self, per_hour: float) -> float:
        """Return what a million of something costs that this machine does so many times an hour."""
        return self.price_per_hour / per_hour * 1e6

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON document."""
        return {
            "faces_per_hour": round(self.faces_per_hour),
            "cost_per_million_faces_indexed": round(self.cost_per_million(self.faces_per_hour), 4),
            "index": self._pair(self.index),
            **{operation: self._pair(pair) for operation, pair in self.served.items()},
            "faces": self.faces,
            "server_faces": self.server_faces,
            "clients": self.clients,
            "price_per_hour": self.price_per_hour,
            "contract": self.contract,
            "pictures": self.pictures,
            "cpu": asdict(cpu()),
            "versions": installed_versions(_PACKAGES),
            "when": self.when,
        }

    def _pair(self, pair: tuple[Served, Served]) -> dict[str, Any]:
        return {
            f"clients_{number}": {name: round(value, 3) for name, value in asdict(served).items()}
            | {"cost_per_million": round(self.cost_per_million(served.per_second * 3600), 4)}
            for number, served in zip((1, self.clients), pair, strict=True)
        }

    def print(self, out: Console) -> None:
        """Show the figures to people."""
        for line in self._introduction():
            out.print(line, soft_wrap=True)
        out.print()
        table = Table(box=None)
        for heading in _HEADINGS:
            table.add_column(heading, justify="left" if not heading else "right")
        for row in self._rows():
            table.add_row(*row)
        out.print(table)

    def to_markdown(self) -> str:
        """Return the figures as a table for a README."""
        lines = [f"| {' | '.join(_HEADINGS)} |", "|---|" + "---:|" * (len(_HEADINGS) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in self._rows()]
        return "\n\n".join(self._introduction()) + "\n\n" + "\n".join(lines)

    def _introduction(self) -> Iterator[str]:
        machine = cpu()
        yield f"{machine.model}, {machine.cores} cores, at {self.price_per_hour:g} an hour; contract {self.contract}"
        yield (
            f"Indexed in an hour: {self.faces_per_hour:,.0f} faces from portraits ({self.pictures}); a million cost "
            f"{self.cost_per_million(self.faces_per_hour):,.2f}"
        )

    def _rows(self) -> Iterator[tuple[str, ...]]:
        sources = [("Index alone", self.faces, self.index)]
        sources += [(_NAMES[operation], self.server_faces, pair) for operation, pair in self.served.items()]
        for name, faces, pair in sources:
            for clients, served in zip((1, self.clients), pair, strict=True):
                yield (
                    name,
                    f"{faces:,}",
                    str(clients),
                    f"{served.per_second:,.1f}",
                    f"{served.p50_ms:,.1f} ms",
                    f"{served.p99_ms:,.1f} ms",
                    f"{self.cost_per_million(served.per_second * 3600):,.2f}",
                )
