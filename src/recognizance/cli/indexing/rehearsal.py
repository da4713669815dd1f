"""A dry run: real pictures of the source, analysed for a while, tell how long all of it will take."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from rich.table import Table

from recognizance.cli._output import console, messages
from recognizance.cli.indexing.overlap import two_stages
from recognizance.core import clock
from recognizance.core.errors import RecognizanceError, SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from recognizance.operations.local import Analysed

T = TypeVar("T")

_SAMPLE = 5000
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a dry run measured.

    Attributes:
        files: How many files or objects are to be done.
        measured: How many of a random sample were analysed.
        pictures: How many of these had faces that would be stored.
        faces: How many faces.
        seconds: How long that took, on every core.
        now: When it ended.
    """

    files: int
    measured: int
    pictures: int
    faces: int
    seconds: float
    now: datetime

    @property
    def files_per_second(self) -> float:
        """Files dealt with a second."""
        return self.measured / max(self.seconds, 1e-9)

    @property
    def faces_per_hour(self) -> float:
        """Faces embedded an hour."""
        return self.faces / max(self.seconds, 1e-9) * _HOUR

    @property
    def seconds_needed(self) -> float:
        """How long this machine alone will take for everything."""
        return self.files / max(self.files_per_second, 1e-9)

    def summary(self) -> dict[str, Any]:
        """Return the figures."""
        share = self.files / max(self.measured, 1)
        return {
            "files": self.files,
            "files_measured": self.measured,
            "seconds_measured": round(self.seconds, 3),
            "pictures_expected": round(self.pictures * share),
            "faces_expected": round(self.faces * share),
            "files_per_second": round(self.files_per_second, 2),
            "faces_per_hour": round(self.faces_per_hour),
            "seconds_needed": round(self.seconds_needed, 1),
            "finished": self.now + timedelta(seconds=self.seconds_needed),
        }


def sample(items: Iterable[T], size: int = _SAMPLE) -> tuple[list[T], int]:
    """Return at most ``size`` of these items, chosen at random and in random order, and how many there are.

    Every item has the same chance: reservoir sampling, Vitter's algorithm R (ACM TOMS 11(1), 1985).
    """
    chooser = random.Random(1)  # noqa: S311 - no secret
    chosen: list[T] = []
    count = 0
    for count, item in enumerate(items, 1):
        if len(chosen) < size:
            chosen.append(item)
        elif (row := chooser.randrange(count)) < size:
            chosen[row] = item
    chooser.shuffle(chosen)
    return chosen, count


def rehearse(
    items: Iterable[T],
    read: Callable[[T], bytes | None],
    analyse: Callable[[bytes], Analysed],
    *,
    readers: int,
    workers: int,
    seconds: float,
) -> Rehearsal:
    """Analyse a random sample of these, over and over if need be, for so many seconds; nothing is stored.

    Args:
        items: What is to be done.
        read: Returns the bytes of one, or None if it is no picture.
        analyse: Analyses a picture.
        readers: Pictures read at once.
        workers: Pictures analysed at once.
        seconds: How long.

    Raises:
        SetupError: There is nothing to be done.
    """
    chosen, count = sample(items)
    if not chosen:
        raise SetupError("There is nothing to do: no file is new.")

    def faces(data: bytes | None) -> int:
        try:
            return 0 if data is None else len(analyse(data))
        except RecognizanceError:
            return 0  # refused, which takes its time too

    def content(item: T) -> bytes | None:
        try:
            return read(item)
        except (RecognizanceError, OSError):
            return None

    warm = content(chosen[0])
    faces(warm)  # networks load at the first picture
    begun = time.monotonic()
    with two_stages(
        _over_and_over(chosen, begun + seconds), content, faces, readers=readers, workers=workers
    ) as results:
        found = list(results)
    elapsed = time.monotonic() - begun
    return Rehearsal(count, len(found), sum(map(bool, found)), sum(found), elapsed, clock.now())


def _over_and_over(items: Sequence[T], end: float) -> Iterator[T]:
    while True:
        for item in items:
            yield item
            if time.monotonic() >= end:
                return


def show(rehearsal: Rehearsal) -> None:
    """Print the figures."""
    summary = rehearsal.summary()
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for label, value in (
        ("Files to do", f"{summary['files']:,}"),
        ("Measured", f"{summary['files_measured']:,} files in {summary['seconds_measured']:,.1f} s"),
        ("Pictures that will be indexed", f"about {summary['pictures_expected']:,}"),
        ("Faces", f"about {summary['faces_expected']:,}"),
        ("Speed", f"{summary['files_per_second']:,.1f} files/s, {summary['faces_per_hour']:,} faces an hour"),
        ("Time on this machine", spoken(summary["seconds_needed"])),
        ("Finished, if begun now", f"{summary['finished'].astimezone():%Y-%m-%d %H:%M}"),
    ):
        table.add_row(label, value)
    console().print(table)
    messages().print("Nothing was stored.")


def spoken(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:,.0f} s"
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    if days:
        return f"{days:,} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
