"""Taking members out of wheels and source archives: by name, with limits, and nothing else."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from recognizance.core.errors import SetupError
from recognizance.vision.models.files import Reader
from recognizance.vision.models.manifest import ModelFile

# The largest source archive that any manifest names holds 132 MB; nothing that expands beyond this is one.
MAX_EXPANDED = 1 << 30

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,  # a compression or an encryption that zipfile does not know
    RuntimeError,  # an encrypted member
    ValueError,
)

Take = Callable[[ModelFile, Reader], None]


def extract(archive: IO[bytes], name: str, files: Mapping[str, ModelFile], take: Take) -> None:
    """Hand the content of the wanted members to ``take``, one after the other.

    Member names are compared with the wanted ones and never become paths, so that an archive cannot write anywhere.
    Links and devices are no members.

    Args:
        archive: The open archive.
        name: Its file name, which tells its kind.
        files: The wanted files by the member's name.
        take: Called for each with a reader of its content.

    Raises:
        SetupError: The archive is damaged, is of another kind, or lacks a member.
    """
    members = _zip_members if name.endswith((".whl", ".zip")) else _tar_members
    missing = dict(files)
    try:
        for member, content in members(archive, missing):
            take(missing.pop(member), content)
            if not missing:
                return
    except SetupError:
        raise
    except _DAMAGED as error:
        raise SetupError(f"{name} is not the archive that it should be: {error}") from error
    raise SetupError(f"{name} does not hold {', '.join(missing)}.")


def _zip_members(archive: IO[bytes], wanted: Mapping[str, ModelFile]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for member in [info for info in opened.infolist() if info.filename in wanted and not info.is_dir()]:
            if member.filename in wanted:  # the first of two members of the same name
                with opened.open(member) as content:
                    yield member.filename, content


def _tar_members(archive: IO[bytes], wanted: Mapping[str, ModelFile]) -> Iterator[tuple[str, IO[bytes]]]:
    with gzip.open(archive) as expanded, tarfile.open(mode="r|", fileobj=_Limited(expanded)) as opened:
        for member in opened:
            if member.isreg() and member.name in wanted and (content := opened.extractfile(member)):
                yield member.name, content


class _Limited(io.BufferedIOBase):
    """Reads from another reader, up to :data:`MAX_EXPANDED` bytes."""

    def __init__(self, source: Reader) -> None:
        super().__init__()
        self._source, self._left = source, MAX_EXPANDED

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes."""
        most = self._left + 1
        data = self._source.read(most if size is None or size < 0 else min(size, most))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it expands to more than {MAX_EXPANDED >> 20} MiB")
        return data
