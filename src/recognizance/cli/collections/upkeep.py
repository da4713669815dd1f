"""Looking after the indexes of collections by hand."""

from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from recognizance.cli._bars import bar
from recognizance.cli._options import Data, Json
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.cli._session import Session, open_session
from recognizance.cli.collections.app import EveryName, app
from recognizance.cli.collections.manage import names
from recognizance.collections.maintenance import Verification
from recognizance.core.settings import load_settings


@app.command()
@plain_errors
def verify(name: EveryName = None, data: Data = None, json: Json = False) -> None:
    """Compare the index with the database.

    Row for row; and fast searches with exact ones, for the neighbours of 200 stored faces. The exit code is 1 when an
    index does not hold what the database does; `recognizance collections rebuild` is the cure. Changes nothing.
    """
    found: dict[str, Verification] = {}
    with open_session(load_settings(data=data)) as session:
        for one in _chosen(session, name):
            with bar(f"Verifying {one}") as progress:
                found[one] = session.services.collections.verify(one, progress)
            session.services.collections.let_go(one)
    if json:
        print_json([_verification(one, result) for one, result in found.items()])
    else:
        _print(found)
    if not all(result.sound for result in found.values()):
        raise typer.Exit(1)


def _verification(name: str, found: Verification) -> dict[str, Any]:
    return {
        "collection": name,
        "sound": found.sound,
        "faces": found.faces,
        "users": found.users,
        "missing": found.missing,
        "different": found.different,
        "superfluous": found.superfluous,
        "probes": found.probes,
        "recall_at_1": found.recall_at_1,
        "recall_at_10": found.recall_at_10,
    }


def _print(found: dict[str, Verification]) -> None:
    table = Table("Collection", box=None)
    for heading in ("Faces", "Users", "Recall at 1", "at 10"):
        table.add_column(heading, justify="right")
    table.add_column("Index")
    for name, one in found.items():
        troubles = {"missing": one.missing, "different": one.different, "superfluous": one.superfluous}
        bad = ", ".join(f"{count:,} {what}" for what, count in troubles.items() if count)
        state = "[green]sound[/green]" if one.sound else f"[red]{bad}[/red]"
        recalls = ("-" if recall is None else f"{recall:.4f}" for recall in (one.recall_at_1, one.recall_at_10))
        table.add_row(escape(name), f"{one.faces:,}", f"{one.users:,}", *recalls, state)
    console().print(table)
    for name, one in found.items():
        if not one.sound:
            messages().print(f"To mend it: recognizance collections rebuild {escape(name)}", soft_wrap=True)


@app.command()
@plain_errors
def rebuild(name: EveryName = None, data: Data = None, json: Json = False) -> None:
    """Build the index anew from the database.

    Never needed in ordinary use: an index that is missing, old or damaged is rebuilt by whoever opens it.
    """
    with open_session(load_settings(data=data)) as session:
        done = _chosen(session, name)
        for one in done:
            with bar(f"Rebuilding {one}") as progress:
                session.services.collections.rebuild(one, progress)
            session.services.collections.let_go(one)  # there may be more than a process may open files
    _print_done("Rebuilt", done, json=json)


@app.command()
@plain_errors
def compact(name: EveryName = None, data: Data = None, json: Json = False) -> None:
    """Write the index's files anew without deleted faces.

    The database overwrites a deleted face at once; the files of the index drop it when they are next written, which a
    running server does by itself in time.
    """
    with open_session(load_settings(data=data)) as session:
        done = _chosen(session, name)
        for one in done:
            session.services.collections.compact(one)
            session.services.collections.let_go(one)
    _print_done("Compacted", done, json=json)


def _chosen(session: Session, name: str | None) -> list[str]:
    return [name] if name is not None else names(session)


def _print_done(what: str, done: list[str], *, json: bool) -> None:
    if json:
        print_json({"collections": done})
    else:
        messages().print(f"{what} {escape(', '.join(done))}." if done else "There are no collections.")
