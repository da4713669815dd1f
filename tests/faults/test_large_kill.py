"""Large collections, whose segments are written beside the requests, survive the death of the process at any moment."""

from __future__ import annotations

import secrets
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import Child, Starter
    from tests.faults.worker import Worker

# Processes take seconds to start where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TURNS, WRITERS = 2, 2
HEARD = 25

DAMAGED = "is built anew"


def published(data: Path) -> list[Path]:
    return sorted((data / "cache").glob("*/faces/manifest.json"))


def churned(start: Starter, first: int) -> list[Any]:
    """Let processes write, change users and search, kill each at some moment, and return what they said."""
    children = [start("few") for _ in range(WRITERS)]
    said: list[Any] = []
    for child in children:
        assert child.hear() == "ready"
    for number, child in enumerate(children):
        child.say("churn", first + number * 10_000_000)
    for child in children:
        said += [child.hear() for _ in range(HEARD)]
    for child in children:
        time.sleep(secrets.randbelow(300) / 1000)
        said += child.kill()
    return said


@pytest.mark.sqlite
def test_nothing_acknowledged_is_lost_and_nothing_deleted_comes_back(here: Worker, start: Starter, data: Path) -> None:
    indexed: dict[str, str] = {}
    deleted: set[str] = set()
    users: dict[str, list[str]] = {}
    for turn in range(TURNS):  # the second time on what the first left behind
        said = churned(start, turn * 100_000_000)
        assert not [one for one in said if "wrong" in one]
        for one in said:
            indexed |= one.get("indexed", {})
            deleted |= set(one.get("deleted", []))
            users |= {one["user"]: one["faces"]} if "user" in one else {}
        assert published(data), "segments were written meanwhile"
        stored = {face.face_id: face.user_id for face in here.service.list_faces("c", limit=10**9).items}
        kept = {number: face_id for number, face_id in indexed.items() if face_id not in deleted}
        # Each process may have deleted one more face than it lived to tell.
        assert len(set(kept.values()) - stored.keys()) <= (turn + 1) * WRITERS
        assert not deleted & stored.keys()
        assert all(stored[face_id] == user for user, face_ids in users.items() for face_id in face_ids)
        checker = start("few")
        assert checker.hear() == "ready"
        assert checker.do("check") == []
        assert not [line for line in checker.do("said") if DAMAGED in line], "what was published is whole"
        numbers = [int(number) for number, face_id in kept.items() if face_id in stored]
        assert checker.do("search", *numbers) == [kept[str(number)] for number in numbers]
        assert checker.do("until", {"owner": True})["owner"]
        checker.kill()
    assert min(map(len, (indexed, deleted, users))) >= WRITERS


STEPS = {
    "before a segment is on the disk": 2,
    "before the manifest is written": 1,
    "before the manifest is renamed": 1,
    "after the manifest was renamed": 1,
    "after an old file was deleted": 2,
}
"""Where a process dies, and at which time it comes there."""


@pytest.mark.sqlite
def test_a_death_at_any_step_of_publishing_leaves_the_old_state_or_the_new_one(
    here: Worker, start: Starter, data: Path
) -> None:
    here.grow(0, pictures=8)
    child = _ready(start)
    assert child.do("check") == []
    _wait(lambda: published(data))
    for number, (step, times) in enumerate(STEPS.items(), 1):
        # What died before left something behind; whoever comes next clears it away, and dies in turn.
        state = child.do("until", {"owner": True, "in memory": 0, "left over": 0})
        assert (state["owner"], state["in memory"], state["left over"]) == (True, 0, 0), (step, state)
        assert state["segments"] > 1
        child.do("die", step, times)
        for turn in range(20):
            here.delete(*here.faces()[3:9])
            here.grow(1000 * number + 20 * turn, faces=18)
            if child.died(seconds=2) is not None:
                break
        assert child.died() == -signal.SIGKILL, step
        child = _ready(start)
        assert child.do("check") == [], step
        assert child.do("said") == [], "what was published is whole"
        assert child.do("state")["segments"] > 1, "and of use"
    here.delete(*here.faces()[20:24])
    assert child.do("check") == []


def _ready(start: Starter) -> Child:
    child = start("few")
    assert child.hear() == "ready"
    return child


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
