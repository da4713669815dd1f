"""Bringing a database's schema up to date, inside the transaction of whoever opens it."""

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from recognizance.core.errors import SetupError

State = Literal["empty", "older", "current", "newer"]
"""How a schema compares with the one that this version of the program knows."""

_SCRIPTS = Path(__file__).parent / "migrations"


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration: the scripts of this package on this connection."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def state(connection: Connection) -> State:
    """Tell how a database's schema compares with this version of the program, changing nothing."""
    current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(configuration(connection))
    if current is None:
        return "empty"
    if current == scripts.get_current_head():
        return "current"
    try:
        scripts.get_revision(current)
    except CommandError:
        return "newer"
    return "older"


def migrate(connection: Connection) -> None:
    """Run the migrations that the database has not seen.

    Processes that open one database together run them once: the transaction that writes is the lock.

    Raises:
        SetupError: The database has seen migrations that this version of the program does not know.
    """
    config = configuration(connection)
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    try:
        if current is not None:
            scripts.get_revision(current)
    except CommandError as error:
        raise SetupError(
            f"The database was last opened by a newer version of Recognizance (its schema is {current}, this version "
            f"knows up to {scripts.get_current_head()}). Install that version again, or use another data folder."
        ) from error
    command.upgrade(config, "head")
