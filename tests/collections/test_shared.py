"""What keeping up with Milvus takes of the database. No Milvus answers here, and none is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.pool import QueuePool
from structlog.testing import capture_logs

from recognizance.collections.index.milvus.layout import Marks
from recognizance.collections.shared import SharedGalleries, SharedGallery
from recognizance.storage import schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from recognizance.collections.service import CollectionService
    from recognizance.core.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"milvus_url": "http://127.0.0.1:1", "milvus_timeout_seconds": 1.0})


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many connections were held whenever something would have been pushed."""
    held: list[int] = []

    def push(gallery: SharedGallery, _connection: Connection) -> bool:
        pool = gallery._database.engine.pool
        assert isinstance(pool, QueuePool)
        held.append(pool.checkedout())
        return True

    monkeypatch.setattr(SharedGallery, "_push", push)
    return held


def open_galleries(service: CollectionService) -> SharedGalleries:
    assert isinstance(service._galleries, SharedGalleries)
    return service._galleries


@pytest.mark.parametrize("how", ["follow", "push"])
def test_pushing_takes_one_connection(service: CollectionService, pushed: list[int], how: str) -> None:
    """Threads that each held one and waited for a second would wait for each other once the pool is empty."""
    service.create_collection("c")
    galleries = open_galleries(service)
    (row,) = galleries._rows()
    gallery = galleries.get(row)
    assert isinstance(gallery, SharedGallery)
    ways: dict[str, Callable[[], object]] = {"follow": lambda: galleries.follow(gallery, 1), "push": gallery.push}
    gallery._wanted = 1
    ways[how]()
    assert pushed == [1]


def test_a_collection_whose_contract_is_gone_keeps_no_other_from_being_pushed(
    service: CollectionService, pushed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Marks, "all", lambda _: {})
    for name in ("strange", "c"):
        service.create_collection(name)
    table = schema.collections
    with service._database.begin() as connection:
        connection.execute(table.update().values(revision=1))
        strange = table.c.collection_id == "strange"
        connection.execute(table.update().where(strange).values(contract_version="0.0-none"))
    with capture_logs() as logs:
        open_galleries(service).sweep()
    assert len(pushed) == 1
    assert [line["collection"] for line in logs if line["log_level"] == "warning"] == ["strange"]
