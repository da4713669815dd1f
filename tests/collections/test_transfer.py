"""Collections as Parquet files: what goes out comes back, and nothing else does."""

from __future__ import annotations

import re
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from botocore.loaders import Loader
from botocore.model import ServiceModel as BotocoreModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognizance.collections.transfer import checks, open_incoming, users_path
from recognizance.collections.transfer.about import ABOUT_KEY, DIGEST_KEY, About, faces_schema
from recognizance.collections.transfer.digest import ContentDigest
from recognizance.core.errors import InvalidParameterError, ServiceQuotaExceededError, SetupError
from recognizance.storage import schema
from recognizance.storage.database import Database
from recognizance.vision.contracts import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collections.conftest import People

    from recognizance.collections.service import CollectionService
    from recognizance.collections.transfer import Imported
    from recognizance.core.settings import Settings

FACES = 12
D = load_contract("core").dimensions
NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def filled(service: CollectionService, people: People) -> list[str]:
    """A collection of some faces, the first four a user's, with a user without faces; the ids of the faces."""
    service.create_collection("c", {"Größe": "1", "empty": ""})
    rng = np.random.default_rng(5)
    levels = rng.uniform(0, 0.4, FACES).astype(np.float32)
    ids = people.index(service, "c", people.strangers(FACES), levels)
    service.create_user("c", "first")
    service.create_user("c", "nobody")
    service.associate_faces("c", "first", ids[:4], threshold=0)
    return ids


@pytest.fixture
def exported(service: CollectionService, filled: list[str], tmp_path: Path) -> Path:
    """Its export."""
    assert filled
    service.export_collection("c", tmp_path / "c.parquet")
    return tmp_path / "c.parquet"


def import_into(service: CollectionService, path: Path, name: str | None = None) -> Imported:
    """Import as the command line does: everything is checked first."""
    with open_incoming(path) as incoming:
        incoming.verify()
        return service.import_collection(incoming, name)


