"""Collections to Parquet files and back."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from recognizance.cli._bars import bar
from recognizance.cli._options import Data, Json
from recognizance.cli._output import messages, plain_errors, print_json
from recognizance.cli._session import open_session
from recognizance.cli.collections.app import Name, app
from recognizance.collections.transfer import open_incoming
from recognizance.core.settings import load_settings

Faces = Annotated[Path, typer.Argument(metavar="FILE.parquet", help="The table of faces.")]


@app.command("export")
@plain_errors
def export_collection(name: Name, file: Faces, data: Data = None, json: Json = False) -> None:
    """Write a collection to Parquet files.

    They are for other tools and other installations, and show one moment; servers may go on. Faces go into
    FILE.parquet; users, where there are any, into FILE.users.parquet beside it.
    """
    started = time.monotonic()
    with open_session(load_settings(data=data)) as session, bar(f"Exporting {name}") as progress:
        written = session.services.collections.export_collection(name, file, progress)
    seconds = time.monotonic() - started
    if json:
        print_json(
            {
                "collection": name,
                "faces": written.faces,
                "users": written.users,
                "file": written.path,
                "users_file": None if written.users_path is None else str(written.users_path),
                "seconds": round(seconds, 3),
            }
        )
        return
    beside = f" and {written.users:,} users to {written.users_path}" if written.users_path else ""
    messages().print(
        f"Exported {written.faces:,} faces to {escape(str(written.path))}{escape(beside)} in {seconds:,.1f} s. "
        "They hold face vectors: keep them safe.",
        soft_wrap=True,
    )


@app.command("import")
@plain_errors
def import_collection(
    file: Faces,
    *,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="NAME",
            help="Where to; by default the name that it was exported under. It is made if need be.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Store the faces of an exported collection.

    Every value and the digests are checked before anything is written. Faces keep their ids, and those that are there
    already are passed over: what was interrupted can be done again.
    """
    started = time.monotonic()
    with open_session(load_settings(data=data)) as session, open_incoming(file) as incoming:
        name = collection or incoming.about.collection
        session.check("CreateCollection", CollectionId=name)
        with bar("Checking") as checking:
            incoming.verify(checking)
        with bar(f"Importing {name}") as progress:
            done = session.services.collections.import_collection(incoming, name, progress)
    seconds = time.monotonic() - started
    summary: dict[str, Any] = {
        "collection": done.collection_id,
        "created": done.created,
        "faces_added": done.faces_added,
        "faces_already_there": done.faces_existing,
        "users_added": done.users_added,
        "seconds": round(seconds, 3),
    }
    if json:
        print_json(summary)
        return
    made = " It was made by this." if done.created else ""
    messages().print(
        f"Imported {done.faces_added:,} faces and {done.users_added:,} users into {escape(done.collection_id)} in "
        f"{seconds:,.1f} s; {done.faces_existing:,} faces were there already.{made}",
        soft_wrap=True,
    )
