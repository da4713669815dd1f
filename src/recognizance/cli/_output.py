"""What all commands share: where they print, and how they fail."""

import functools
import json
import math
import sys
from collections.abc import Callable
from datetime import datetime
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from recognizance.core.errors import RecognizanceError, SetupError

P = ParamSpec("P")
T = TypeVar("T")


def console() -> Console:
    """Return the console of what was asked for, on standard output. In a pipe or a file nothing is cut or folded."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def messages() -> Console:
    """Return the console of progress and remarks, on standard error, so that output can be piped."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)


def bar(percentage: float, *, good: bool, width: int = 10) -> Text:
    """Return a bar that is as long as a percentage, on ground that shows how long it could be."""
    full = round(min(max(percentage, 0.0), 100.0) * width / 100)
    colour = "green" if good else "yellow"
    return Text.assemble(("━" * full, colour), ("╌" * (width - full), "bright_black"))


def similarity_text(similarity: float) -> str:
    """Return a similarity as people read it, cut off and not rounded: 100 is kept for what is exactly that.

    It is no percentage of anything, so it bears no sign of one.
    """
    return f"{math.floor(similarity * 100) / 100:.2f}"


def print_json(value: object) -> None:
    """Print a value as JSON, for programs; paths and times as text."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # serve goes on for weeks after its only document


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        SetupError: The answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise SetupError(f"{question} Nobody is there to answer; to go ahead, add --yes.")
    if not typer.confirm(question, err=True):
        raise SetupError("Nothing was changed.")


def plain_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Let a command end with its error's message on standard error and the exit code 1, and no traceback.

    That goes for the errors that this project raises, and for a database that is locked, full or gone. Anything else
    is a fault of ours, and shows its traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except RecognizanceError as error:
            sys.stderr.write(f"{str(error) or type(error).__name__}\n")
            raise SystemExit(1) from error
        except Exception as error:
            if (cause := _database_trouble(error)) is None:
                raise
            sys.stderr.write(f"The database cannot be used: {cause}\n")
            raise SystemExit(1) from error

    return run


def _database_trouble(error: Exception) -> object:
    """Return what the database driver complained of, None for errors that are not the database's."""
    library = sys.modules.get("sqlalchemy.exc")  # a command that does not use the database does not wait for its import
    return error.orig if library is not None and isinstance(error, library.DBAPIError) else None
