"""``recognizance index``: the faces of a folder of pictures into a collection."""

import csv
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from recognizance.cli._options import Collection, Contract, Data, Json, Models
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.cli._session import Session, open_session
from recognizance.cli.indexing import pictures
from recognizance.cli.indexing.journal import Journal
from recognizance.cli.indexing.names import Kind, external_id
from recognizance.cli.indexing.run import Run, Tally
from recognizance.cli.indexing.walk import walk
from recognizance.core.errors import ResourceNotFoundError, SetupError
from recognizance.core.settings import load_settings_and_origins
from recognizance.operations.local import BulkIndexer

_MEANINGS = {
    "InvalidImageFormatException": "not a JPEG or PNG, or damaged",
    "ImageTooLargeException": "more than 15 MiB or 64 megapixels",
    "InvalidParameterException": "a side of fewer than 80 pixels",
    pictures.NO_FACE: "no face was found",
    pictures.REJECTED: "every face failed the quality filter",
    pictures.UNREADABLE: "the file could not be read",
    pictures.FAULT: "a fault of this program; the log has it",
}

Report = Callable[[Path, str, str], None]


@plain_errors
def command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of JPEG and PNG files; sub-folders are searched too.")
    ],
    *,
    collection: Collection,
    create: Annotated[bool, typer.Option("--create", help="Create the collection if it does not exist.")] = False,
    names: Annotated[
        Kind,
        typer.Option(
            "--external-id",
            help="What a face's ExternalImageId is made from: the file's name, the name without its ending (stem), the "
            "name of the folder it lies in (one folder a person), or nothing.",
        ),
    ] = "file",
    quality_filter: Annotated[
        Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"],
        typer.Option(help="How good a face must be to be stored.", case_sensitive=False),
    ] = "AUTO",
    max_faces: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=100, help="Store at most so many faces of a picture.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=256, help="Pictures worked on at once. [default: two a core]", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a CSV file of the files that were refused, and why.", show_default=False
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Do files again that an earlier run has done.")] = False,
    data: Data = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Store the faces of a folder of pictures in a collection.

    It may be interrupted and run again: files that are done and have not changed are skipped. Files that are no
    pictures are passed over; pictures that cannot be used are counted and do not stop the others.
    """
    if not folder.is_dir():
        raise SetupError(f"{folder} is not a folder.")
    folder = folder.resolve()
    settings, origins = load_settings_and_origins(data=data, contract=contract, models=models)
    if origins["streams"] == "default":
        settings = settings.model_copy(update={"streams": 0})  # nobody waits for a single picture
    how = f"{quality_filter} {max_faces}"
    started = time.monotonic()
    with open_session(settings) as session:
        found = _collection(session, collection, create=create)
        indexer = BulkIndexer(session.context(), collection, quality_filter=quality_filter, max_faces=max_faces)
        with (
            Journal(settings.data, found["CollectionARN"], found["CreationTimestamp"].isoformat(), how) as journal,
            _progress(folder) as on_file,
            _report(report) as on_refused,
        ):
            run = Run(
                indexer,
                journal,
                name=lambda path: external_id(path, names),
                workers=workers or 2 * (len(os.sched_getaffinity(0))),
                again=again,
                on_file=on_file,
                on_refused=on_refused,
            )
            with _stopped_by_interrupt(run):
                run(folder)
        count = session.call("DescribeCollection", CollectionId=collection)["FaceCount"]
    if run.stopped:
        done = run.tally.pictures
        messages().print(f"Stopped. {done:,} pictures are done; run the same command again to go on.")
        raise typer.Exit(130)
    summary = _summary(run.tally, time.monotonic() - started) | {"collection": collection, "face_count": count}
    if json:
        print_json(summary)
    else:
        _print(summary, report)


def _collection(session: Session, name: str, *, create: bool) -> dict[str, Any]:
    """Return the collection's description, after making it where that is wanted."""
    try:
        return session.call("DescribeCollection", CollectionId=name)
    except ResourceNotFoundError as error:
        if not create:
            raise SetupError(f"There is no collection {name}. To make it, add --create.") from error
    session.call("CreateCollection", CollectionId=name)
    return session.call("DescribeCollection", CollectionId=name)


@contextmanager
def _stopped_by_interrupt(run: Run) -> Iterator[None]:
    """Let Ctrl-C end the run in order. A second one ends the program where it stands."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, previous)
        run.stop()

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _summary(tally: Tally, seconds: float) -> dict[str, Any]:
    return {
        "pictures_indexed": tally.pictures,
        "faces_added": tally.faces_added,
        "faces_already_there": tally.faces_known,
        "files_skipped": tally.skipped,
        "other_files": tally.others,
        "refused": dict(tally.refused.most_common()),
        "faces_rejected": dict(tally.rejected.most_common()),
        "seconds": round(seconds, 3),
    }


def _print(summary: dict[str, Any], report: Path | None) -> None:
    out = console()
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    seconds = summary["seconds"]
    for label, value in (
        ("Pictures indexed", f"{summary['pictures_indexed']:,}"),
        ("Faces added", f"{summary['faces_added']:,}"),
        ("Faces that were there already", f"{summary['faces_already_there']:,}"),
        ("Files done by an earlier run", f"{summary['files_skipped']:,}"),
        ("Files that are no pictures", f"{summary['other_files']:,}"),
        (f"Faces in {escape(summary['collection'])} now", f"{summary['face_count']:,}"),
        ("Time", f"{seconds:,.1f} s, {summary['pictures_indexed'] / max(seconds, 1e-9):,.1f} pictures/s"),
    ):
        table.add_row(label, value)
    out.print(table)
    if summary["refused"]:
        refused = Table("Refused", "Pictures", "Why", box=None, title_justify="left")
        refused.columns[1].justify = "right"
        for code, count in summary["refused"].items():
            refused.add_row(code, f"{count:,}", _MEANINGS.get(code, ""))
        out.print()
        out.print(refused)
        if report is None:
            messages().print("To see which, add --report refused.csv.")
    if summary["faces_rejected"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["faces_rejected"].items())
        out.print(f"\nFaces left out by the quality filter: {reasons}", soft_wrap=True)


class _RateColumn(ProgressColumn):
    """Files a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def _progress(folder: Path) -> Iterator[Callable[[], None]]:
    """Show how far the run is, on a terminal; give what is to be called for every file."""
    terminal = messages()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("Indexing", total=None)

        def count() -> None:  # meanwhile the work has begun
            bar.update(task, total=sum(1 for _ in walk(folder)))

        if terminal.is_terminal:
            threading.Thread(target=count, daemon=True).start()
        yield lambda: bar.advance(task)


@contextmanager
def _report(path: Path | None) -> Iterator[Report]:
    """Give what is to be called for every refusal, which writes it to the file."""
    if path is None:
        yield lambda _path, _code, _detail: None
        return
    try:
        file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
    with file:
        rows = csv.writer(file)
        rows.writerow(["path", "code", "detail"])
        yield lambda refused, code, detail: rows.writerow([str(refused), code, detail]) and None
