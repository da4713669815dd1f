"""What lies in a bucket, in the order of the keys' bytes, so that a listing that broke off can go on."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3.client import S3Client

PAGE = 1000
"""Keys asked for at a time: the most that S3 gives."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of a bucket.

    Attributes:
        key: Its key. A file's name that is no text has surrogates, as :func:`os.fsdecode` makes them.
        size: Its size in bytes.
        version: Changes when the content does: S3's ETag, or a file's time of change.
    """

    key: str
    size: int
    version: str


def list_s3(client: S3Client, bucket: str, prefix: str, after: str) -> Iterator[Entry]:
    """Give the objects of an S3 bucket: ListObjectsV2, page after page.

    Keys that end with a slash are left out: consoles make such objects to show empty folders.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html

    Raises:
        SetupError: The bucket cannot be listed.
    """
    arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    if after:
        arguments["StartAfter"] = after
    try:
        for page in client.get_paginator("list_objects_v2").paginate(**arguments, PaginationConfig={"PageSize": PAGE}):
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):
                    yield Entry(found["Key"], found["Size"], found.get("ETag", "").strip('"'))
    except (ClientError, BotoCoreError, ValueError, ResponseParserError) as error:
        raise SetupError(f"The bucket {bucket} cannot be listed: {error}") from error


def list_folder(folder: Path, bucket: str, prefix: str, after: str) -> Iterator[Entry]:
    """Give the regular files of ``<folder>/<bucket>`` as objects. No symbolic link is followed.

    Raises:
        SetupError: There is no such bucket, or a folder in it cannot be read.
    """
    if bucket in {"", ".", ".."} or "/" in bucket:
        raise SetupError(f"{bucket!r} is no bucket's name.")
    try:
        root = os.open(folder / bucket, _FOLDER)
        try:
            yield from _below(root, b"", os.fsencode(prefix), os.fsencode(after))
        finally:
            os.close(root)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SetupError(f"The bucket {bucket} in {folder} cannot be listed: {why}.") from error


def _below(descriptor: int, path: bytes, prefix: bytes, after: bytes) -> Iterator[Entry]:
    """Give the files of an open folder whose keys begin with ``path``."""
    with os.scandir(descriptor) as found:
        entries = sorted(
            (os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b""), entry) for entry in found
        )
    for name, entry in entries:
        key = path + name
        if name.endswith(b"/"):
            # Only folders that can hold a key that is wanted: along the prefix or below it, and not wholly before.
            if prefix.startswith(key) or (key.startswith(prefix) and (key > after or after.startswith(key))):
                child = os.open(name, _FOLDER, dir_fd=descriptor)
                try:
                    yield from _below(child, key, prefix, after)
                finally:
                    os.close(child)
        elif key.startswith(prefix) and key > after:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                yield Entry(os.fsdecode(key), status.st_size, str(status.st_mtime_ns))
