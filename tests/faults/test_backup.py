"""A backup shows one moment, however much others write meanwhile; what is restored answers as the old one did."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from recognizance.collections.service import CollectionService
from recognizance.core.settings import Settings
from recognizance.storage import schema
from recognizance.storage.backup import back_up, open_existing, open_package, restore
from recognizance.storage.database import Database
from recognizance.vision.analyser import Analysers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.conftest import Child
    from tests.faults.worker import Worker

BACKUPS = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def restored_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored' / 'recognizance.db'}"
        return
    server = request.getfixturevalue("postgresql")
    url = server.create(empty=True)
    yield url
    server.drop(url)


@pytest.mark.slow
@pytest.mark.timeout(600)  # processes take seconds to start where the machine is busy
def test_a_backup_made_under_load_has_everything_that_was_acknowledged_before_and_no_half_of_a_write(
    here: Worker, start: Callable[[], Child], database_url: str, restored_url: str, tmp_path: Path
) -> None:
    child = start()
    assert child.hear() == "ready"
    child.say("write", 0)
    said = [child.hear() for _ in range(12)]
    for number in range(BACKUPS):
        with closing(open_existing(database_url)) as database:
            back_up(database, tmp_path / f"b{number}")
        if number < BACKUPS - 1:
            said += [child.hear() for _ in range(6)]
    more = child.hear()  # it went on writing all the while
    child.kill()
    with open_package(tmp_path / f"b{BACKUPS - 1}") as package:
        restore(package, restored_url)
    _check(restored_url, tmp_path / "new", here, [one for one in said if one != more])


def _check(url: str, data: Path, here: Worker, said: list[dict[str, Any]]) -> None:
    indexed: dict[str, str] = {}
    deleted: set[str] = set()
    for one in said:
        indexed |= one.get("indexed", {})
        deleted |= set(one.get("deleted", []))
    settings = Settings(data=data, database_url=url, models=data / "models", contract="core")
    with (
        closing(Database.open(url)) as database,
        closing(CollectionService(database, Analysers(settings), settings)) as service,
    ):
        stored = {face.face_id for face in service.list_faces("c", limit=10**9).items}
        kept = {int(number): face_id for number, face_id in indexed.items() if face_id not in deleted}
        missing = set(kept.values()) - stored
        assert len(missing) <= 1  # the one that was deleted and not told of yet
        assert not deleted & stored
        described = service.describe_collection("c")
        assert described.face_count == len(stored)
        with database.read() as connection:
            with_vector = set(
                connection.scalars(sa.select(schema.users.c.pk).where(schema.users.c.vector.is_not(None)))
            )
            owners = schema.faces.c.user_pk
            with_faces = set(connection.scalars(sa.select(owners).where(owners.is_not(None))))
            assert with_vector == with_faces
        numbers = [number for number, face_id in kept.items() if face_id in stored]
        old, here.service = here.service, service
        try:
            assert here.search(*numbers) == [kept[number] for number in numbers]
            # What is written now is found, too, and nothing is taken for what it is not.
            (new,) = here.index(10**9)
            assert here.search(10**9, *numbers) == [new, *(kept[number] for number in numbers)]
        finally:
            here.service = old
