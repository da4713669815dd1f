"""Clocks and the figures made from them.

Other programs make a machine slower and never faster, so every figure is a median of many short measurements, and
things that are compared are measured in turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, ParamSpec, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = ParamSpec("P")


def milliseconds(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Return how long a call takes, in milliseconds."""
    started = perf_counter()
    work(*args, **kwargs)
    return (perf_counter() - started) * 1000


def for_seconds(seconds: float, least: int) -> Iterator[int]:
    """Count turns from 0 on until this time is over, but at least so many."""
    deadline = perf_counter() + seconds
    turn = 0
    while turn < least or perf_counter() < deadline:
        yield turn
        turn += 1


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something takes, in milliseconds: half, nine tenths and 99 in 100 of the calls take no longer."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, measured: Sequence[float]) -> Self:
        """Return the percentiles of measured times."""
        return cls(*(float(value) for value in np.percentile(measured, (50, 90, 99))))


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of something a second, measured in rounds.

    Attributes:
        per_second: The median of the rounds.
        slowest: The slowest round.
        fastest: The fastest round.
        rounds: How many there were.
    """

    per_second: float
    slowest: float
    fastest: float
    rounds: int

    @classmethod
    def of(cls, measured: Sequence[float]) -> Self:
        """Return what rounds come to, at least one of them."""
        return cls(float(np.median(measured)), min(measured), max(measured), len(measured))
