"""The manifests that are shipped, and the operator's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.contracts import NAMES, load_contract
from recognizance.vision.models import ModelStore
from recognizance.vision.models.manifest import (
    BundledSource,
    PackageSource,
    UrlSource,
    load_manifests,
    parse_manifests,
    shipped_manifests,
)

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 'task = "t"\nlicence = "MIT"\ndata_terms = "none"\nupstream = "https://example.com"\n'
SHA = "0" * 64
PINNED = f'sha256 = "{SHA}"\nsize = 5\n'
PACKAGE = '[m.source]\nkind = "pypi"\npackage = "p"\nversion = "1"\narchive = "p-1.tar.gz"\n' + PINNED
URL = '[m.source]\nkind = "url"\nurls = ["https://example.com/net.onnx"]\n'
OWN = f'[m]\n{HEAD}[m.source]\nkind = "file"\npath = "net.onnx"\n[[m.files]]\nname = "net.onnx"\n'


@pytest.mark.parametrize("name", sorted(shipped_manifests()))
def test_what_is_fetched_is_pinned_and_encrypted(name: str) -> None:
    manifest = shipped_manifests()[name]
    if isinstance(manifest.source, BundledSource):
        return
    assert isinstance(manifest.source, PackageSource | UrlSource)
    assert all(file.sha256 and file.size for file in manifest.files)
    if isinstance(manifest.source, UrlSource):
        assert all(url.startswith("https://") for url in manifest.source.urls)
    assert manifest.download_size > 0


@pytest.mark.parametrize("contract", NAMES)
def test_every_model_of_a_contract_has_a_manifest(contract: str) -> None:
    assert set(load_contract(contract).model_names) <= shipped_manifests().keys()


@pytest.mark.parametrize("name", [n for n, m in shipped_manifests().items() if isinstance(m.source, BundledSource)])
def test_bundled_models_are_in_the_package(name: str, tmp_path: Path) -> None:
    store = ModelStore(Settings(data=tmp_path, models=tmp_path / "models"))
    assert store.installed(name)
    onnx.checker.check_model(onnx.load(store.path(name)))
    assert not (tmp_path / "models").exists()


def test_no_shipped_model_is_restricted() -> None:
    """The default contracts may be used by whoever may use the program."""
    assert {manifest.terms for manifest in shipped_manifests().values()} == {"open"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[m", "is not valid"),
        ("m = 3", "is not valid"),
        (f"[m]\n{HEAD}", "source: Field required"),
        (f"[M-1]\n{HEAD}{PACKAGE.replace('[m', '[M-1')}", "name: String should match"),
        (f"[m]\n{HEAD}{PACKAGE}", "files: Field required"),
        (f'[m]\n{HEAD}{PACKAGE}[[m.files]]\nname = "n"\nmember = "a/n"\n', "needs sha256 and size"),
        (f'[m]\n{HEAD}{PACKAGE}[[m.files]]\nname = "n"\n{PINNED}', "member goes with a package"),
        (f'[m]\n{HEAD}{URL}[[m.files]]\nname = "n"\nmember = "a/n"\n{PINNED}', "member goes with a package"),
        (f'[m]\n{HEAD}{URL}[[m.files]]\nname = "../n"\n{PINNED}', "files.0.name: String should match"),
        (f'[m]\n{HEAD}{URL}[[m.files]]\nname = ".n"\n{PINNED}', "files.0.name: String should match"),
        (f'[m]\n{HEAD}{URL}[[m.files]]\nname = "n"\nother_names = ["/etc/passwd"]\n{PINNED}', "String should match"),
        (f'[m]\n{HEAD}{URL}[[m.files]]\nname = "n"\nsha256 = "abc"\nsize = 5\n', "sha256: String should match"),
        (f'[m]\n{HEAD}{URL}[[m.files]]\nname = "n"\n{PINNED}[[m.files]]\nname = "o"\n{PINNED}', "only a package"),
        (
            f"[m]\n{HEAD}{PACKAGE}" + f'[[m.files]]\nname = "n"\nmember = "a"\n{PINNED}' * 2,
            "two files of the same name",
        ),
        (f'[m]\n{HEAD}conversion = "magic"\n{URL}[[m.files]]\nname = "n"\n{PINNED}', "is converted, by one of"),
        (f'[m]\n{HEAD}speed = "high"\n{URL}[[m.files]]\nname = "n"\n{PINNED}', "Extra inputs"),
        (OWN.replace('kind = "file"', 'kind = "ftp"'), "does not match any of the expected tags"),
        (URL.replace("https", "ftp") + f'[m]\n{HEAD}[[m.files]]\nname = "n"\n{PINNED}', "is not valid"),
    ],
)
def test_a_wrong_manifest_is_refused_by_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(SetupError, match=complaint) as caught:
        parse_manifests(text, "models.toml")
    assert "models.toml" in str(caught.value)


def test_the_operators_manifests_come_on_top(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(OWN)
    assert load_manifests(tmp_path).keys() == shipped_manifests().keys() | {"m"}


def test_the_operator_cannot_give_a_shipped_model_another_meaning(tmp_path: Path) -> None:
    """A contract's scores mean something with its own networks alone."""
    (tmp_path / "models.toml").write_text(OWN.replace("[m", "[yunet").replace("[[m", "[[yunet"))
    with pytest.raises(SetupError, match="gives yunet another meaning"):
        load_manifests(tmp_path)


def test_an_operators_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="cannot be read"):
        load_manifests(tmp_path)
