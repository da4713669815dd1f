"""A cache that is not as it was left: it is told, nothing wrong comes out of it, and it is made anew."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from recognizance.collections.index import Cache, ScanIndex, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from recognizance.collections.index.protocol import Part

DIMENSIONS = 17
ROWS = 150
REVISION = 150


@dataclass
class Marks:
    """What a database remembers of its caches."""

    known: list[str] = field(default_factory=list)

    def note(self, mark: str) -> None:
        self.known.append(mark)

    def knows(self, mark: str) -> bool:
        return mark in self.known


def new_index(folder: Path, marks: Marks | None = None, dimensions: int = DIMENSIONS) -> ScanIndex:
    cache = Cache(folder, dimensions, marks)
    return ScanIndex(dimensions, cache, exact_up_to=40, tail_up_to=16, capacity=64)


def vectors(dimensions: int = DIMENSIONS) -> NDArray[np.float16]:
    made: NDArray[np.float16] = np.random.default_rng(3).normal(size=(ROWS, dimensions)).astype(np.float16)
    return made


def source(dimensions: int = DIMENSIONS) -> Source:
    ids, rows = np.arange(ROWS), vectors(dimensions)

    def some(wanted: NDArray[np.int64]) -> Iterator[Part]:
        yield wanted, rows[wanted]

    return Source(keys=lambda: ids, every=lambda: iter([(ids, rows)]), some=some)


def publish(folder: Path, marks: Marks | None = None, dimensions: int = DIMENSIONS) -> None:
    """Leave a cache as a process that ends does."""
    index = new_index(folder, marks, dimensions)
    index.reload(source(dimensions))
    index.watermark = REVISION
    index.tend()
    assert index.segments > 1
    index.close()
    assert (folder / "manifest.json").exists()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "faces"
    publish(folder)
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "faces")


def check(index: ScanIndex) -> None:
    """Rows are found by their own vectors, once."""
    probes = vectors()[:: ROWS // 10].astype(np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    least = np.full(len(probes), -np.inf)
    for one, exact in zip(
        index.search(probes, 8, least), index.search(probes, ROWS + 8, least, exact=True), strict=True
    ):
        assert sorted(exact.ids.tolist()) == list(range(ROWS))
        np.testing.assert_array_equal(one.ids, exact.ids[:8])


def check_restart(folder: Path, *, usable: bool) -> list[dict[str, Any]]:
    """Start on a cache, twice: the second time it must be of use; return what the log said at first."""
    logs = []
    for turn in range(2):
        index = new_index(folder)
        with capture_logs() as said:
            index.open()
        logs.append(said)
        assert (index.watermark == REVISION) == (usable or turn == 1)
        assert index.watermark in {-1, REVISION}
        if index.watermark < 0:
            assert index.segments == 0
            index.reload(source())
            index.watermark = REVISION
        check(index)
        index.tend()
        check(index)
        index.close()
    assert logs[1] == []
    return [dict(line) for line in logs[0]]


def manifest(folder: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes().partition(b"\n")[2])
    return body


def write_manifest(folder: Path, body: object) -> None:
    """Write a manifest whose checksum is right."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    (folder / "manifest.json").write_bytes(b"%08x\n%b" % (zlib.crc32(data), data))


# Damaged files


def _flip(place: float) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(int(place * len(data)), len(data) - 1)] ^= 0x10
        path.write_bytes(data)

    return flip


def _truncate(share: float) -> Callable[[Path], None]:
    def truncate(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: min(int(len(data) * share), len(data) - 1)])

    return truncate


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("in it")


def _unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)  # root may read what nobody may; but not this


