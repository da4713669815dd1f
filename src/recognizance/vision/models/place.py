"""Where the files of one model lie, and whether they are what they should be."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from recognizance.core.settings import Settings
from recognizance.vision.models.convert import CONVERTERS
from recognizance.vision.models.files import replacing
from recognizance.vision.models.manifest import BundledSource, FileSource, Manifest, ModelFile


class ReadyFile(NamedTuple):
    """A file that is ready to run, with digest and size as they should be; None where nobody has pinned them."""

    path: Path
    sha256: str | None
    size: int | None

    @property
    def present(self) -> bool:
        """Tell whether there is a file of that size."""
        return self.path.is_file() and self.size in {None, self.path.stat().st_size}


class Note(BaseModel):
    """What a converted file was made from, kept beside it.

    Attributes:
        source_sha256: Digest of the published file.
        converter: The converter's name.
        converter_version: Its version.
        sha256: Digest of the converted file.
        size: Its size in bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source_sha256: str
    converter: str
    converter_version: int
    sha256: str
    size: int


class Place:
    """The files of one model: the published ones, and the converted one with its note.

    Args:
        manifest: The model.
        settings: ``models`` and ``data`` are the folders.
    """

    def __init__(self, manifest: Manifest, settings: Settings) -> None:
        self.manifest = manifest
        self.folder = settings.models / manifest.name
        self._data = settings.data

    def published(self, file: ModelFile) -> Path:
        """Return where a published file lies, or would."""
        match self.manifest.source:
            case BundledSource():
                return Path(str(resources.files(__package__).joinpath("bundled", file.name)))
            case FileSource(path=path):
                return self._data / path
            case _:
                return self.folder / file.name

    @property
    def converted(self) -> Path:
        """Return where the converted file lies, or would."""
        return self.folder / f"{self.manifest.name}.onnx"

    def ready(self) -> list[ReadyFile]:
        """Return the files that are ready to run; none while a conversion is due."""
        if self.manifest.conversion is None:
            return [ReadyFile(self.published(file), file.sha256, file.size) for file in self.manifest.files]
        note = self._note()
        return [ReadyFile(self.converted, note.sha256, note.size)] if note else []

    @property
    def installed(self) -> bool:
        """Tell whether every ready file is there, of the right size and made by the present converter."""
        ready = self.ready()
        return bool(ready) and all(file.present for file in ready)

    def write_note(self, note: Note) -> None:
        """Keep the note of the converted file."""
        with replacing(self._note_path) as target:
            target.write(note.model_dump_json(indent=1).encode())

    @property
    def _note_path(self) -> Path:
        return self.converted.with_suffix(".onnx.json")

    def _note(self) -> Note | None:
        """Return the note of the converted file, unless it was made from another file or by another converter."""
        try:
            note = Note.model_validate_json(self._note_path.read_bytes())
        except (OSError, ValidationError):
            return None
        name = self.manifest.conversion or ""
        wanted = (self.manifest.files[0].sha256, name, CONVERTERS[name].version)
        return note if (note.source_sha256, note.converter, note.converter_version) == wanted else None
