"""``recognizance backup``: the whole database into a folder or an archive, while servers go on."""

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from recognizance.cli._bars import bar
from recognizance.cli._options import Data, DatabaseUrl, Json
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.core import log
from recognizance.core.settings import load_settings
from recognizance.governance import keyfile
from recognizance.storage.backup import Manifest, back_up, open_existing


@plain_errors
def command(
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="BACKUP", help="A path that does not exist: one file where it ends with .zip, else a folder."
        ),
    ],
    *,
    without_keys: Annotated[
        bool,
        typer.Option("--without-keys", help="Leave the key file out; without it the access keys cannot be used again."),
    ] = False,
    data: Data = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Write the database and the key file to a backup, while servers go on.

    The backup shows one moment. It is written as Parquet files, and can be restored into SQLite and into PostgreSQL. It
    gets its name when it is complete: what was interrupted keeps .partial behind it.
    """
    settings = load_settings(data=data, database_url=database_url)
    log.configure(settings.model_copy(update={"log_level": "warning"}))
    started = time.monotonic()
    with closing(open_existing(settings.resolved_database_url)) as database, bar("Backing up") as progress:
        key = None if without_keys else keyfile.read(settings.data / keyfile.NAME)
        written = back_up(database, destination, key_file=None if key is None else keyfile.text(key), progress=progress)
    seconds = time.monotonic() - started
    if json:
        print_json(summary(written) | {"backup": destination, "seconds": round(seconds, 3)})
    else:
        print_summary(summary(written))
        messages().print(f"Backed up to {escape(str(destination))} in {seconds:,.1f} s.", soft_wrap=True)
    _remark(settings.data / keyfile.NAME, written, without_keys=without_keys)


def _remark(path: Path, written: Manifest, *, without_keys: bool) -> None:
    """Say what the backup gives away, or what it lacks."""
    out = messages()
    if written.key_file:
        out.print(
            "[bold yellow]This backup holds the key file: whoever can read it can use every access key, and it holds "
            "face vectors. Keep it as you keep passwords.[/bold yellow] To keep the key file apart: --without-keys.",
            soft_wrap=True,
        )
    elif without_keys:
        out.print(
            f"The key file is not in it. Keep a copy of {escape(str(path))} in another place; without it every access "
            "key has to be made anew. The backup holds face vectors all the same: keep it safe.",
            soft_wrap=True,
        )
    else:
        out.print(f"There is no key file {escape(str(path))}, so there is none in the backup.", soft_wrap=True)


def summary(manifest: Manifest) -> dict[str, Any]:
    """Return what a backup holds, for programs."""
    return {
        "created_at": manifest.created_at,
        "program_version": manifest.program_version,
        "schema_revision": manifest.schema_revision,
        "database": manifest.database,
        "key_file": manifest.key_file,
        "rows": {table.name: table.rows for table in manifest.tables},
    }


def print_summary(held: dict[str, Any]) -> None:
    """Print what a backup holds, for people."""
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = held["rows"]
    for label, value in (
        ("Taken", f"{held['created_at']:%Y-%m-%d %H:%M:%S} UTC"),
        ("Collections", f"{rows.get('collections', 0):,}"),
        ("Faces", f"{rows.get('faces', 0):,}"),
        ("Users", f"{rows.get('users', 0):,}"),
        ("Access keys", f"{rows.get('access_keys', 0):,}"),
        ("Key file", "yes" if held["key_file"] else "no"),
    ):
        table.add_row(label, value)
    console().print(table)
