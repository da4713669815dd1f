"""``recognizance serve`` in a process of its own, seen from a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recognizance.cli.bench.timing import for_seconds, milliseconds
from recognizance.vision.image import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recognizance.cli._server import RunningServer
    from recognizance.vision.analyser import FaceAnalyser

_LEAST_TURNS = 20
_RESIDENT = "process_resident_memory_bytes "


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a request costs beyond its work, in milliseconds.

    Attributes:
        overhead_ms: The difference of the other two.
        detect_faces_ms: The median of DetectFaces by boto3, over a socket.
        pipeline_ms: The median of decoding the same picture and finding its faces, without a server.
    """

    overhead_ms: float
    detect_faces_ms: float
    pipeline_ms: float


class Client:
    """A client of a server that is measured.

    Args:
        server: The server.
    """

    def __init__(self, server: RunningServer) -> None:
        self._endpoint, self._client = server.endpoint, server.client()

    def overhead(self, analyser: FaceAnalyser, portraits: Sequence[bytes], seconds: float) -> Overhead:
        """Measure DetectFaces and the bare pipeline in turns, picture by picture.

        Whatever else the machine does then slows both down alike.
        """

        def bare(data: bytes) -> None:
            analyser.detect(decode(data))

        def served(data: bytes) -> None:
            self._client.detect_faces(Image={"Bytes": data})

        for data in portraits[:3]:  # connection, models and caches
            served(data)
            bare(data)
        through_server, without = [], []
        for turn in for_seconds(seconds, _LEAST_TURNS):
            data = portraits[turn % len(portraits)]
            through_server.append(milliseconds(served, data))
            without.append(milliseconds(bare, data))
        served_ms, bare_ms = float(np.median(through_server)), float(np.median(without))
        return Overhead(served_ms - bare_ms, served_ms, bare_ms)

    def search(self, collection: str, portraits: Sequence[bytes]) -> None:
        """Search a collection for the first of the portraits in which a face is found."""
        for data in portraits:
            try:
                self._client.search_faces_by_image(CollectionId=collection, Image={"Bytes": data})
            except self._client.exceptions.InvalidParameterException:
                continue
            return

    def memory_mib(self) -> float | None:
        """Return the memory that the process has in use, as it says of itself; None where it cannot tell."""
        import requests

        with requests.Session() as http:
            http.trust_env = False  # no proxy stands between a program and its own machine
            text = http.get(f"{self._endpoint}/metrics", timeout=30).text
        found = [float(line.split()[1]) for line in text.splitlines() if line.startswith(_RESIDENT)]
        return found[0] / 2**20 if found else None
