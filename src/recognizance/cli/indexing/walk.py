"""The files of a folder and its sub-folders, one at a time, whatever lies in there."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class File:
    """A regular file.

    Attributes:
        path: Where it is; absolute when the folder was.
        size: Its size in bytes.
        changed_ns: When its content last changed, in nanoseconds since 1970.
    """

    path: Path
    size: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file or folder that cannot be looked at; ``why`` is the system's word for it."""

    path: Path
    why: str


def walk(folder: Path) -> Iterator[File | Unreadable]:
    """Give every regular file below a folder.

    Symbolic links are followed, but no folder is entered twice, so that a link to a folder above it does no harm.
    What is hidden (its name begins with a dot) is left out, and so are sockets, pipes and devices: to open one of
    those could wait for ever. Memory does not grow with the number of files.
    """
    waiting = [folder]
    seen: set[tuple[int, int]] = set()
    while waiting:
        current = waiting.pop()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        yield from _look(entry, waiting)
        except OSError as error:
            yield Unreadable(current, error.strerror or str(error))


def _look(entry: os.DirEntry[str], waiting: list[Path]) -> Iterator[File | Unreadable]:
    path = Path(entry.path)
    try:
        status = entry.stat()
    except OSError as error:  # a link to nowhere or to itself, a folder that may not be searched
        yield Unreadable(path, error.strerror or str(error))
        return
    if stat.S_ISDIR(status.st_mode):
        waiting.append(path)
    elif stat.S_ISREG(status.st_mode):
        yield File(path, status.st_size, status.st_mtime_ns)
