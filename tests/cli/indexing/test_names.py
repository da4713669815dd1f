"""External image ids from file names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizance.cli.indexing.names import MAX_LENGTH, external_id, valid

if TYPE_CHECKING:
    from recognizance.cli.indexing.names import Kind

LONG = st.text("ab", min_size=MAX_LENGTH + 1, max_size=MAX_LENGTH + 9)
ALLOWED = re.compile(r"[a-zA-Z0-9_.\-:]+")


@given(st.text())
def test_any_name_becomes_one_that_the_api_takes(name: str) -> None:
    made = valid(name)
    assert ALLOWED.fullmatch(made)
    assert len(made) <= MAX_LENGTH


@given(st.from_regex(ALLOWED, fullmatch=True))
def test_a_name_that_the_api_takes_stays_as_it_is(name: str) -> None:
    assert valid(name) == name or len(name) > MAX_LENGTH


@given(LONG, LONG)
def test_two_names_that_are_too_long_become_two_ids(one: str, other: str) -> None:
    assert (valid(one) == valid(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Zoë Müller.jpg", "Zoe_Muller.jpg"),
        ("a b(1).png", "a_b_1_.png"),
        ("山.jpg", ":5c71.jpg"),
        ("", "_"),
    ],
)
def test_names_stay_readable_where_they_can(name: str, expected: str) -> None:
    assert valid(name) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("file", "AJ_Cook_0001.jpg"), ("stem", "AJ_Cook_0001"), ("folder", "AJ_Cook"), ("none", None)],
)
def test_an_id_is_made_from_what_is_asked_for(kind: Kind, expected: str | None) -> None:
    assert external_id(Path("/pictures/AJ_Cook/AJ_Cook_0001.jpg"), kind) == expected
