"""The files of one index. They only save the time of building it: the database can always fill it again.

A folder holds segments, each written once under a name of its own, and a manifest that names those in use. The manifest
is replaced by renaming, so that at any moment there is an old one or a new one, whole. Several processes may use one
folder: the first one to lock it writes, the others read what it publishes.
"""

import fcntl
import os
import secrets
import zlib
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import structlog
from numpy.typing import NDArray

from recognizance.collections.index import segment_file
from recognizance.collections.index.codes import Codebook
from recognizance.collections.index.segment import Segment
from recognizance.collections.index.segment_file import DamagedFileError

log = structlog.get_logger(__name__)

_FORMAT = 1
_MANIFEST = "manifest.json"
_ENDING = ".segment"
_ATTEMPTS = 5


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
    """The files of one index.

    Args:
        folder: Where they are; made when the first one is written.
        dimensions: Length of a vector.
    """

    def __init__(self, folder: Path, dimensions: int) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self._lock: int | None = None
        self._closed = False
        self._checksums: dict[str, int] = {}
        self._warned = False

    def own(self) -> bool:
        """Try to become the process that writes; return whether this one is.

        A folder that cannot be locked (a full disk, a missing right) is nobody's; the log says so once.
        """
        if self._lock is not None or self._closed:
            return not self._closed
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
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
        self._closed = True
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def published(self) -> int:
        """Return the watermark of the manifest, -1 when there is none that can be read."""
        manifest = self._manifest()
        return -1 if manifest is None else int(manifest["watermark"])

    def open(self, executor: Executor) -> Opened | None:
        """Read what was published last; None, and a line in the log that says why, when nothing of use is there."""
        for attempt in range(_ATTEMPTS):
            manifest = self._manifest()
            if manifest is None:
                return None
            if manifest["dimensions"] != self._dimensions or manifest["format"] != _FORMAT:
                log.warning("the cached index is of another kind and is built anew", folder=str(self._folder))
                return None
            try:
                return self._read(manifest, executor)
            except FileNotFoundError as error:
                # Another process may have published, and swept away, between the two reads.
                if attempt == _ATTEMPTS - 1:
                    log.warning("the cached index lacks a file and is built anew", error=str(error))
            except (DamagedFileError, OSError, ValueError, KeyError) as error:
                log.warning("the cached index is damaged and is built anew", error=str(error))
                return None
        return None

    def _read(self, manifest: dict[str, Any], executor: Executor) -> Opened:
        files = manifest["segments"]
        segments = list(executor.map(lambda one: segment_file.read(self._folder / one["file"], one["checksum"]), files))
        for segment, one in zip(segments, files, strict=True):
            segment.hide(np.array(one["hidden"], np.int64))
        self._checksums = {one["file"]: one["checksum"] for one in files}
        return Opened(manifest["watermark"], tuple(segments))

    def _manifest(self) -> dict[str, Any] | None:
        path = self._folder / _MANIFEST
        try:
            checksum, _, body = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the cached index cannot be read and is built anew", error=str(error))
            return None
        if checksum != b"%08x" % zlib.crc32(body):
            log.warning("the cached index's manifest is damaged; the index is built anew", file=str(path))
            return None
        manifest: dict[str, Any] = orjson.loads(body)
        return manifest

    def write(self, ids: NDArray[np.int64], vectors: NDArray[np.float16], codebook: Codebook) -> Segment:
        """Return a segment of these rows, ids ascending: from a file, or in memory if none can be written."""
        segment = Segment.encode(ids, vectors, codebook)
        if not self.own():
            return segment
        path = self._folder / (secrets.token_hex(8) + _ENDING)
        try:
            checksum = segment_file.write(path, segment)
            self._checksums[path.name] = checksum
            return segment_file.map_vectors(path, segment)
        except OSError as error:
            self._warn(error)
            return segment

    def publish(self, watermark: int, segments: tuple[Segment, ...]) -> None:
        """Let these segments be what is opened next, and delete the files of all others.

        Nothing happens while a segment is only in memory, or another process writes; a disk that is full leaves what
        was published before.
        """
        if not self.own() or any(segment.name is None for segment in segments):
            return
        entries = [
            {
                "file": segment.name,
                "checksum": self._checksums[str(segment.name)],
                "hidden": segment.hidden.tolist(),
            }
            for segment in segments
        ]
        body = orjson.dumps(
            {"format": _FORMAT, "dimensions": self._dimensions, "watermark": watermark, "segments": entries}
        )
        try:
            self._replace_manifest(b"%08x\n%b" % (zlib.crc32(body), body))
        except OSError as error:
            self._warn(error)
            return
        self._warned = False
        self._sweep({str(segment.name) for segment in segments})

    def clear(self) -> None:
        """Let nothing be opened next."""
        if self.own():
            try:
                (self._folder / _MANIFEST).unlink(missing_ok=True)
                self._sweep(set())
            except OSError as error:
                self._warn(error)

    def _replace_manifest(self, data: bytes) -> None:
        written = self._folder / (_MANIFEST + ".new")
        with written.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._folder / _MANIFEST)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _sweep(self, used: set[str]) -> None:
        for path in self._folder.glob("*" + _ENDING):
            if path.name not in used:
                path.unlink(missing_ok=True)
        self._checksums = {name: checksum for name, checksum in self._checksums.items() if name in used}

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            log.warning(
                "the cache cannot be written: searches go on, with the vectors in memory; make room, or set another "
                "data folder",
                folder=str(self._folder),
                error=str(error),
            )
        self._warned = True
