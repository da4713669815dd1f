"""Verifying, rebuilding and compacting the index of a collection by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from recognizance.collections.index import ExactIndex, ScanIndex, segment_file
from recognizance.core.errors import ResourceNotFoundError, SetupError
from recognizance.storage.repositories import collections, faces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.collections.conftest import People

    from recognizance.collections.gallery import Gallery
    from recognizance.collections.maintenance import Verification
    from recognizance.collections.service import CollectionService
    from recognizance.core.settings import Settings

FACES, USERS = 120, 45


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"exact_faces": 40})


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make segments of few faces."""
    options: dict[str, Any] = dict(ScanIndex.__init__.__kwdefaults__ or {})
    monkeypatch.setattr(ScanIndex.__init__, "__kwdefaults__", options | {"tail_up_to": 16, "capacity": 64})


@pytest.fixture
def service(service: CollectionService, people: People) -> CollectionService:
    """A service with a collection of faces and users in segments, and a few of them in the tail."""
    service.create_collection("c")
    ids = _index(service, people, FACES - 5, 1)
    for number, face_id in enumerate(ids[:USERS]):
        service.create_user("c", f"u{number}")
        service.associate_faces("c", f"u{number}", [face_id])
    service.rebuild("c")
    _index(service, people, 5, 2)
    assert service.verify("c").sound
    assert {kind: index.segments > 0 for kind, index in scans(service).items()} == {"faces": True, "users": True}
    return service


