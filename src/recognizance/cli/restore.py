"""``recognizance restore``: a backup into an empty data folder, on SQLite or PostgreSQL."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from recognizance.cli._bars import bar
from recognizance.cli._options import Data, DatabaseUrl, Json
from recognizance.cli._output import messages, plain_errors, print_json
from recognizance.cli.backup import print_summary, summary
from recognizance.core import log
from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings, load_settings
from recognizance.governance import keyfile
from recognizance.storage.backup import Package, check, open_package, refuse_used, restore

_OF_ANOTHER_DATABASE = ("recognizance.db", "index-journal.db", "cache")
"""What in a data folder belongs to the database that it was used with; beside another one it would mislead."""


@plain_errors
def command(
    backup: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `recognizance backup` wrote.")],
    *,
    only_check: Annotated[
        bool, typer.Option("--check", help="Only compare every file with its digest; restore nothing.")
    ] = False,
    data: Data = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Restore a backup into an empty data folder, or check one.

    Into SQLite in the data folder, or into an empty database that --database-url names: a backup of either kind of
    database can be restored into the other. Every file is compared with its digest before anything is written. What
    was interrupted can be done again.
    """
    settings = load_settings(data=data, database_url=database_url)
    log.configure(settings.model_copy(update={"log_level": "warning"}))
    with open_package(backup) as package:
        if only_check:
            with bar("Checking", "bytes") as progress:
                check(package, progress)
            seconds = None
        else:
            seconds = _restore(package, settings)
        held = summary(package.manifest)
    if json:
        print_json(held | ({"whole": True} if seconds is None else {"seconds": round(seconds, 3)}))
        return
    print_summary(held)
    if seconds is None:
        messages().print(f"{escape(str(backup))} is whole.", soft_wrap=True)
        return
    messages().print(f"Restored into {escape(str(settings.data))} in {seconds:,.1f} s.", soft_wrap=True)
    if not (settings.data / keyfile.NAME).exists() and held["rows"].get("access_keys"):
        messages().print(
            f"[bold yellow]The backup has no key file. Put your copy into {escape(str(settings.data))} as "
            f"{keyfile.NAME}; if there is none, run `recognizance keys reset`.[/bold yellow]",
            soft_wrap=True,
        )


def _restore(package: Package, settings: Settings) -> float:
    started = time.monotonic()
    _refuse_used(settings)
    key, path = package.key(), settings.data / keyfile.NAME

    def put_key() -> None:
        if key is not None:
            keyfile.restore(path, key)

    with bar("Checking", "bytes") as checking, bar("Restoring") as progress:
        restore(package, settings.resolved_database_url, before=put_key, checking=checking, progress=progress)
    return time.monotonic() - started


def _refuse_used(settings: Settings) -> None:
    """Return when neither the data folder nor the database has been used.

    Raises:
        SetupError: One of them has.
    """
    for name in _OF_ANOTHER_DATABASE:
        if (settings.data / name).exists():
            raise SetupError(
                f"The data folder {settings.data} has been used: it has {name}. Nothing is overwritten. Name an empty "
                "folder with --data."
            )
    refuse_used(settings.resolved_database_url)
