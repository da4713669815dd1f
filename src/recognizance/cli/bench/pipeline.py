"""The bare pipeline, decode, detect and embed: how many pictures a second, and how long one takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from recognizance.cli.bench.timing import Latency, for_seconds
from recognizance.cli.indexing.overlap import unordered
from recognizance.vision.image import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recognizance.vision.analyser import FaceAnalyser
    from recognizance.vision.faces import Faces


@dataclass(frozen=True, slots=True)
class Stages:
    """Half of the pictures take no longer than this in each stage, in milliseconds; medians do not add up."""

    decode: float
    detect: float
    embed: float


@dataclass(frozen=True, slots=True)
class OneThread:
    """How long pictures take one after the other."""

    stages: Stages
    latency: Latency


class Pipeline:
    """Finds and embeds every face of pictures, as an indexer does.

    Args:
        analyser: Does it.
        workers: How many pictures are worked on at once by :meth:`rate`.
    """

    def __init__(self, analyser: FaceAnalyser, workers: int) -> None:
        self._analyser, self._workers = analyser, workers

    def __call__(self, data: bytes) -> Faces:
        """Return a picture's faces, embedded."""
        picture = decode(data)
        return self._analyser.embed(picture, self._analyser.detect(picture))

    def count_faces(self, pictures: Sequence[bytes]) -> int:
        """Return how many faces pictures have; afterwards the networks are warm for pictures of their sizes."""
        return sum(len(self(data)) for data in pictures)

    def rate(self, pictures: Sequence[bytes], seconds: float) -> float:
        """Return how many pictures a second the workers do: all of them, over and over until the time is over."""

        def over_and_over() -> Iterator[bytes]:
            for _ in for_seconds(seconds, least=1):
                yield from pictures

        with ThreadPoolExecutor(self._workers) as pool:
            started = perf_counter()
            count = sum(1 for _ in unordered(pool, self, over_and_over(), ahead=4 * self._workers))
            return count / (perf_counter() - started)

    def one_thread(self, pictures: Sequence[bytes], seconds: float) -> OneThread:
        """Return how long pictures take one after the other."""
        measured = [self._stages(data) for _ in for_seconds(seconds, least=1) for data in pictures]
        stages = np.array(measured) * 1000
        return OneThread(
            Stages(*(float(value) for value in np.median(stages, axis=0))), Latency.of(stages.sum(axis=1).tolist())
        )

    def _stages(self, data: bytes) -> tuple[float, float, float]:
        begun = perf_counter()
        picture = decode(data)
        decoded = perf_counter()
        faces = self._analyser.detect(picture)
        detected = perf_counter()
        self._analyser.embed(picture, faces)
        return decoded - begun, detected - decoded, perf_counter() - detected
