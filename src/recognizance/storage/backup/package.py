"""A backup as a thing on the disk: a folder, or the same files in one ZIP archive, with the digest of each.

The archive's members are stored and not compressed, because the Parquet files in it are.
"""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from recognizance.core.errors import SetupError
from recognizance.storage.atomic import new_file, new_folder
from recognizance.storage.backup.manifest import Manifest
from recognizance.storage.backup.progress import Progress, silent

MANIFEST, SUMS, KEY_FILE = "manifest.json", "SHA256SUMS", "secret.key"

_LINE = re.compile(r"([0-9a-f]{64})  ([a-z0-9_]+\.[a-z]+)")
_AT_ONCE = 1 << 22
_MOST_TEXT = 1 << 22
"""The most bytes of a file that is read into memory whole; manifests have some thousand."""

_LOCAL_HEADER = 30  # bytes before a member's name; PKWARE APPNOTE.TXT, section 4.3.7


class Writer:
    """A backup that is being written."""

    def __init__(self, make: Callable[[str], BinaryIO]) -> None:
        self._make = make
        self._sums: dict[str, str] = {}

    @contextmanager
    def file(self, name: str) -> Iterator["Hashed"]:
        """Give one more file to write; it is on the disk when this ends."""
        with self._make(name) as file:
            hashed = Hashed(file)
            yield hashed
            file.flush()
            _sync(file)
        self._sums[name] = hashed.digest()

    def add(self, name: str, data: bytes) -> None:
        """Write one more file."""
        with self.file(name) as file:
            file.write(data)

    def finish(self) -> None:
        """Write the digests, in the form that ``sha256sum --check`` reads."""
        self.add(SUMS, "".join(f"{digest}  {name}\n" for name, digest in self._sums.items()).encode())


class Hashed:
    """A file that is written from its beginning to its end, and its SHA-256."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Write bytes, or what has the buffer protocol."""
        size = memoryview(data).nbytes
        self._file.write(data)
        self._digest.update(data)
        self._size += size
        return size

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._size

    def flush(self) -> None:
        """Do nothing: whoever opened the file brings it to the disk."""

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""

    def digest(self) -> str:
        """Return the SHA-256 of what was written, in hexadecimal digits."""
        return self._digest.hexdigest()


def _sync(file: BinaryIO) -> None:
    try:
        handle = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return  # a member of an archive, which is synced as a whole
    os.fsync(handle)


@contextmanager
def new_package(path: Path) -> Iterator[Writer]:
    """Give a backup to write: an archive when the name ends with ``.zip``, else a folder.

    It gets its name when it is complete and on the disk. Only this user may read it.

    Raises:
        SetupError: The path exists, another process is writing it, or it cannot be written.
    """
    if path.suffix.lower() != ".zip":
        with new_folder(path) as folder:
            yield (writer := Writer(lambda name: _private(folder / name)))
            writer.finish()
        return
    with new_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        yield (writer := Writer(lambda name: _member(archive, name)))
        writer.finish()


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o100600 << 16  # unpacked, too, it is for this user alone
    return cast("BinaryIO", archive.open(info, "w", force_zip64=True))


