"""What a run shows and writes while it goes on: a bar, a report of refusals; and how it is stopped."""

from __future__ import annotations

import csv
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from recognizance.cli._output import messages
from recognizance.cli.indexing.walk import walk
from recognizance.core.errors import SetupError
from recognizance.storage.repositories import bulk_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from rich.progress import Task

    from recognizance.storage.database import Database

_LOOK_SECONDS = 1.0


class Stoppable(Protocol):
    """What can be told to stop."""

    def stop(self) -> None:
        """Stop soon, in order."""
        ...


@contextmanager
def stopped_by_signals(run: Stoppable) -> Iterator[None]:
    """Let Ctrl-C, or what shuts the machine down, end a run in order. A second one ends the program where it stands."""
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        restore()
        run.stop()

    for number in signals:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


class _RateColumn(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def _bar() -> Iterator[Progress]:
    terminal = messages()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        yield bar


@contextmanager
def folder_progress(folder: Path) -> Iterator[Callable[[], None]]:
    """Show how far the run is, on a terminal; give what is to be called for every file."""
    with _bar() as bar:
        task = bar.add_task("Indexing", total=None)

        def count() -> None:  # meanwhile the work has begun
            bar.update(task, total=sum(1 for _ in walk(folder)))

        if not bar.disable:
            threading.Thread(target=count, daemon=True).start()
        yield lambda: bar.advance(task)


@contextmanager
def job_progress(database: Database, job_pk: int) -> Iterator[Callable[[], None]]:
    """Show how far a job is, over all machines, on a terminal; give what is to be called now and then."""
    with _bar() as bar:
        task = bar.add_task("Indexing", total=None)
        lock = threading.Lock()
        looked = -_LOOK_SECONDS

        def look() -> None:
            nonlocal looked
            with lock:
                if bar.disable or time.monotonic() - looked < _LOOK_SECONDS:
                    return
                looked = time.monotonic()
            with database.read() as connection:
                job = bulk_jobs.get(connection, job_pk)
                holders = bulk_jobs.counts(connection, job_pk).holders
            if job is not None:
                machines = len({holder.rpartition(":")[0] for holder in holders})
                where = f" on {machines} machines" if machines > 1 else ""
                total = job.objects if job.listed else None
                bar.update(task, description=f"Indexing{where}", completed=job.dealt_with, total=total)

        yield look


@contextmanager
def report_to(path: Path | None) -> Iterator[Callable[[object, str, str], None]]:
    """Give what is to be called for every refusal, with name, code and detail: it writes them to a CSV file."""
    if path is None:
        yield lambda _name, _code, _detail: None
        return
    try:
        file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
    with file:
        rows = csv.writer(file)
        rows.writerow(["path", "code", "detail"])
        yield lambda name, code, detail: rows.writerow([str(name), code, detail]) and None