def rows(settings_: Settings, collection_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what the database has of a collection's faces and users, but for keys."""
    c = schema.collections.c.collection_id
    database = Database.open(settings_.resolved_database_url)
    with database.read() as connection:
        faces = (
            sa.select(schema.faces, schema.users.c.user_id)
            .join(schema.collections, schema.faces.c.collection_pk == schema.collections.c.pk)
            .outerjoin(schema.users, schema.faces.c.user_pk == schema.users.c.pk)
            .where(c == collection_id)
            .order_by(schema.faces.c.pk)
        )
        users = sa.select(schema.users).join(schema.collections).where(c == collection_id).order_by(schema.users.c.pk)
        found = [[dict(row._mapping) for row in connection.execute(one)] for one in (faces, users)]
    database.close()
    for row in (*found[0], *found[1]):
        for key in ("pk", "collection_pk", "user_pk"):
            row.pop(key, None)
    return found[0], found[1]


def test_a_collection_comes_back_as_it_was(service: CollectionService, exported: Path, settings: Settings) -> None:
    before = rows(settings, "c")
    done = import_into(service, exported, "copy")
    assert (done.collection_id, done.created) == ("copy", True)
    assert (done.faces_added, done.faces_existing, done.users_added) == (FACES, 0, 2)
    assert rows(settings, "copy") == before
    assert service.collection_tags("copy") == {"Größe": "1", "empty": ""}
    described = service.describe_collection("copy")
    assert (described.face_count, described.user_count) == (FACES, 2)


def test_a_collection_that_came_back_answers_the_same(
    service: CollectionService, exported: Path, people: People, open_service: Callable[[], CollectionService]
) -> None:
    probes = people.probes(np.stack([people.strangers(3)[0], people.strangers(2)[1]]))
    import_into(service, exported, "copy")
    for one in (service, open_service()):
        for find in (one.search_faces, one.search_users):
            assert find("copy", probes, threshold=0) == find("c", probes, threshold=0)
    assert service.search_faces("copy", probes, threshold=0)[0]


def test_a_search_sees_what_was_imported_by_another_process(
    service: CollectionService, exported: Path, people: People, open_service: Callable[[], CollectionService]
) -> None:
    other = open_service()
    service.create_collection("copy")
    probes = people.probes(people.strangers(1))
    assert other.search_faces("copy", probes, threshold=0) == [[]]
    import_into(service, exported, "copy")
    assert len(other.search_faces("copy", probes, threshold=0)[0]) == FACES


def test_an_import_may_be_done_again_and_adds_what_is_missing(
    service: CollectionService, exported: Path, filled: list[str], settings: Settings
) -> None:
    before = sorted(rows(settings, "c")[0], key=lambda row: cast("str", row["face_id"]))
    done = import_into(service, exported)
    assert (done.collection_id, done.created) == ("c", False)
    assert (done.faces_added, done.faces_existing, done.users_added) == (0, FACES, 0)
    service.delete_faces("c", filled[6:9])
    service.delete_user("c", "first")
    assert import_into(service, exported).faces_added == 3
    found = {face.face_id: face.user_id for face in service.list_faces("c").items}
    assert found.keys() == set(filled)
    assert set(found.values()) == {None}  # faces that were there stay as they were
    assert {row["face_id"] for row in before} == found.keys()


def test_an_interrupted_import_goes_on(
    service: CollectionService, exported: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognizance.collections.transfer.storing._ROWS_OF_CHANGE", 3)

    def stop(done: int, _total: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with open_incoming(exported) as incoming, pytest.raises(KeyboardInterrupt):
        service.import_collection(incoming, "copy", stop)
    part = service.describe_collection("copy").face_count
    assert 0 < part < FACES
    assert import_into(service, exported, "copy").faces_added == FACES - part
    assert rows(settings, "copy") == rows(settings, "c")


def test_users_vectors_are_computed_and_not_believed(
    service: CollectionService, exported: Path, people: People
) -> None:
    assert "vector" not in pq.read_schema(users_path(exported)).names
    import_into(service, exported, "copy")
    (match,) = service.search_users("copy", people.probes(people.strangers(1)), threshold=0)[0]
    assert match.user.user_id == "first"


def test_a_collection_without_users_is_one_file(service: CollectionService, people: People, tmp_path: Path) -> None:
    service.create_collection("c")
    people.index(service, "c", people.strangers(2))
    written = service.export_collection("c", tmp_path / "c.parquet")
    assert (written.faces, written.users, written.users_path) == (2, 0, None)
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["c.parquet"]
    assert import_into(service, tmp_path / "c.parquet", "copy").faces_added == 2


def test_an_empty_collection_comes_back(service: CollectionService, tmp_path: Path) -> None:
    service.create_collection("c")
    service.export_collection("c", tmp_path / "c.parquet")
    done = import_into(service, tmp_path / "c.parquet", "copy")
    assert (done.created, done.faces_added) == (True, 0)


def test_pandas_and_arrow_read_it(exported: Path, filled: list[str]) -> None:
    table = pq.read_table(exported)
    assert table.schema.remove_metadata() == faces_schema(D)
    assert table["face_id"].to_pylist() == filled
    assert table["user_id"].to_pylist() == ["first"] * 4 + [None] * (FACES - 4)
    lengths = np.linalg.norm(np.array(table["embedding"].to_pylist(), np.float32), axis=1)
    assert lengths == pytest.approx(np.ones(FACES), abs=1e-3)
    assert pq.read_table(users_path(exported))["user_id"].to_pylist() == ["first", "nobody"]


@pytest.mark.sqlite
def test_an_export_is_for_its_owner_alone_and_overwrites_nothing(service: CollectionService, exported: Path) -> None:
    for path in (exported, users_path(exported)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(SetupError, match="exists already"):
        service.export_collection("c", exported)
    exported.unlink()
    with pytest.raises(SetupError, match=r"c\.users\.parquet exists already"):
        service.export_collection("c", exported)
    assert not list(exported.parent.glob("*.partial"))
    assert not exported.exists()


@pytest.mark.sqlite
def test_a_collection_of_another_contract_is_refused(
    service: CollectionService, exported: Path, settings: Settings
) -> None:
    database = Database.open(settings.resolved_database_url)
    with database.begin() as connection:
        connection.execute(schema.collections.update().values(contract_version=load_contract("standard").version))
    database.close()
    version = load_contract("core").version
    with pytest.raises(InvalidParameterError, match=f"uses face model .* analysed with {re.escape(version)}"):
        import_into(service, exported, "c")
    assert import_into(service, exported, "copy").created
    assert service.describe_collection("copy").contract_version == version


@pytest.mark.sqlite
def test_a_user_that_would_have_too_many_faces_is_refused(
    service: CollectionService, exported: Path, people: People
) -> None:
    service.create_collection("full")
    service.create_user("full", "first")
    ids = people.index(service, "full", np.repeat(people.strangers(1), 97, axis=0))
    service.associate_faces("full", "first", ids, threshold=0)
    with pytest.raises(ServiceQuotaExceededError, match="more than 100 faces"):
        import_into(service, exported, "full")


@pytest.mark.sqlite
def test_tables_that_do_not_belong_together_are_refused(service: CollectionService, exported: Path) -> None:
    other = exported.with_name("other.parquet")
    service.create_user("c", "third")
    service.export_collection("c", other)
    users_path(other).replace(users_path(exported))
    with pytest.raises(SetupError, match="not exported together"), open_incoming(exported):
        pass
    users_path(exported).unlink()
    with pytest.raises(SetupError, match=r"There is no file .*c\.users\.parquet"), open_incoming(exported):
        pass


@pytest.mark.sqlite
def test_the_table_of_users_alone_is_refused_with_the_name_of_the_other(exported: Path) -> None:
    with (
        pytest.raises(SetupError, match=r"table of users\. Name the table of faces, .*/c\.parquet"),
        open_incoming(users_path(exported)),
    ):
        pass


@pytest.mark.sqlite
@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet at all" * 100, None])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=r"cannot be read as Parquet|There is no file"), open_incoming(path):
        pass


@pytest.mark.sqlite
def test_what_other_programs_wrote_is_refused(exported: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(exported), tmp_path / "x.parquet")
    with pytest.raises(SetupError, match="other programs wrote"), open_incoming(tmp_path / "x.parquet"):
        pass


# Files that were made to deceive: their digests are right, their values are not.


def good(count: int = 3) -> dict[str, list[Any]]:
    """The columns of a table of faces that can be imported."""
    vector = np.zeros(D, np.float16)
    vector[0] = 1
    return {
        "face_id": [f"{i:08x}-0000-8000-8000-000000000000" for i in range(count)],
        "image_id": ["00000000-0000-8000-8000-000000000000"] * count,
        "external_image_id": ["a:b", None, "c"][:count] + [None] * (count - 3),
        "user_id": [None] * count,
        **{f"box_{side}": [0.25] * count for side in ("left", "top", "width", "height")},
        "confidence": [99.5] * count,
        "face_model_version": [load_contract("core").version] * count,
        "embedding": [vector] * count,
        "impostor_level": [0.25] * count,
        "created_at": [NOW] * count,
    }


def write(
    path: Path,
    columns: dict[str, list[Any]],
    *,
    about: dict[str, Any] | None = None,
    as_schema: pa.Schema | None = None,
) -> Path:
    """Write a table of faces with a right digest."""
    as_schema = as_schema or faces_schema(D)
    table = pa.table({name: pa.array(values, as_schema.field(name).type) for name, values in columns.items()})
    table = table.cast(as_schema, safe=False) if table.schema != as_schema else table
    plain = {
        "format": "recognizance collection",
        "format_version": 1,
        "program_version": "1",
        "table": "faces",
        "collection": "c",
        "face_model_version": load_contract("core").version,
        "dimensions": D,
        "rows": table.num_rows,
        "tags": {},
        "users": None,
        "exported_at": NOW,
    }
    text = About.model_construct(**(plain | (about or {}))).model_dump_json(warnings=False).encode()
    digest = ContentDigest(text)
    with pq.ParquetWriter(path, as_schema) as writer:
        for batch in table.to_batches(max_chunksize=16_384):
            whole = pa.record_batch(batch.columns, schema=as_schema)
            writer.write_batch(whole)
            if as_schema == faces_schema(D):
                digest.update(whole)
        writer.add_key_value_metadata({ABOUT_KEY: text, DIGEST_KEY: digest.hexdigest()})
    return path


def refused(path: Path) -> str:
    """Check a file that must be refused, and return what is said."""
    with pytest.raises(SetupError) as error, open_incoming(path) as incoming:
        incoming.verify()
    return str(error.value)


@pytest.mark.sqlite
def test_a_good_file_is_imported(service: CollectionService, tmp_path: Path) -> None:
    assert import_into(service, write(tmp_path / "x.parquet", good())).faces_added == 3


@pytest.mark.sqlite
def test_a_face_that_stands_in_a_file_twice_is_stored_once(service: CollectionService, tmp_path: Path) -> None:
    columns = good()
    columns["face_id"][2] = columns["face_id"][0]
    done = import_into(service, write(tmp_path / "x.parquet", columns))
    assert (done.faces_added, done.faces_existing) == (2, 1)


def vector_of(value: float, length: int = D) -> np.ndarray[Any, np.dtype[np.float16]]:
    return np.full(length, value, np.float16)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("face_id", "x"),
        ("face_id", ""),
        ("face_id", "00000000-0000-8000-8000-00000000000A"),
        ("face_id", "00000000-0000-8000-8000-000000000000\n"),
        ("image_id", "../../etc/passwd"),
        ("external_image_id", ""),
        ("external_image_id", "with blank"),
        ("external_image_id", "x" * 256),
        ("external_image_id", "x" * 1_000_000),
        ("user_id", "ünï"),
        ("user_id", "x" * 129),
        ("box_left", float("nan")),
        ("box_left", float("inf")),
        ("box_width", -0.1),
        ("box_height", 1e9),
        ("confidence", -1.0),
        ("confidence", 100.1),
        ("confidence", float("nan")),
        ("face_model_version", "9.9"),
        ("impostor_level", float("nan")),
        ("impostor_level", 1.5),
        ("impostor_level", float("-inf")),
        ("embedding", vector_of(0)),
        ("embedding", vector_of(1)),
        ("embedding", vector_of(float("nan"))),
        ("embedding", vector_of(float("inf"))),
        ("created_at", NOW - timedelta(days=365 * 100)),
        ("created_at", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_value_that_no_collection_has_is_refused(tmp_path: Path, name: str, value: object) -> None:
    columns = good()
    columns[name] = [*columns[name][:2], value]
    assert name in refused(write(tmp_path / "x.parquet", columns))


@pytest.mark.sqlite
@pytest.mark.parametrize("name", ["face_id", "confidence", "created_at"])
def test_a_value_that_is_missing_is_refused(tmp_path: Path, name: str) -> None:
    columns = good()
    columns[name] = [None, *columns[name][1:]]
    fields = [field.with_nullable(True) if field.name == name else field for field in faces_schema(D)]
    assert "columns are not those" in refused(write(tmp_path / "x.parquet", columns, as_schema=pa.schema(fields)))


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("face_id", pa.binary()),
        ("confidence", pa.float32()),
        ("created_at", pa.timestamp("ms", tz="UTC")),
        ("embedding", pa.list_(pa.field("element", pa.float16(), nullable=False))),
        ("impostor_level", pa.float64()),
    ],
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, name: str, type_: pa.DataType) -> None:
    fields = [field.with_type(type_) if field.name == name else field for field in faces_schema(D)]
    assert "columns are not those" in refused(write(tmp_path / "x.parquet", good(), as_schema=pa.schema(fields)))


@pytest.mark.sqlite
def test_a_column_that_is_missing_or_more_is_refused(tmp_path: Path) -> None:
    fields = list(faces_schema(D))
    columns = good()
    columns.pop("confidence")
    less = pa.schema([field for field in fields if field.name != "confidence"])
    assert "columns are not those" in refused(write(tmp_path / "x.parquet", columns, as_schema=less))
    more = pa.schema([*fields, pa.field("more", pa.int64())])
    columns = good() | {"more": [1, 2, 3]}
    assert "columns are not those" in refused(write(tmp_path / "y.parquet", columns, as_schema=more))


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"format": "other"}, "no export of a collection: format"),
        ({"format_version": 2, "program_version": "7.0"}, "version 7.0 of Recognizance"),
        ({"collection": "no blanks"}, "no export of a collection: collection"),
        ({"face_model_version": "99.0"}, "made with face model 99.0, which this release does not have"),
        ({"face_model_version": load_contract("standard").version}, "face_model_version has values"),
        ({"dimensions": 64}, "its columns are not those"),
        ({"dimensions": 10**9}, "no export of a collection: dimensions"),
        ({"rows": 4}, "it has 3 rows and says that they are 4"),
        ({"rows": -1}, "no export of a collection: rows"),
        ({"tags": {"aws:reserved": "x"}}, "a tag that no collection can have"),
        ({"tags": {"x": "\0"}}, "a tag that no collection can have"),
        ({"tags": {f"t{i}": "" for i in range(201)}}, "no export of a collection: tags"),
        ({"users": "x"}, "no export of a collection: users"),
        ({"users": "0" * 64}, "There is no file"),
    ],
)
def test_a_description_that_no_export_has_is_refused(tmp_path: Path, about: dict[str, Any], message: str) -> None:
    assert message in refused(write(tmp_path / "x.parquet", good(), about=about))


