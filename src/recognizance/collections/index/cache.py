"""The files of one index. They only save the time of building it: the database can always fill it again.

A folder holds segments, each written once under a name of its own, and a manifest that names those in use. The manifest
is replaced by renaming, so that at any moment there is an old one or a new one, whole. Several processes may use one
folder: the first one to lock it writes, the others read what it publishes.
"""

import fcntl
import os
import secrets
import shutil
import threading
import time
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recognizance.collections.index import segment_file
from recognizance.collections.index.codes import Codebook
from recognizance.collections.index.segment import Segment
from recognizance.collections.index.segment_file import DamagedFileError
from recognizance.storage.atomic import sync_folder

log = structlog.get_logger(__name__)

RETRY_SECONDS = 60.0
"""How long nothing is written after that has failed."""

_MANIFEST = "manifest.json"
_ENDING = ".segment"
_ATTEMPTS = 5
_READERS = 4


class Register(Protocol):
    """What the database knows of the manifests that were made from it.

    Row keys and the numbers of the log do not tell an older copy of a database, which was put in its place and written
    to since, from the one that a cache was made from. Marks do: the older copy does not know those given later.
    """

    def note(self, mark: str) -> None:
        """Remember a mark.

        Raises:
            OSError: The database cannot be written.
        """
        ...

    def knows(self, mark: str) -> bool:
        """Return whether a mark is among the newest that were noted."""
        ...


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[0-9a-f]{16}\.segment$")]
    checksum: Annotated[int, Field(ge=0, lt=2**32)]
    hidden: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]]


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal[1] = 1
    dimensions: int
    watermark: Annotated[int, Field(ge=0)]
    mark: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    segments: list[_File]


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What a cache held when it was opened.

    Attributes:
        watermark: The revision up to which the segments hold everything.
        segments: The segments.
    """

    watermark: int
    segments: tuple[Segment, ...]


class Cache:
    """The files of one index. Safe to call from many threads.

    Args:
        folder: Where they are; made when the first one is written.
        dimensions: Length of a vector.
        register: Tells whether the files were made from the database; without one they are believed to be.
    """

    def __init__(self, folder: Path, dimensions: int, register: Register | None = None) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self._register = register
        self._guard = threading.RLock()  # whoever closes waits for what is being written
        self._lock: int | None = None
        self._closed = False
        self._failed_at: float | None = None

    @property
    def failing(self) -> bool:
        """Whether writing failed a short while ago, and should not be tried again yet."""
        return self._failed_at is not None and time.monotonic() - self._failed_at < RETRY_SECONDS

    def own(self) -> bool:
        """Try to become the process that writes; return whether this one is.

        A folder that cannot be locked (a full disk, a missing right) is nobody's; the log says so once.
        """
        with self._guard:
            if self._closed:
                return False
            path = self._folder / "lock"
            if self._lock is not None:
                if _is_open_as(self._lock, path):
                    return True
                os.close(self._lock)  # somebody has deleted the folder
                self._lock = None
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                self._warn(error)
                return False
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                return False
            self._lock = lock
            return True

    def close(self) -> None:
        """Let another process write; this one does not any more."""
        with self._guard:
            self._closed = True
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # Reading

    def published(self) -> int:
        """Return the watermark of the manifest, -1 when there is none of use."""
        try:
            manifest = self._manifest()
        except (DamagedFileError, OSError):
            return -1
        return -1 if manifest is None else manifest.watermark

    def open(self) -> Opened | None:
        """Read what was published last; None, and a line in the log that says why, when that is of no use."""
        before, attempts = None, 0
        while True:
            manifest = None
            try:
                manifest = self._manifest()
                return None if manifest is None else self._read(manifest)
            except FileNotFoundError as error:
                # Another process may have published, and swept away, between the two reads.
                attempts += 1
                if manifest != before and attempts < _ATTEMPTS:
                    before = manifest
                    continue
                self._tell(f"it lacks a file: {error}")
            except (DamagedFileError, OSError) as error:
                self._tell(str(error))
            return None

    def _tell(self, reason: str) -> None:
        log.warning("the cached index cannot be used and is built anew", folder=str(self._folder), reason=reason)

    def _manifest(self) -> _Manifest | None:
        try:
            checksum, _, body = (self._folder / _MANIFEST).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if checksum != b"%08x" % zlib.crc32(body):
            raise DamagedFileError("the manifest has changed since it was written")
        try:
            manifest = _Manifest.model_validate_json(body)
        except ValidationError as error:
            raise DamagedFileError("the manifest is of another version of the program, or damaged") from error
        if manifest.dimensions != self._dimensions:
            raise DamagedFileError("its vectors are of another length")
        if len({one.name for one in manifest.segments}) < len(manifest.segments):
            raise DamagedFileError("the manifest names a file twice")
        if self._register is not None and not self._register.knows(manifest.mark):
            raise DamagedFileError("it was not made from this database, or from a later state of it")
        return manifest

    def _read(self, manifest: _Manifest) -> Opened:
        files = manifest.segments
        with ThreadPoolExecutor(_READERS, thread_name_prefix="cache") as readers:
            segments = tuple(
                readers.map(
                    lambda one: segment_file.read(self._folder / one.name, one.checksum, self._dimensions), files
                )
            )
        for segment, one in zip(segments, files, strict=True):
            segment.hide(np.array(one.hidden, np.int64))
        return Opened(manifest.watermark, segments)

    # Writing

    def write(self, ids: NDArray[np.int64], vectors: NDArray[np.float16], codebook: Codebook) -> Segment:
        """Return a segment of these rows, ids ascending: from a file, or in memory if none can be written."""
        segment = Segment.encode(ids, vectors, codebook)
        return self.keep(segment) or segment

    def keep(self, segment: Segment) -> Segment | None:
        """Write all rows of a segment, hidden ones too; return it with its vectors in the file, nothing hidden.

        None is returned when it cannot be written, which the log says once, or when another process writes here.
        """
        with self._guard:
            if not self.own():
                return None
            path = self._folder / (secrets.token_hex(8) + _ENDING)
            try:
                return segment_file.map_vectors(path, segment, segment_file.write(path, segment))
            except OSError as error:
                self._warn(error)
                return None

    def has(self, segment: Segment) -> bool:
        """Return whether there is a file of a segment."""
        return segment.name is not None and (self._folder / segment.name).is_file()

    def discard(self, segments: Iterable[Segment]) -> None:
        """Delete the files of segments that nobody is going to use."""
        with self._guard, suppress(OSError):
            for segment in segments:
                if segment.name is not None and self.own():
                    _remove(self._folder / segment.name)

    def publish(self, watermark: int, segments: tuple[Segment, ...]) -> bool:
        """Let these segments be what is opened next, and delete the files of all others; return whether that is done.

        Nothing happens while a segment has no file, or another process writes; a disk that is full leaves what was
        published before.
        """
        with self._guard:
            if not self.own() or not all(map(self.has, segments)):
                return False
            mark = secrets.token_hex(16)
            files = [_File(name=str(one.name), checksum=one.checksum, hidden=one.hidden.tolist()) for one in segments]
            manifest = _Manifest(dimensions=self._dimensions, watermark=watermark, mark=mark, segments=files)
            body = manifest.model_dump_json().encode()
            try:
                if self._register is not None:
                    self._register.note(mark)
                self._replace_manifest(b"%08x\n%b" % (zlib.crc32(body), body))
                self._sweep({one.name for one in files})
            except OSError as error:
                self._warn(error)
                return False
            self._failed_at = None
            return True

    def clear(self) -> bool:
        """Let nothing be opened next; return whether that is done."""
        with self._guard:
            try:
                if not self._folder.is_dir():
                    return True
                if not self.own():
                    return False
                _remove(self._folder / _MANIFEST)
                self._sweep(set())
            except OSError as error:
                self._warn(error)
                return False
            return True

    def _replace_manifest(self, data: bytes) -> None:
        written, path = self._folder / (_MANIFEST + ".new"), self._folder / _MANIFEST
        for one in (written, path):
            if one.is_dir():
                _remove(one)
        with written.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
        sync_folder(self._folder)

    def _sweep(self, used: set[str]) -> None:
        for path in self._folder.glob("*" + _ENDING):
            if path.name not in used:
                _remove(path)

    def _warn(self, error: OSError) -> None:
        if self._failed_at is None:
            log.warning(
                "the cache cannot be written: searches go on, with the vectors in memory; make room, or set another "
                "data folder",
                folder=str(self._folder),
                error=str(error),
            )
        self._failed_at = time.monotonic()


def _is_open_as(handle: int, path: Path) -> bool:
    """Return whether an open file is the one that this path names."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