def _index(service: CollectionService, people: People, count: int, seed: int) -> list[str]:
    embeddings = np.random.default_rng(seed).normal(size=(count, 128)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    stored = service.index_faces(
        "c",
        people.faces(embeddings),
        picture_digest=seed.to_bytes(32, "big"),
        contract_version=people.version,
    )
    return [face.face_id for face in stored]


def gallery(service: CollectionService) -> Gallery:
    (one,) = service._galleries.loaded().values()
    return one


def scans(service: CollectionService) -> dict[str, ScanIndex]:
    return {kind: index for kind, index in gallery(service).indexes.items() if isinstance(index, ScanIndex)}


def state(found: Verification) -> tuple[int, int, int]:
    return found.missing, found.different, found.superfluous


def test_a_sound_index_is_sound(service: CollectionService) -> None:
    steps: list[tuple[int, int]] = []
    found = service.verify("c", lambda done, total: steps.append((done, total)))
    assert found.sound
    assert (found.faces, found.users) == (FACES, USERS)
    assert state(found) == (0, 0, 0)
    assert found.probes == FACES
    assert (found.recall_at_1, found.recall_at_10) == (1.0, 1.0)
    assert steps[-1] == (FACES + USERS, FACES + USERS)
    assert steps == sorted(steps)


def _change_in_segment(index: ScanIndex) -> None:
    segment = index._segments[0]
    changed = segment.vectors.copy()
    changed[3] = -changed[3]
    segment.vectors = changed


def _lose_from_segment(index: ScanIndex) -> None:
    index._segments[-1].hide(index._segments[-1].ids[5:7])


def _add_to_tail(index: ScanIndex) -> None:
    index._tail.add(np.array([10**9]), np.ones((1, 129), np.float16))


def _lose_from_tail(index: ScanIndex) -> None:
    index._tail.remove(index._tail.items()[0][:1].tolist())


DEFECTS: dict[str, tuple[str, Callable[[ScanIndex], None], tuple[int, int, int]]] = {
    "a face of a segment changed": ("faces", _change_in_segment, (0, 1, 0)),
    "faces of a segment lost": ("faces", _lose_from_segment, (2, 0, 0)),
    "a face too many": ("faces", _add_to_tail, (0, 0, 1)),
    "a face of the tail lost": ("faces", _lose_from_tail, (1, 0, 0)),
    "a user changed": ("users", _change_in_segment, (0, 1, 0)),
    "users lost": ("users", _lose_from_segment, (2, 0, 0)),
    "a user too many": ("users", _add_to_tail, (0, 0, 1)),
}


@pytest.mark.sqlite
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_and_a_rebuild_cures_it(
    service: CollectionService, defect: str, open_service: Callable[[], CollectionService]
) -> None:
    kind, make, expected = DEFECTS[defect]
    make(scans(service)[kind])
    found = service.verify("c")
    assert state(found) == expected
    assert not found.sound
    service.rebuild("c")
    assert state(service.verify("c")) == (0, 0, 0)
    service.close()
    with capture_logs() as logs:
        assert state(open_service().verify("c")) == (0, 0, 0)
    assert logs == []


def test_all_defects_are_counted(service: CollectionService) -> None:
    for kind, make, _ in DEFECTS.values():
        make(scans(service)[kind])
    expected = np.sum([one for _, _, one in DEFECTS.values()], axis=0).tolist()
    assert list(state(service.verify("c"))) == expected


def test_an_index_that_has_lost_everything_can_be_verified(service: CollectionService) -> None:
    index = scans(service)["faces"]
    index.remove(index.ids())
    found = service.verify("c")
    assert state(found) == (FACES, 0, 0)
    assert (found.probes, found.recall_at_1) == (0, None)


def test_a_defect_of_the_files_of_a_server_that_runs_is_seen_by_another_process(
    service: CollectionService, open_service: Callable[[], CollectionService], settings: Settings
) -> None:
    """The command line verifies beside a server: with the same files, and the log from there on."""
    other = open_service()
    assert other.verify("c").sound
    manifests = list((settings.data / "cache").rglob("manifest.json"))
    assert manifests
    for path in manifests:
        path.write_bytes(b"damaged")
    with capture_logs() as logs:
        assert open_service().verify("c").sound
    assert [line["log_level"] for line in logs] == ["warning"] * 2
    assert service.verify("c").sound


def test_only_the_process_that_has_the_files_may_write_them_anew(
    service: CollectionService, open_service: Callable[[], CollectionService]
) -> None:
    other = open_service()
    with pytest.raises(SetupError, match="Another process"):
        other.rebuild("c")
    with pytest.raises(SetupError, match="Another process"):
        other.compact("c")
    assert other.verify("c").sound
    service.close()
    other.rebuild("c")
    other.compact("c")
    assert other.verify("c").sound


def test_compacting_removes_what_was_deleted_from_the_files(
    service: CollectionService, people: People, settings: Settings
) -> None:
    gone = _index(service, people, 50, 7)
    service.compact("c")
    (segment, *_) = [one for one in scans(service)["faces"]._segments if len(one.ids)]
    with service._database.read() as connection:
        row = collections.get(connection, "c")
        assert row is not None
        keys = [one.pk for one in faces.by_id(connection, row.pk, gone).values()]
        vectors = [vector for _, vector in faces.some_vectors(connection, keys)]
    assert segment.name

    def stored() -> list[bool]:
        content = b"".join(path.read_bytes() for path in (settings.data / "cache").rglob("*.segment"))
        return [vector in content for vector in vectors]

    assert stored() == [True] * 50
    service.delete_faces("c", gone)
    assert stored() == [True] * 50
    service.compact("c")
    assert stored() == [False] * 50
    assert service.verify("c").sound


def test_a_rebuild_tells_how_far_it_is(service: CollectionService) -> None:
    steps: list[tuple[int, int]] = []
    service.rebuild("c", lambda done, total: steps.append((done, total)))
    assert steps[-1] == (FACES + USERS, FACES + USERS)
    assert steps == sorted(steps)


def test_a_small_collection_has_nothing_to_write_anew(
    service: CollectionService, people: People, settings: Settings
) -> None:
    service.delete_collection("c")
    service.create_collection("c")
    _index(service, people, 10, 3)
    service.rebuild("c")
    service.compact("c")
    assert service.verify("c").sound
    assert not list((settings.data / "cache").rglob("*.segment"))


def test_a_collection_that_does_not_exist_is_named(service: CollectionService) -> None:
    for action in (service.verify, service.rebuild, service.compact):
        with pytest.raises(ResourceNotFoundError, match="nobody"):
            action("nobody")


def test_a_full_disk_ends_a_compaction_with_what_to_do(
    service: CollectionService, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: Path, segment: object) -> int:
        del segment
        raise OSError(28, "No space left on device", str(path))

    service.delete_faces("c", _index(service, people, 3, 9))
    with monkeypatch.context() as full:
        full.setattr(segment_file, "write", no_room)
        with pytest.raises(SetupError, match="Make room"):
            service.compact("c")
    assert service.verify("c").sound
    service.compact("c")
    assert service.verify("c").sound


def test_an_index_in_memory_alone_is_always_its_own() -> None:
    index = ExactIndex(3)
    index.open()
    index.tend()
    index.compact()
    index.close()
    assert index.owned()
    assert len(index) == 0
