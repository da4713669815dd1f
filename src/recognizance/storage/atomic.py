"""Files and folders that appear under their name when they are complete and on the disk, and not before."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from recognizance.core.errors import SetupError

_PARTIAL = ".partial"


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, readable by this user alone, which gets its name at the end.

    Meanwhile it is ``path`` with ``.partial`` behind it. On an error that goes; after a crash it stays, and whoever
    writes to the same path next takes its place.

    Raises:
        SetupError: The path exists, another process is writing it, or it cannot be written.
    """
    partial = _partial(path)
    with _plain_errors(path):
        handle = os.open(partial, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b") as file:
            _lock(handle, partial, path)
            try:
                file.truncate()
                yield file
                file.flush()
                os.fsync(handle)
                _publish(partial, path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill, open to this user alone, which gets its name at the end; see :func:`new_file`.

    Whoever fills it brings the files to the disk.

    Raises:
        SetupError: The path exists, another process is writing it, or it cannot be written.
    """
    partial = _partial(path)
    with _plain_errors(path):
        partial.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(handle, partial, path)
            try:
                _empty(partial)
                yield partial
                os.fsync(handle)
                _publish(partial, path)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        finally:
            os.close(handle)


def _partial(path: Path) -> Path:
    if path.exists() or path.is_symlink():
        raise SetupError(f"{path} exists already; nothing is overwritten. Choose a name that is not taken.")
    return path.with_name(path.name + _PARTIAL)


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror or error}.") from error


def _lock(handle: int, partial: Path, path: Path) -> None:
    """Keep other processes from writing to the same path, as far as the file system knows locks."""
    busy = SetupError(f"Another process is writing {path}. Wait for it, or choose another name.")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy from error
    except OSError:  # some network file systems have no locks; then whoever starts it must see to it
        return
    held, named = os.fstat(handle), partial.stat() if partial.exists() else None
    if named is None or (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
        raise busy  # the other one ended between our opening and our locking


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _publish(partial: Path, path: Path) -> None:
    if path.exists():
        raise SetupError(f"{path} was made by another process meanwhile; nothing is overwritten.")
    # Not a link, which would refuse by itself: removable and network disks often have none.
    partial.rename(path)
    sync_folder(path.parent)
