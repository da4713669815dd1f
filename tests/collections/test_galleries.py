"""What loading a collection takes of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.pool import QueuePool

from recognizance.collections.index import ScanIndex
from recognizance.collections.register import CacheRegister

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collections.conftest import People

    from recognizance.collections.service import CollectionService
    from recognizance.core.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"exact_faces": 40})


def test_a_collection_with_a_cache_is_loaded_with_one_connection(
    open_service: Callable[[], CollectionService], people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that each held one and waited for a second would wait for each other once the pool is empty."""
    options: dict[str, Any] = dict(ScanIndex.__init__.__kwdefaults__ or {})
    monkeypatch.setattr(ScanIndex.__init__, "__kwdefaults__", options | {"tail_up_to": 16})
    before = open_service()
    before.create_collection("c")
    people.index(before, "c", people.strangers(100))
    before.rebuild("c")
    before.close()
    service = open_service()
    asked: list[int] = []
    knows = CacheRegister.knows

    def count(register: CacheRegister, mark: str) -> bool:
        pool = service._database.engine.pool
        assert isinstance(pool, QueuePool)
        asked.append(pool.checkedout())
        return knows(register, mark)

    monkeypatch.setattr(CacheRegister, "knows", count)
    service._galleries.load_large()
    assert asked == [0]
    (gallery,) = service._galleries.loaded().values()
    assert isinstance(gallery.faces, ScanIndex)
    assert gallery.faces.segments


def test_a_cache_that_was_filled_is_opened_again_and_leaves_no_files_behind(
    open_service: Callable[[], CollectionService], people: People, settings: Settings
) -> None:
    first = open_service()
    first.create_collection("c")
    people.index(first, "c", people.strangers(100))
    first.rebuild("c")
    first.close()
    written = {path.name for path in settings.data.rglob("*.segment")}
    assert written
    again = open_service()
    again._galleries.load_large()
    (gallery,) = again._galleries.loaded().values()
    gallery.tend()
    assert {path.name for path in settings.data.rglob("*.segment")} == written


def test_the_segments_of_a_cache_are_for_this_user_alone(
    service: CollectionService, people: People, settings: Settings
) -> None:
    service.create_collection("c")
    people.index(service, "c", people.strangers(100))
    service.rebuild("c")
    assert {path.stat().st_mode & 0o777 for path in settings.data.rglob("*.segment")} == {0o600}
