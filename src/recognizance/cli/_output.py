"""What all commands share: where they print, and how they fail."""

import functools
import json
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from rich.console import Console

from recognizance.core.errors import RecognizanceError

P = ParamSpec("P")
T = TypeVar("T")


def console() -> Console:
    """Return the console of what was asked for, on standard output."""
    return Console(highlight=False, soft_wrap=False)


def messages() -> Console:
    """Return the console of progress and remarks, on standard error, so that output can be piped."""
    return Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """Print a value as JSON, for programs; paths and times as text."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def plain_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Let a command end with its error's message on standard error and the exit code 1, and no traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except RecognizanceError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(1) from error

    return run