class Package:
    """A backup that is being read.

    Attributes:
        path: Where it is.
        manifest: What it says of itself.

    Args:
        path: Where it is.
        places: For each of its files: which file on the disk it is in, at what offset, and how long it is.

    Raises:
        SetupError: It is not a backup, or damaged, as far as manifest and list of digests tell.
    """

    def __init__(self, path: Path, places: dict[str, tuple[int, int, int]]) -> None:
        self.path = path
        self._places = places
        self._sums = _parse_sums(self._text(SUMS), path)
        if self.digest(MANIFEST) != self._sums.get(MANIFEST):
            raise self._damaged(MANIFEST)
        self.manifest = Manifest.parse(self._text(MANIFEST), str(path))
        expected = {MANIFEST, *(table.file for table in self.manifest.tables)}
        expected |= {KEY_FILE} if self.manifest.key_file else set()
        if self._sums.keys() != expected:
            raise SetupError(f"{SUMS} of {path} does not list the files that the manifest names: it is damaged.")
        if missing := sorted(expected - places.keys()):
            raise SetupError(f"The backup {path} is not whole: {', '.join(missing)} is missing.")

    def verify(self, progress: Progress = silent) -> None:
        """Compare every file with its digest.

        Raises:
            SetupError: Files are damaged; the message names them.
        """
        total = sum(self._places[name][2] for name in self._sums)
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            progress(done, total)

        wrong = [name for name, expected in self._sums.items() if self.digest(name, count) != expected]
        if wrong:
            raise self._damaged(*wrong)

    def digest(self, name: str, count: Callable[[int], None] = lambda _size: None) -> str:
        """Return the SHA-256 of a file, in hexadecimal digits; ``count`` is told how many bytes were read."""
        found = hashlib.sha256()
        part = self.open(name)
        try:
            while data := part.read(_AT_ONCE):
                found.update(data)
                count(len(data))
        except OSError as error:
            raise SetupError(f"{name} of {self.path} cannot be read: {error.strerror}.") from error
        return found.hexdigest()

    def open(self, name: str) -> "Part":
        """Open one of its files.

        Raises:
            SetupError: It is missing.
        """
        if name not in self._places:
            raise SetupError(f"{self.path} is not a whole backup: {name} is missing.")
        return Part(*self._places[name])

    def key(self) -> bytes | None:
        """Return the text of the key file, None where the backup has none."""
        return self._text(KEY_FILE) if self.manifest.key_file else None

    def _text(self, name: str) -> bytes:
        data = self.open(name).read(_MOST_TEXT + 1)
        if len(data) > _MOST_TEXT:
            raise self._damaged(name)
        return data

    def _damaged(self, *names: str) -> SetupError:
        return SetupError(
            f"The backup {self.path} is damaged: {', '.join(names)} {'is' if len(names) == 1 else 'are'} not what was "
            "written. Use another backup."
        )


class Part(io.RawIOBase):
    """A stretch of a file, as a file of its own."""

    def __init__(self, handle: int, offset: int, size: int) -> None:
        super().__init__()
        self._handle, self._offset, self._size = handle, offset, size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, and return it."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes: fewer than asked for at the end only."""
        left = max(self._size - self._at, 0)
        size = left if size < 0 else min(size, left)
        parts = []
        while size > 0 and (data := os.pread(self._handle, size, self._offset + self._at)):
            parts.append(data)
            self._at += len(data)
            size -= len(data)
        return b"".join(parts)


@contextmanager
def open_package(path: Path) -> Iterator[Package]:
    """Open a backup, and see that it has a manifest which is whole and names files that are there.

    Raises:
        SetupError: It is not a backup, or damaged, as far as manifest and list of digests tell.
    """
    with ExitStack() as opened:
        try:
            places = _in_folder(path, opened) if path.is_dir() else _in_archive(path, opened)
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror}.") from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise SetupError(f"{path} is not a backup, or not a whole one: {error}.") from error
        yield Package(path, places)


def _in_folder(path: Path, opened: ExitStack) -> dict[str, tuple[int, int, int]]:
    found = {}
    for entry in path.iterdir():
        if entry.is_file():
            handle = _opened(entry, opened)
            found[entry.name] = (handle, 0, os.fstat(handle).st_size)
    return found


def _in_archive(path: Path, opened: ExitStack) -> dict[str, tuple[int, int, int]]:
    handle = _opened(path, opened)
    found = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.filename in found:
                raise SetupError(f"{path} was not written by Recognizance: its members are packed in another way.")
            header = os.pread(handle, _LOCAL_HEADER, info.header_offset)
            names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            found[info.filename] = (handle, info.header_offset + _LOCAL_HEADER + names, info.file_size)
    return found


def _opened(path: Path, opened: ExitStack) -> int:
    handle = os.open(path, os.O_RDONLY)
    opened.callback(os.close, handle)
    return handle


def _parse_sums(data: bytes, path: Path) -> dict[str, str]:
    lines = data.decode("ascii", "replace").split("\n")
    found = [_LINE.fullmatch(line) for line in lines[:-1]]
    sums = {match[2]: match[1] for match in found if match}
    if lines[-1] or None in found or len(sums) != len(found):
        raise SetupError(f"{SUMS} of {path} is damaged. Use another backup.")
    return sums
