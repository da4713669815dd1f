"""``recognizance jobs``: bulk indexing jobs, which several machines may work on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from recognizance.cli._options import Data, Json, Yes
from recognizance.cli._output import confirm, console, messages, plain_errors, print_json
from recognizance.cli._session import open_session
from recognizance.cli.indexing import summary
from recognizance.cli.indexing.screen import report_to
from recognizance.core.errors import SetupError
from recognizance.core.settings import load_settings
from recognizance.storage.repositories import bulk_jobs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from recognizance.storage.repositories.bulk_jobs import JobRow

app = typer.Typer(no_args_is_help=True, help="List, examine and delete bulk indexing jobs.")

Name = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's name: that given with --job, or the source: s3://bucket/prefix.")
]
Of = Annotated[
    str | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME",
        help="The collection, where jobs of several have the name.",
        show_default=False,
    ),
]


@app.command("list")
@plain_errors
def list_jobs(data: Data = None, json: Json = False) -> None:
    """List the jobs, the newest last, with how far they are."""
    with open_session(load_settings(data=data)) as session, session.services.database.read() as connection:
        found = [summary.of_job(connection, job) for job in bulk_jobs.every(connection)]
    if json:
        print_json(found)
        return
    if not found:
        messages().print("There are no jobs. To begin one: recognizance index s3://BUCKET/PREFIX --collection NAME")
        return
    table = Table("Job", "Collection", "State", "Objects", "Done", "Faces", "Processes", box=None)
    for one in found:
        table.add_row(
            escape(one["job"]),
            escape(one["collection"]),
            one["state"],
            f"{one['objects']:,}",
            f"{one['objects_done']:,}",
            f"{one['faces_added']:,}",
            f"{len(one['processes']):,}",
        )
    for column in table.columns[3:]:
        column.justify = "right"
    console().print(table)


@app.command()
@plain_errors
def show(
    name: Name,
    collection: Of = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a CSV file of what was refused or set aside, and why.", show_default=False
        ),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show how far a job is, who works on it, and what it refused."""
    with open_session(load_settings(data=data)) as session, session.services.database.read() as connection:
        job = _find(connection, name, collection)
        found = summary.of_job(connection, job)
        with report_to(report) as on_refused:
            for row in summary.refusals(connection, job):
                on_refused(*row)
    if json:
        print_json(found)
        return
    summary.print_job(found, "To see which, add --report refused.csv." if report is None else None)
    for process in found["processes"]:
        console().print(f"At work: {escape(process)}")


@app.command()
@plain_errors
def delete(name: Name, collection: Of = None, data: Data = None, yes: Yes = False, json: Json = False) -> None:
    """Delete a job and what it knows of the objects that are done. The faces stay.

    Processes that work on it stop at their next chunk.
    """
    with open_session(load_settings(data=data)) as session:
        database = session.services.database
        with database.read() as connection:
            job = _find(connection, name, collection)
        confirm(f"Delete the job {name} of the collection {job.collection_id}? Its faces stay.", yes=yes)
        with database.begin() as connection:
            bulk_jobs.delete(connection, job.collection_pk, job.name)
    if json:
        print_json({"job": job.name, "collection": job.collection_id})
        return
    messages().print(f"Deleted {escape(name)}.")


def _find(connection: Connection, name: str, collection: str | None) -> JobRow:
    found = [
        job
        for job in bulk_jobs.every(connection)
        if job.name in {name, name + "/"} and collection in {None, job.collection_id}
    ]
    if not found:
        raise SetupError(f"There is no job {name}. To see those that there are: recognizance jobs list")
    if len(found) > 1:
        of = ", ".join(job.collection_id for job in found)
        raise SetupError(f"Several collections have a job {name}: {of}. Say which with --collection.")
    return found[0]
