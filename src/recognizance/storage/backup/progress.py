"""How long work tells how far it has come."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called now and then with how many rows or bytes are done, and of how many."""


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""
