"""What the command line does beyond the API's operations, by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recognizance.core.errors import AccessDeniedError, ResourceNotFoundError
from recognizance.core.settings import Settings
from recognizance.governance.principal import Principal
from recognizance.operations import Context, Services
from recognizance.operations.local import BulkIndexer, search_every_face

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def services(tmp_path: Path, database_url: str) -> Iterator[Services]:
    settings = Settings(data=tmp_path, database_url=database_url, contract="core", models=tmp_path / "no-models")
    opened = Services.open(settings)
    yield opened
    opened.close()


def context(services: Services, role: str) -> Context:
    return Context(Principal("somebody", role, "123456789012"), "request", services)


def test_a_reader_may_not_index(services: Services) -> None:
    with pytest.raises(AccessDeniedError):
        BulkIndexer(context(services, "reader"), "people")


def test_a_role_that_nobody_defined_may_not_search(services: Services) -> None:
    request = {"CollectionId": "people", "Image": {"Bytes": b""}}
    with pytest.raises(AccessDeniedError):
        search_every_face(context(services, "stranger"), request)  # type: ignore[arg-type]


def test_a_collection_must_exist(services: Services) -> None:
    with pytest.raises(ResourceNotFoundError):
        BulkIndexer(context(services, "administrator"), "people")
