"""An acknowledged write survives the death of the process that made it, whenever that comes."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

from recognizance.storage import schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.conftest import Child
    from tests.faults.worker import Worker

WRITERS = 2
TURNS = 2


def killed(start: Callable[[], Child], first: int) -> list[Any]:
    """Let some processes write to one collection, kill each at some moment, and return what they acknowledged."""
    children = [start() for _ in range(WRITERS)]
    said: list[Any] = []
    for child in children:
        assert child.hear() == "ready"
    for number, child in enumerate(children):
        child.say("write", first + number * 1_000_000)
    for child in children:
        said += [child.hear() for _ in range(9)]
    for child in children:
        time.sleep(secrets.randbelow(250) / 1000)
        said += child.kill()
    return said


@pytest.mark.slow
@pytest.mark.timeout(600)  # processes take seconds to start where the machine is busy
def test_what_was_acknowledged_is_there_after_a_kill(here: Worker, start: Callable[[], Child]) -> None:
    indexed: dict[int, str] = {}
    deleted: set[str] = set()
    users: dict[str, list[str]] = {}
    for turn in range(TURNS):  # the second time on what the first left behind
        for one in killed(start, turn * 10_000_000):
            indexed |= {int(number): face_id for number, face_id in one.get("indexed", {}).items()}
            deleted |= set(one.get("deleted", []))
            users |= {one["user"]: one["faces"]} if "user" in one else {}
        kept = {number: face_id for number, face_id in indexed.items() if face_id not in deleted}
        check_files(here)
        check_acknowledged(here, kept, deleted, users)
    assert min(map(len, (kept, deleted, users))) >= WRITERS


def check_acknowledged(here: Worker, kept: dict[int, str], deleted: set[str], users: dict[str, list[str]]) -> None:
    stored = {face.face_id: face for face in here.service.list_faces("c", limit=10**9).items}
    missing = {number for number, face_id in kept.items() if face_id not in stored}
    # Each process may have deleted one more face than it lived to tell: the first one of a picture in three.
    assert len(missing) <= TURNS * WRITERS
    assert {number // 10 % 3 for number in missing if number % 10 == 0} <= {1}
    assert all(number % 10 == 0 for number in missing)
    assert not deleted & stored.keys()
    for user, face_ids in users.items():
        assert [stored[face_id].user_id for face_id in face_ids] == [user] * len(face_ids)
    numbers = [number for number, face_id in kept.items() if face_id in stored]
    assert here.search(*numbers) == [kept[number] for number in numbers]


def check_files(here: Worker) -> None:
    """Whatever the processes were doing, no half of it is in the database."""
    faces, users, log = schema.faces.c, schema.users.c, schema.face_log.c
    with here.database.read() as connection:
        if not here.database.is_postgresql:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        collection = connection.execute(sa.select(schema.collections)).one()
        assert collection.face_count == connection.scalar(sa.select(sa.func.count(faces.pk)))
        assert collection.user_count == connection.scalar(sa.select(sa.func.count(users.pk)))
        revisions = list(connection.scalars(sa.select(log.revision).order_by(log.revision)))
        assert revisions == list(range(1, collection.revision + 1))
        logged = set(connection.scalars(sa.select(log.subject).where(log.kind == schema.FACE)))
        assert set(connection.scalars(sa.select(faces.pk))) <= logged
        pictures = connection.execute(
            sa.select(sa.func.count(faces.pk), sa.func.max(faces.box_left)).group_by(faces.image_id)
        ).all()
        with_vector = set(connection.scalars(sa.select(users.pk).where(users.vector.is_not(None))))
        with_faces = set(connection.scalars(sa.select(faces.user_pk).where(faces.user_pk.is_not(None))))
    assert with_vector == with_faces
    # A picture's faces stand 50 pixels of 1000 apart: all are there, or all but the first, which may be deleted.
    for found, rightmost in pictures:
        assert found in {round(rightmost * 20) + 1, round(rightmost * 20)}
    assert np.isfinite(rightmost)
