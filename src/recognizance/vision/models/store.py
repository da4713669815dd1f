"""The folder of installed models.

Each model has a sub-folder with its published file and, where it is converted, the ready file and a note of what that
was made from. Nothing is handed out before its digest has been compared: with the manifest's for published files,
with the note's for converted ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.models.convert import CONVERTERS
from recognizance.vision.models.files import digest_of, locked
from recognizance.vision.models.manifest import FileSource, Manifest, load_manifests
from recognizance.vision.models.place import Place, ReadyFile
from recognizance.vision.models.progress import Progress, Silent

if TYPE_CHECKING:
    from recognizance.vision.models.install import Installer

State = Literal["installed", "missing", "damaged", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model in an installation or an examination.

    Attributes:
        name: The model.
        state: ``installed``: whole and ready. ``missing``: not here. ``damaged``: here, but not what it should be.
            ``refused``: its terms have not been accepted.
        detail: What to tell the operator; empty where there is nothing to tell.
        fetched: Whether it was installed just now.
    """

    name: str
    state: State
    detail: str = ""
    fetched: bool = False


class ModelStore:
    """Installs models, examines them and hands out their files. Safe to use from many threads and processes.

    Args:
        settings: ``models`` and ``model_mirror`` are the folders, ``data`` holds the operator's own manifests, and
            ``accepted_terms`` names the restricted models that may be used.

    Raises:
        SetupError: The operator's own manifests are wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._compared: dict[Path, tuple[int, ...]] = {}
        self.manifests: Mapping[str, Manifest] = load_manifests(settings.data)

    def manifest(self, name: str) -> Manifest:
        """Return what is known of a model.

        Raises:
            SetupError: There is no such model.
        """
        try:
            return self.manifests[name]
        except KeyError:
            raise SetupError(f"There is no model {name!r}. There are: {', '.join(sorted(self.manifests))}.") from None

    def path(self, name: str) -> Path:
        """Return the ready-to-run file of a model, its digest compared.

        Raises:
            SetupError: It is not installed, is damaged, or its terms are not accepted; the message names the cure.
        """
        paths = self.paths(name)
        if len(paths) != 1:
            raise SetupError(f"{name} is not one file, but {len(paths)}.")
        return next(iter(paths.values()))

    def paths(self, name: str) -> dict[str, Path]:
        """Return every ready file of a model by its name, the digests compared; see :meth:`path`."""
        manifest = self.manifest(name)
        self._require_terms(manifest)
        place = self._place(manifest)
        if not place.installed:
            self._convert_again(place)
        for file in place.ready():
            self._require_digest(manifest, file)
        return {file.path.name: file.path for file in place.ready()}

    def locations(self, name: str) -> list[Path]:
        """Return where the ready files of a model lie, unexamined; none as long as it is not installed."""
        return [file.path for file in self._place(self.manifest(name)).ready() if file.present]

    def installed(self, name: str) -> bool:
        """Tell whether every file of a model is there, of the right size and made by the present converter."""
        return self._place(self.manifest(name)).installed

    def pull(self, names: Iterable[str], progress: Progress | None = None) -> list[Outcome]:
        """Install models that are not installed yet, each whole or not at all.

        The mirror folder is tried first, then the model's own source. One that cannot be had does not keep the others
        from being installed.

        Args:
            names: The models.
            progress: Told of what is fetched.

        Returns:
            What became of each, in the order of ``names``.

        Raises:
            SetupError: One of the names is not a model.
        """
        from recognizance.vision.models.install import Installer  # what talks HTTP is of no use to a running server

        manifests = [self.manifest(name) for name in names]
        installer = Installer(self._settings.model_mirror)
        return [self._pull_one(manifest, installer, progress or Silent()) for manifest in manifests]

    def verify(self, names: Iterable[str] | None = None) -> list[Outcome]:
        """Read every byte again, and make converted files again to compare them.

        Args:
            names: The models; by default all that there are.

        Raises:
            SetupError: One of the names is not a model.
        """
        manifests = [self.manifest(name) for name in (self.manifests if names is None else names)]
        self._compared.clear()
        return [self._verify_one(manifest) for manifest in manifests]

    def _place(self, manifest: Manifest) -> Place:
        return Place(manifest, self._settings)

    def _pull_one(self, manifest: Manifest, installer: "Installer", progress: Progress) -> Outcome:
        present = self._verify_one(manifest)
        if present.state in {"installed", "refused"}:
            return present
        try:
            installer.install(self._place(manifest), progress)
            self.paths(manifest.name)
        except SetupError as error:
            return Outcome(manifest.name, present.state, str(error))
        return Outcome(manifest.name, "installed", fetched=True)

    def _verify_one(self, manifest: Manifest) -> Outcome:
        try:
            self._require_terms(manifest)
        except SetupError as error:
            return Outcome(manifest.name, "refused", str(error))
        place = self._place(manifest)
        files = place.ready()
        if not any(file.path.exists() for file in files):
            return Outcome(manifest.name, "missing", _missing(manifest))
        try:
            for file in files:
                self._require_digest(manifest, file)
            self._require_same_conversion(place)
        except SetupError as error:
            return Outcome(manifest.name, "damaged", str(error))
        return Outcome(manifest.name, "installed")

    def _require_terms(self, manifest: Manifest) -> None:
        if manifest.terms == "restricted" and manifest.name not in self._settings.accepted_terms:
            raise SetupError(
                f"The terms of {manifest.name} forbid some uses ({manifest.licence}; {manifest.data_terms}). Read "
                f"them at {manifest.upstream}; if they allow yours, add {manifest.name} to accepted_terms in the "
                "settings."
            )

    def _convert_again(self, place: Place) -> None:
        """Make the converted file out of the published one, after an upgrade brought another converter."""
        from recognizance.vision.models.install import convert

        manifest = place.manifest
        if manifest.conversion is None or not place.published(manifest.files[0]).is_file():
            raise SetupError(_missing(manifest))
        with locked(place.folder):
            if not place.installed:
                convert(place)

    def _require_digest(self, manifest: Manifest, file: ReadyFile) -> None:
        """Compare a file's digest, once as long as nobody touches the file."""
        try:
            status = file.path.stat()
            state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if file.sha256 is None or self._compared.get(file.path) == state:
                return
            found = digest_of(file.path)
        except OSError as error:
            raise SetupError(f"{file.path} cannot be read: {error.strerror}.") from error
        if found != file.sha256:
            raise SetupError(
                f"{file.path} is not the file that was installed: its digest is {found}, not {file.sha256}. "
                f"Install it again: recognizance models pull {manifest.name}"
            )
        self._compared[file.path] = state

    def _require_same_conversion(self, place: Place) -> None:
        """Convert the published file once more and compare, for the note beside a converted file is no proof."""
        manifest = place.manifest
        published = place.published(manifest.files[0])
        if manifest.conversion is None or not published.is_file():
            return
        self._require_digest(manifest, ReadyFile(published, manifest.files[0].sha256, None))
        if CONVERTERS[manifest.conversion].convert(published.read_bytes()) != place.converted.read_bytes():
            raise SetupError(
                f"{place.converted} was not made from {published.name}. "
                f"Install it again: recognizance models pull {manifest.name}"
            )


def _missing(manifest: Manifest) -> str:
    if isinstance(manifest.source, FileSource):
        return f"The file of model {manifest.name} is not there: {manifest.source.path}."
    return f"Model {manifest.name} is not installed. Install it: recognizance models pull {manifest.name}"
