"""Bars that show how far long work is, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from recognizance.cli._output import messages

Tell = Callable[[int, int], None]
"""Told how many are done, and of how many."""


class _CountColumn(ProgressColumn):
    """How many of how many, with separators, and how many a second."""

    def render(self, task: Task) -> Text:
        total = "?" if task.total is None else f"{int(task.total):,}"
        speed = f"  {task.speed:,.0f}/s" if task.speed else ""
        return Text(f"{int(task.completed):,}/{total}{speed}", style="progress.download")


@contextmanager
def bar(description: str, unit: Literal["rows", "bytes"] = "rows") -> Iterator[Tell]:
    """Show a bar on standard error while the work goes on, if that is a terminal; give what is to be told."""
    terminal = messages()
    count = DownloadColumn() if unit == "bytes" else _CountColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as shown:
        task = shown.add_task(description, total=None)

        def tell(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield tell