@pytest.mark.sqlite
def test_a_user_with_more_faces_than_a_user_may_have_is_refused(tmp_path: Path) -> None:
    columns = good(101)
    columns["user_id"] = ["u"] * 101
    assert "a user has more than 100 faces" in refused(write(tmp_path / "x.parquet", columns))
    columns["user_id"][50] = "v"
    with open_incoming(write(tmp_path / "y.parquet", columns)) as incoming:
        incoming.verify()


@pytest.mark.sqlite
def test_a_row_group_that_is_larger_than_any_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pq.read_table(write(path, good(20_000)))
    metadata = pq.ParquetFile(path).metadata.metadata
    with pq.ParquetWriter(path, faces_schema(D)) as writer:
        writer.write_table(table.combine_chunks(), row_group_size=20_000)
        writer.add_key_value_metadata({key: metadata[key] for key in (ABOUT_KEY, DIGEST_KEY)})
    assert "row group is larger" in refused(path)


@pytest.mark.sqlite
def test_what_was_refused_has_written_nothing(service: CollectionService, tmp_path: Path) -> None:
    columns = good()
    columns["confidence"][2] = 101.0
    with pytest.raises(SetupError):
        import_into(service, write(tmp_path / "x.parquet", columns))
    assert service.list_collections().items == ()


