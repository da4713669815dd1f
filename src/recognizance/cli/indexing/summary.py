"""What a run or a job has done, as a document and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from recognizance.cli._output import console, messages
from recognizance.cli.indexing import pictures
from recognizance.cli.indexing.jobs import key_text, unpack
from recognizance.storage.repositories import bulk_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import Connection

    from recognizance.cli.indexing.run import Tally
    from recognizance.storage.repositories.bulk_jobs import JobRow

_MEANINGS = {
    "InvalidImageFormatException": "not a JPEG or PNG, or damaged",
    "ImageTooLargeException": "more than 15 MiB or 64 megapixels",
    "InvalidParameterException": "a side of fewer than 80 pixels",
    pictures.NO_FACE: "no face was found",
    pictures.REJECTED: "every face failed the quality filter",
    pictures.UNREADABLE: "it could not be read",
    pictures.FAULT: "a fault of this program; the log has it",
    "SetAside": "it ended the program, or its machine, three times",
}


def of_run(tally: Tally, seconds: float, collection: str, face_count: int) -> dict[str, Any]:
    """Return what a run over a folder has done."""
    return {
        "pictures_indexed": tally.pictures,
        "pictures_renamed": tally.renamed,
        "faces_added": tally.faces_added,
        "faces_already_there": tally.faces_known,
        "files_skipped": tally.skipped,
        "other_files": tally.others,
        "refused": dict(tally.refused.most_common()),
        "faces_rejected": dict(tally.rejected.most_common()),
        "seconds": round(seconds, 3),
        "collection": collection,
        "face_count": face_count,
    }


def of_job(connection: Connection, job: JobRow) -> dict[str, Any]:
    """Return how a job stands, over all machines."""
    chunks = bulk_jobs.counts(connection, job.pk)
    listing = bulk_jobs.LISTINGS.counts(connection, bulk_jobs.only(job.pk))
    refused = bulk_jobs.refused_counts(connection, job.pk)
    aside = sum(len(unpack(content)) for content, _ in bulk_jobs.set_aside(connection, job.pk))
    if aside:
        refused["SetAside"] = aside
    return {
        "job": job.name,
        "run": job.run,
        "collection": job.collection_id,
        "source": job.source,
        "state": "finished" if job.finished_at else "under way" if chunks.held or listing.held else "interrupted",
        "listed": job.listed,
        "objects": job.objects,
        "objects_done": job.dealt_with,
        "objects_skipped": job.skipped,
        "objects_set_aside": aside,
        "pictures_indexed": job.pictures,
        "faces_added": job.faces_added,
        "faces_already_there": job.faces_known,
        "other_objects": job.others,
        "refused": dict(refused.most_common()),
        "faces_rejected": dict(sorted(job.rejected.items(), key=lambda item: -item[1])),
        "processes": sorted({*chunks.holders, *listing.holders}),
        "begun": job.created_at,
        "finished": job.finished_at,
    }


def refusals(connection: Connection, job: JobRow) -> Iterable[tuple[str, str, str]]:
    """Give key, code and detail of everything that a job refused or set aside."""
    for one in bulk_jobs.refused(connection, job.pk):
        yield key_text(one.name), one.code, one.detail
    for content, trouble in bulk_jobs.set_aside(connection, job.pk):
        for entry in unpack(content):
            yield key_text(entry.key.encode("utf-8", "surrogateescape")), "SetAside", trouble or ""


def print_run(summary: dict[str, Any], report: Path | None) -> None:
    """Print what a run over a folder has done."""
    seconds = summary["seconds"]
    _print_rows(
        ("Pictures indexed", f"{summary['pictures_indexed']:,}"),
        ("Of these known by their content", f"{summary['pictures_renamed']:,}"),
        ("Faces added", f"{summary['faces_added']:,}"),
        ("Faces that were there already", f"{summary['faces_already_there']:,}"),
        ("Files done by an earlier run", f"{summary['files_skipped']:,}"),
        ("Files that are no pictures", f"{summary['other_files']:,}"),
        (f"Faces in {escape(summary['collection'])} now", f"{summary['face_count']:,}"),
        ("Time", f"{seconds:,.1f} s, {summary['pictures_indexed'] / max(seconds, 1e-9):,.1f} pictures/s"),
    )
    _print_refused(summary, "To see which, add --report refused.csv." if report is None else None)


def print_job(summary: dict[str, Any], hint: str | None) -> None:
    """Print how a job stands; ``hint`` tells how to see what was refused."""
    begun, finished = summary["begun"], summary["finished"]
    rows = [
        ("Job", escape(summary["job"]) + (f", run {summary['run']}" if summary["run"] > 1 else "")),
        ("State", summary["state"]),
        ("Processes at work", f"{len(summary['processes']):,}"),
        ("Objects listed" + ("" if summary["listed"] else " so far"), f"{summary['objects']:,}"),
        ("Objects done", f"{summary['objects_done']:,}"),
        ("Objects done by an earlier run", f"{summary['objects_skipped']:,}"),
        ("Pictures indexed", f"{summary['pictures_indexed']:,}"),
        ("Faces added", f"{summary['faces_added']:,}"),
        ("Faces that were there already", f"{summary['faces_already_there']:,}"),
        ("Objects that are no pictures", f"{summary['other_objects']:,}"),
    ]
    if finished is not None:
        seconds = max((finished - begun).total_seconds(), 1e-9)
        rows.append(
            ("Time, on all machines", f"{seconds:,.1f} s, {summary['pictures_indexed'] / seconds:,.1f} pictures/s")
        )
    _print_rows(*rows)
    _print_refused(summary, hint)


def _print_rows(*rows: tuple[str, str]) -> None:
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for label, value in rows:
        table.add_row(label, value)
    console().print(table)


def _print_refused(summary: dict[str, Any], hint: str | None) -> None:
    out = console()
    if summary["refused"]:
        refused = Table("Refused", "Pictures", "Why", box=None, title_justify="left")
        refused.columns[1].justify = "right"
        for code, count in summary["refused"].items():
            refused.add_row(code, f"{count:,}", _MEANINGS.get(code, ""))
        out.print()
        out.print(refused)
        if hint is not None:
            messages().print(hint, soft_wrap=True)
    if summary["faces_rejected"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["faces_rejected"].items())
        out.print(f"\nFaces left out by the quality filter: {reasons}", soft_wrap=True)
