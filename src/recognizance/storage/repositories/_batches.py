"""Long lists of keys in pieces: databases limit the number of parameters of a statement."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

BATCH = 1000


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Cut a list into pieces of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))