@pytest.mark.sqlite
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_byte_that_changed_is_found_or_means_nothing(exported: Path, place: float, bits: int) -> None:
    """Whatever byte of a file changes: it is refused in a plain way, or every value is what it was."""
    whole = exported.read_bytes()
    before = pq.read_table(exported)
    changed = bytearray(whole)
    changed[int(place * len(whole))] ^= bits
    exported.write_bytes(changed)
    try:
        with open_incoming(exported) as incoming:
            incoming.verify()
            found = pa.Table.from_batches(list(incoming.faces()))
        assert found.equals(before.cast(found.schema))
        assert incoming.about.tags == {"Größe": "1", "empty": ""}
    except SetupError:
        pass
    finally:
        exported.write_bytes(whole)


@pytest.mark.sqlite
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=300), keep=st.floats(0, 1))
def test_a_file_that_breaks_off_is_refused(exported: Path, garbage: bytes, keep: float) -> None:
    whole = exported.read_bytes()
    broken = exported.with_name("broken.parquet")
    broken.write_bytes(whole[: int(keep * (len(whole) - 1))] + garbage)
    if broken.read_bytes() != whole:
        refused(broken)


texts = st.text(max_size=5)


@pytest.mark.sqlite
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    face_id=st.one_of(texts, st.from_regex(checks.UUID, fullmatch=True)),
    external=st.one_of(st.none(), texts, st.from_regex(checks.EXTERNAL_IMAGE_ID, fullmatch=True)),
    user=st.one_of(st.none(), texts, st.from_regex(checks.USER_ID, fullmatch=True)),
    box=st.floats(width=64),
    confidence=st.floats(width=64),
    level=st.floats(width=32),
)
def test_what_passes_the_checks_is_what_the_api_could_have_made(
    tmp_path: Path, face_id: str, external: str | None, user: str | None, box: float, confidence: float, level: float
) -> None:
    columns = good(1)
    columns |= {"face_id": [face_id], "external_image_id": [external], "user_id": [user], "box_left": [box]}
    columns |= {"confidence": [confidence], "impostor_level": [level]}
    path = write(tmp_path / "x.parquet", columns)
    possible = (
        re.fullmatch(checks.UUID, face_id) is not None
        and (external is None or re.fullmatch(checks.EXTERNAL_IMAGE_ID, external) is not None)
        and (user is None or re.fullmatch(checks.USER_ID, user) is not None)
        and abs(box) <= 100
        and 0 <= confidence <= 100
        and abs(level) <= 1
    )
    try:
        with open_incoming(path) as incoming:
            incoming.verify()
    except SetupError:
        assert not possible
    else:
        assert possible


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("shape", "pattern"),
    [
        ("FaceId", checks.UUID),
        ("ExternalImageId", checks.EXTERNAL_IMAGE_ID),
        ("UserId", checks.USER_ID),
        ("TagKey", checks.TAG_KEY),
        ("TagValue", checks.TAG_VALUE),
    ],
)
def test_the_patterns_are_those_of_the_service_model(shape: str, pattern: str) -> None:
    loader = Loader(include_default_search_paths=False, extra_search_paths=[Loader.BUILTIN_DATA_PATH])
    found = (
        BotocoreModel(loader.load_service_model("rekognition", "service-2"), "rekognition").shape_for(shape).metadata
    )
    said = re.sub(r"\^\(?(?!\?)|\)?\$", "", found["pattern"])
    length = f"{{{found.get('min')},{found.get('max')}}}"
    assert pattern == (said[:-1] + length if said[-1] in "+*" else said)


def test_the_digest_does_not_depend_on_how_arrow_holds_the_values() -> None:
    values = ["a", None, "bc", ""]
    one = pa.record_batch([pa.array(values)], names=["x"])
    other = pa.record_batch([pa.array(["z", *values, "y"])[1:5]], names=["x"])
    digests = []
    for batch in (one, other):
        digest = ContentDigest(b"about")
        digest.update(batch)
        digests.append(digest.hexdigest())
    assert digests[0] == digests[1]
    moved = ContentDigest(b"about")
    moved.update(pa.record_batch([pa.array(["ab", None, "c", ""])], names=["x"]))
    assert moved.hexdigest() != digests[0]
