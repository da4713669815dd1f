from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from recognizance.collections.service import CollectionService
from recognizance.core import clock
from recognizance.core.errors import (
    ResourceAlreadyExistsError,
    ResourceNotFoundError,
    ServiceQuotaExceededError,
    SetupError,
)
from recognizance.core.settings import Settings
from recognizance.storage import schema
from recognizance.storage.database import Database
from recognizance.vision.analyser import Analysers
from recognizance.vision.contracts import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.collections.conftest import People


def test_a_new_collection_is_empty_and_pinned_to_the_default_contract(service: CollectionService) -> None:
    before = clock.now()
    made = service.create_collection("Staff.2026")
    assert made == service.describe_collection("Staff.2026")
    assert (made.face_count, made.user_count) == (0, 0)
    assert made.arn == "arn:aws:rekognition:eu-central-1:123456789012:collection/Staff.2026"
    assert made.contract_version == load_contract("core").version
    assert service.contract("Staff.2026") is load_contract("core")
    assert before <= made.created_at <= clock.now()
    assert made.created_at.tzinfo is UTC


def test_a_name_is_taken_until_its_collection_is_deleted(service: CollectionService) -> None:
    service.create_collection("a")
    with pytest.raises(ResourceAlreadyExistsError, match="The collection id: a already exists"):
        service.create_collection("a")
    service.create_collection("A")
    service.delete_collection("a")
    assert [c.collection_id for c in service.list_collections().items] == ["A"]
    service.create_collection("a")


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.describe_collection("none"),
        lambda s: s.contract("none"),
        lambda s: s.delete_collection("none"),
        lambda s: s.tag_collection("none", {"a": "b"}),
        lambda s: s.untag_collection("none", ["a"]),
        lambda s: s.collection_tags("none"),
        lambda s: s.list_faces("none"),
        lambda s: s.delete_faces("none", []),
        lambda s: s.search_faces_by_id("none", "f"),
        lambda s: s.create_user("none", "u"),
        lambda s: s.delete_user("none", "u"),
        lambda s: s.list_users("none"),
        lambda s: s.associate_faces("none", "u", []),
        lambda s: s.disassociate_faces("none", "u", []),
        lambda s: s.search_users_by_face_id("none", "f"),
        lambda s: s.search_users_by_user_id("none", "u"),
    ],
)
def test_whatever_names_a_missing_collection_says_so(
    service: CollectionService, call: Callable[[CollectionService], object]
) -> None:
    with pytest.raises(ResourceNotFoundError, match="The collection id: none does not exist"):
        call(service)


def test_pages_of_collections_join_without_gap_or_repetition(service: CollectionService) -> None:
    names = [f"c{number}" for number in range(7)]
    for name in names:
        service.create_collection(name)
    service.delete_collection("c3")
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = service.list_collections(limit=2, after=after)
        assert len(page.items) == 2
        seen += [collection.collection_id for collection in page.items]
        after = page.next_position
    assert seen == [name for name in names if name != "c3"]


def test_a_deleted_collection_leaves_no_row_behind(
    service: CollectionService, settings: Settings, people: People
) -> None:
    service.create_collection("gone", {"k": "v"})
    service.create_collection("kept", {"k": "v"})
    for name in ("gone", "kept"):
        ids = people.index(service, name, people.strangers(3))
        service.create_user(name, "u")
        service.associate_faces(name, "u", ids[:2])
    service.delete_collection("gone")
    database = Database.open(settings.resolved_database_url)
    with database.read() as connection:
        found = {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (schema.collections, schema.tags, schema.users, schema.faces, schema.face_log)
        }
    assert found == {"collections": 1, "tags": 1, "users": 1, "faces": 3, "face_log": 4}
    database.close()
    assert service.describe_collection("kept").face_count == 3


def test_tags_are_replaced_added_and_removed_by_key(service: CollectionService) -> None:
    service.create_collection("c", {"team": "a", "cost": "1"})
    service.tag_collection("c", {"team": "b", "Area": ""})
    assert service.collection_tags("c") == {"Area": "", "cost": "1", "team": "b"}
    assert list(service.collection_tags("c")) == ["Area", "cost", "team"]
    service.untag_collection("c", ["cost", "absent"])
    assert service.collection_tags("c") == {"Area": "", "team": "b"}


def test_no_tag_is_added_beyond_two_hundred(service: CollectionService) -> None:
    service.create_collection("c", {str(number): "" for number in range(199)})
    with pytest.raises(ServiceQuotaExceededError):
        service.tag_collection("c", {"x": "", "y": ""})
    assert len(service.collection_tags("c")) == 199
    service.tag_collection("c", {"x": "", "5": "replaced"})
    assert len(service.collection_tags("c")) == 200
    with pytest.raises(ServiceQuotaExceededError):
        service.create_collection("d", {str(number): "" for number in range(201)})
    with pytest.raises(ResourceNotFoundError):
        service.describe_collection("d")


def test_a_collection_of_an_unknown_contract_is_listed_and_named_when_used(
    service: CollectionService, settings: Settings
) -> None:
    service.create_collection("old")
    database = Database.open(settings.resolved_database_url)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE collections SET contract_version = '0.1'")
    database.close()
    assert service.list_collections().items[0].contract_version == "0.1"
    with pytest.raises(SetupError, match=r"0\.1"):
        service.contract("old")


def test_without_models_no_collection_is_made(settings: Settings) -> None:
    settings = settings.model_copy(update={"contract": "auto"})
    database = Database.open(settings.resolved_database_url)
    service = CollectionService(database, Analysers(settings), settings)
    with pytest.raises(SetupError, match="models pull"):
        service.create_collection("c")
    database.close()