# A segment begins with a header; of 64 rows, ids are 512 bytes, codes some thousand, and vectors the last 2176.
DAMAGES: dict[str, Callable[[Path], None]] = {
    "its first byte changed": _flip(0.0),
    "its header changed": _flip(0.005),
    "its ids changed": _flip(0.04),
    "its codes changed": _flip(0.2),
    "its padding or codes changed": _flip(0.6),
    "its vectors changed": _flip(0.9),
    "its last byte changed": _flip(1.0),
    "truncated to nothing": _truncate(0.0),
    "truncated to half": _truncate(0.5),
    "truncated by a byte": _truncate(1.0),
    "longer": _longer,
    "gone": lambda path: path.unlink(),
    "a folder": _folder,
    "unreadable": _unreadable,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", ["segment", "manifest"])
def test_a_damaged_cache_is_told_and_made_anew(folder: Path, which: str, damage: str) -> None:
    DAMAGES[damage](folder / ("manifest.json" if which == "manifest" else manifest(folder)["segments"][-1]["name"]))
    logs = check_restart(folder, usable=False)
    if (which, damage) == ("manifest", "gone"):
        assert logs == [], "as when there has never been one"
    else:
        (line,) = logs
        assert line["log_level"] == "warning"
        assert line["event"] == "the cached index cannot be used and is built anew"
        assert line["reason"]
    assert {path.name for path in folder.iterdir()} == {
        "lock",
        "manifest.json",
        *(one["name"] for one in manifest(folder)["segments"]),
    }, "what was damaged is gone"


def test_what_an_interrupted_write_left_is_swept_away(folder: Path) -> None:
    (folder / "0123456789abcdef.segment").write_bytes(b"half of a segm")
    (folder / "manifest.json.new").write_bytes(b"0000")
    index = new_index(folder)
    index.open()
    check(index)
    index.tend()
    assert {path.name for path in folder.iterdir()} == {
        "lock",
        "manifest.json",
        *(one["name"] for one in manifest(folder)["segments"]),
    }


@pytest.mark.parametrize("place", ["lock", "above"])
def test_a_folder_that_cannot_be_made_or_locked_leaves_everything_in_memory(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "faces"
    if place == "lock":
        (folder / "lock").mkdir(parents=True)
    else:
        folder.write_text("a file where the folder should be")
    with capture_logs() as logs:
        index = new_index(folder)
        index.open()
        index.reload(source())
        index.watermark = REVISION
        check(index)
        for _ in range(3):
            index.tend()
        check(index)
    assert not index.owned()
    told = [line["event"] for line in logs if "cannot be written" in line["event"]]
    assert len(told) == 1


# Manifests that nobody wrote


def _changed(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda body: body | values


def _file(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda body: body | {"segments": [body["segments"][0] | values, *body["segments"][1:]]}


ABSURD: dict[str, Callable[[dict[str, Any]], object]] = {
    "a negative watermark": _changed(watermark=-5),
    "a broken number as watermark": _changed(watermark=1.5),
    "a text as watermark": _changed(watermark="150"),
    "no watermark": lambda body: {name: value for name, value in body.items() if name != "watermark"},
    "another form": _changed(format=2),
    "other dimensions": _changed(dimensions=DIMENSIONS + 1),
    "something more": _changed(more=1),
    "no list of segments": _changed(segments=None),
    "a list of nothing": _changed(segments=[None]),
    "a segment twice": lambda body: body | {"segments": body["segments"] * 2},
    "a name above": _file(name="../faces/0123456789abcdef.segment"),
    "an absolute name": _file(name="/0123456789abcdef.segment"),
    "no file's name": _file(name="manifest.json"),
    "a name with a nul": _file(name="0123456789abcde\0.segment"),
    "another checksum": _file(checksum=0),
    "a negative checksum": _file(checksum=-1),
    "a great checksum": _file(checksum=2**64),
    "a hidden text": _file(hidden=["1"]),
    "a hidden number too great": _file(hidden=[2**70]),
    "hidden numbers in no list": _file(hidden=7),
    "no mark": _changed(mark=None),
    "a list": lambda body: [body],
    "a number": lambda _: 7,
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("how", ABSURD)
def test_an_absurd_manifest_with_a_right_checksum_is_told_and_made_anew(folder: Path, how: str) -> None:
    write_manifest(folder, ABSURD[how](manifest(folder)))
    (line,) = check_restart(folder, usable=False)
    assert line["event"] == "the cached index cannot be used and is built anew"


def test_a_manifest_reaches_no_file_outside_its_folder(folder: Path, tmp_path: Path) -> None:
    publish(tmp_path / "other")
    other = manifest(tmp_path / "other")
    for path in (tmp_path / "other").glob("*.segment"):
        shutil.copy(path, tmp_path)
    for form in ("../{}", str(tmp_path) + "/{}", "../other/{}"):
        body = manifest(tmp_path / "other")
        body["segments"] = [one | {"name": form.format(one["name"])} for one in other["segments"]]
        write_manifest(folder, body)
        index = new_index(folder)
        index.open()
        assert (index.watermark, index.segments) == (-1, 0)


@pytest.mark.parametrize("content", [b"", b"RCGSEG1\n", b"RCGSEG1\n\xff\xff\xff\xff{", b"RCGSEG1\n\x02\x00\x00\x00{}"])
def test_a_file_that_is_no_segment_is_none_whatever_its_checksum(folder: Path, content: bytes) -> None:
    body = manifest(folder)
    one = body["segments"][0]
    (folder / one["name"]).write_bytes(content)
    one["checksum"] = zlib.crc32(content)
    write_manifest(folder, body)
    check_restart(folder, usable=False)


def test_a_segment_of_another_length_of_vectors_is_not_taken(folder: Path, tmp_path: Path) -> None:
    publish(tmp_path / "longer", dimensions=DIMENSIONS + 2)
    longer = manifest(tmp_path / "longer")["segments"][0]
    shutil.copy(tmp_path / "longer" / longer["name"], folder)
    body = manifest(folder)
    body["segments"][0] = longer
    write_manifest(folder, body)
    check_restart(folder, usable=False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_PATIENT = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_PATIENT
@given(data=st.binary(max_size=300))
def test_no_bytes_in_the_place_of_a_manifest_raise(pristine: Path, data: bytes) -> None:
    path = pristine / "manifest.json"
    kept = path.read_bytes()
    try:
        path.write_bytes(data)
        assert Cache(pristine, DIMENSIONS).open() is None
        write_manifest(pristine, data)
        assert Cache(pristine, DIMENSIONS).open() is None
    finally:
        path.write_bytes(kept)


@_PATIENT
@given(data=st.data())
def test_no_value_of_a_manifest_raises(pristine: Path, data: st.DataObject) -> None:
    """What is taken over is at most what the files have."""
    path = pristine / "manifest.json"
    kept = path.read_bytes()
    body = manifest(pristine)
    place: Any = data.draw(st.sampled_from([body, *body["segments"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(_JSON)
    try:
        write_manifest(pristine, body)
        opened = Cache(pristine, DIMENSIONS).open()
        if opened is not None:
            held = np.concatenate([np.empty(0, np.int64), *(one.ids[one.alive] for one in opened.segments)])
            assert opened.watermark >= 0
            assert set(held.tolist()) <= set(range(ROWS))
            assert len(set(held.tolist())) == len(held)
    finally:
        path.write_bytes(kept)


# Another database's cache


def test_a_cache_is_used_only_by_the_database_that_it_was_made_from(tmp_path: Path) -> None:
    """An older copy of the database, put in its place and written to since, may have the same keys and revisions."""
    marks = Marks()
    publish(tmp_path, marks)
    known = marks.known[-1]
    index = new_index(tmp_path, marks)
    index.open()
    assert index.watermark == REVISION
    index.close()
    older = Marks(["0" * 32])
    index = new_index(tmp_path, older)
    with capture_logs() as logs:
        index.open()
    assert (index.watermark, index.segments) == (-1, 0)
    assert "not made from this database" in logs[0]["reason"]
    index.reload(source())
    index.watermark = REVISION
    index.tend()
    assert older.knows(manifest(tmp_path)["mark"])
    assert manifest(tmp_path)["mark"] != known


def test_the_mark_is_noted_before_the_manifest_that_has_it(tmp_path: Path) -> None:
    """A process may die in between: a mark too many does no harm, an unknown one would cost a rebuild."""
    marks = Marks()
    publish(tmp_path, marks)
    before = manifest(tmp_path)

    class Full(Marks):
        def note(self, mark: str) -> None:
            del mark
            raise OSError("database or disk is full")

    index = new_index(tmp_path, Full(marks.known))
    index.open()
    index.add(np.array([1000]), vectors()[:1])
    index.watermark = REVISION + 1
    with capture_logs() as logs:
        index.tend()
        index._renew(())
    assert manifest(tmp_path) == before
    assert [line["error"] for line in logs] == ["database or disk is full"]
    index.close()
    again = new_index(tmp_path, marks)
    again.open()
    assert again.watermark == REVISION
    check(again)


def test_files_swept_between_two_reads_are_looked_for_in_the_next_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = (folder / "manifest.json").read_bytes()
    writer = new_index(folder)
    writer.open()
    writer.compact()
    reader = Cache(folder, DIMENSIONS)
    read = reader._manifest
    newest = (folder / "manifest.json").read_bytes()
    turns = iter([stale, newest])

    def one_moment() -> object:
        (folder / "manifest.json").write_bytes(next(turns))
        return read()

    monkeypatch.setattr(reader, "_manifest", one_moment)
    with capture_logs() as logs:
        opened = reader.open()
    assert opened is not None
    assert logs == []
    assert sum(map(len, opened.segments)) == ROWS
