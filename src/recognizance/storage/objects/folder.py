"""A local folder whose sub-folders serve as buckets."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from recognizance.core.errors import ImageTooLargeError, InvalidS3ObjectError, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recognizance.storage.objects.listing import Entry

# A named pipe without a writer would block an open that lacks O_NONBLOCK; a link must not lead out of the folder.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FolderObjectStore:
    """Reads ``<folder>/<bucket>/<key>``.

    Below the folder no symbolic link is followed and nothing but a regular file is read. The path is opened one name
    at a time from the folder's own descriptor, so that nobody who can write there can swap a link in between a check
    and the read.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SetupError(f"buckets_folder {folder} is not a folder; create it or correct the setting.")
        self._folder = folder

    def read(self, bucket: str, key: str, version: str | None, limit: int) -> bytes:
        """Return a file's bytes; see :class:`~recognizance.storage.objects.ObjectStore`.

        Files have no versions: only None and ``null`` (S3's name for the one version of an unversioned object) exist.
        """
        names = [bucket, *key.split("/")]
        if version not in {None, "null"} or any(name in {"", ".", ".."} for name in names) or "/" in bucket:
            raise InvalidS3ObjectError
        try:
            descriptor = self._open(names)
            try:
                data = _read_file(descriptor, limit)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:  # ValueError: a NUL, or a character that no file name can hold
            raise InvalidS3ObjectError from error
        if len(data) > limit:
            raise ImageTooLargeError
        return data

    def entries(self, bucket: str, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """Give a bucket's files; see :class:`~recognizance.storage.objects.ListedObjectStore`."""
        from recognizance.storage.objects.listing import list_folder  # imports boto3, which takes a moment

        return list_folder(self._folder, bucket, prefix, after)

    def _open(self, names: list[str]) -> int:
        """Return a descriptor of the file at the end of these names, which the caller closes."""
        *folders, last = names
        parent = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in folders:
                child = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=parent)
                os.close(parent)
                parent = child
            return os.open(last, _FLAGS, dir_fd=parent)
        finally:
            os.close(parent)


def _read_file(descriptor: int, limit: int) -> bytes:
    """Return a regular file's bytes, or more than the limit of them when it is larger.

    Raises:
        InvalidS3ObjectError: It is a folder, a pipe or a device.
        ImageTooLargeError: It is larger than the limit, which its length tells without reading it.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidS3ObjectError
    if status.st_size > limit:
        raise ImageTooLargeError
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(limit + 1)  # one more than the limit shows that it grew meanwhile
