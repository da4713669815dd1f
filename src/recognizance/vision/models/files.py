"""Writing files so that a crash or a second process leaves either the old file or the whole new one."""

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from recognizance.core.errors import SetupError

_PART = ".part"
_CHUNK = 1 << 18
_LOCK_PATIENCE = 600.0  # seconds; a little more than a slow line needs for the largest archive


class Reader(Protocol):
    """What can be read from: an open file, a member of an archive."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...


def digest_of(path: Path) -> str:
    """Return the SHA-256 digest of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: Reader, target: IO[bytes], limit: int) -> tuple[str, int]:
    """Copy everything, or one byte more than ``limit`` where there is more than that.

    Returns:
        The digest and the number of the bytes that were copied.
    """
    digest, size = hashlib.sha256(), 0
    while size <= limit and (chunk := source.read(min(_CHUNK, limit + 1 - size))):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


@contextmanager
def scratch(folder: Path) -> Iterator[IO[bytes]]:
    """Open a new file in ``folder`` for writing and reading; it is gone at the end."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=_PART) as file:
        yield file.file


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of ``path`` at the end, whole and on disk, or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=_PART)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # models are no secrets, and other users of this machine may share them
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(
    folder: Path, patience: float = _LOCK_PATIENCE, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Make the folder, and hold it against other processes and threads; remove what a killed one left there.

    Args:
        folder: What to hold.
        patience: How many seconds to wait for the other one.
        sleep: How to wait.

    Raises:
        SetupError: The folder cannot be written, or somebody else holds it for longer than that.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SetupError(f"{folder} cannot be written: {error.strerror}. Choose another --models folder.") from error
    try:
        deadline = time.monotonic() + patience
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise SetupError(f"Another process has been installing into {folder} for long. Try again later.")
            sleep(0.1)
        for part in folder.glob(f".*{_PART}"):
            with suppress(OSError):
                part.unlink()
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
