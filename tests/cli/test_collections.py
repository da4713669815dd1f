"""``recognizance collections``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("portraits", "either_database")


def test_a_collection_is_made_described_listed_and_deleted(cli: Cli) -> None:
    made = cli.json("collections", "create", "people")
    assert made["CollectionArn"].endswith(":collection/people")
    assert made["FaceModelVersion"].startswith("1.")
    described = cli.json("collections", "describe", "people")
    assert (described["CollectionId"], described["FaceCount"], described["UserCount"]) == ("people", 0, 0)
    assert (described.pop("Index"), described.pop("CachedBytes")) == ("exact", 0)
    assert cli.json("collections", "list") == [described]
    for word in ("people", described["FaceModelVersion"]):
        assert word in cli("collections", "list").stdout
        assert word in cli("collections", "describe", "people").stdout
    assert "exactly, every face" in cli("collections", "describe", "people").stdout
    assert cli.json("collections", "delete", "people", "--yes") == {"StatusCode": 200}
    assert cli.json("collections", "list") == []


def test_nothing_is_deleted_when_nobody_can_be_asked(cli: Cli) -> None:
    cli("collections", "create", "people")
    assert "--yes" in cli.refused("collections", "delete", "people")
    assert len(cli.json("collections", "list")) == 1


def test_a_name_that_the_api_would_refuse_is_refused(cli: Cli) -> None:
    assert "regular expression pattern" in cli.refused("collections", "create", "no blanks")


@pytest.mark.parametrize("arguments", [("describe",), ("delete", "--yes")])
def test_a_collection_that_does_not_exist_is_named(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert "nowhere" in cli.refused("collections", arguments[0], "nowhere", *arguments[1:])


def test_more_collections_than_fit_a_page_are_all_listed(cli: Cli) -> None:
    from recognizance.cli import collections
    from recognizance.cli._session import open_session
    from recognizance.core.settings import load_settings

    names = [f"c{i}" for i in range(5)]
    with open_session(load_settings(data=cli.data)) as session:
        for name in names:
            session.call("CreateCollection", CollectionId=name)
        page = session.call("ListCollections", MaxResults=2)
        assert len(page["CollectionIds"]) == 2
        assert collections.names(session, page_size=2) == names
