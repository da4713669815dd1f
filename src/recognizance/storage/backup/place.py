"""Where databases are."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from recognizance.core.errors import SetupError
from recognizance.storage.database import Database


def sqlite_path(url: str) -> Path | None:
    """Return the file of a URL of SQLite, None for other databases.

    Raises:
        SetupError: It is no URL; it is not shown, for it may have a password in it.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise SetupError("database_url is no URL of a database.") from None
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def open_existing(url: str) -> Database:
    """Open a database that is there, without making one and without bringing its schema up to date.

    A program that was just upgraded can so back up what its first start will change.

    Raises:
        SetupError: There is no database.
    """
    path = sqlite_path(url)
    if path is not None and not path.is_file():
        raise SetupError(f"There is no database at {path}. Name the data folder with --data.")
    return Database(url)
