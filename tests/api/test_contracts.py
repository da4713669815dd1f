"""Model contracts: each recognises, collections stay with theirs, and everything outlives the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from recognizance.core.settings import Settings
from recognizance.vision.contracts import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.api.conftest import Api, Running

VERSIONS = {name: load_contract(name).version for name in ("core", "standard")}


@pytest.fixture
def start(
    tmp_path: Path, database_url: str, serve: Callable[[Settings], Running], contracts: list[str]
) -> Callable[[str], Api]:
    """Start a server on the test's one data folder, with a contract for new collections."""

    def started(contract: str) -> Api:
        if contract not in contracts:
            pytest.skip(f"the models of {contract} are not on this machine")
        chosen = cast("Literal['core', 'standard']", contract)
        return serve(Settings(data=tmp_path, database_url=database_url, contract=chosen)).api()

    return started


def index(api: Api, collection: str, name: str, photos: dict[str, bytes]) -> dict[str, Any]:
    return api.call(
        "IndexFaces", CollectionId=collection, Image={"Bytes": photos[name]}, ExternalImageId=name, MaxFaces=1
    )


def search(api: Api, collection: str, picture: bytes) -> list[str]:
    matches = api.call("SearchFacesByImage", CollectionId=collection, Image={"Bytes": picture})["FaceMatches"]
    return [match["Face"]["ExternalImageId"] for match in matches]


@pytest.mark.parametrize("contract", VERSIONS)
def test_each_contract_tells_people_apart(start: Callable[[str], Api], photos: dict[str, bytes], contract: str) -> None:
    api = start(contract)
    assert api.call("CreateCollection", CollectionId="people")["FaceModelVersion"] == VERSIONS[contract]
    for name in ("obama2", "obama3", "biden"):
        answer = index(api, "people", name, photos)
        assert answer["FaceModelVersion"] == VERSIONS[contract]
        assert answer["FaceRecords"][0]["Face"]["IndexFacesModelVersion"] == VERSIONS[contract]
    assert sorted(search(api, "people", photos["obama"])) == ["obama2", "obama3"]
    assert search(api, "people", photos["biden"]) == ["biden"]
    images = {"SourceImage": {"Bytes": photos["obama"]}, "TargetImage": {"Bytes": photos["both"]}}
    answer = api.call("CompareFaces", **images)
    assert len(answer["FaceMatches"]) == len(answer["UnmatchedFaces"]) == 1


def test_a_collection_stays_with_the_contract_it_was_made_with(
    start: Callable[[str], Api], photos: dict[str, bytes]
) -> None:
    """Another default changes nothing for a collection that exists; both are searched side by side."""
    before = start("core")
    before.call("CreateCollection", CollectionId="old")
    first = index(before, "old", "obama", photos)
    after = start("standard")
    after.call("CreateCollection", CollectionId="new")
    second = index(after, "new", "obama", photos)
    assert first["FaceRecords"][0]["Face"]["FaceId"] != second["FaceRecords"][0]["Face"]["FaceId"]
    listed = after.call("ListCollections")
    assert dict(zip(listed["CollectionIds"], listed["FaceModelVersions"], strict=True)) == {
        "old": VERSIONS["core"],
        "new": VERSIONS["standard"],
    }
    assert index(after, "old", "biden", photos)["FaceModelVersion"] == VERSIONS["core"]
    assert search(after, "old", photos["obama2"]) == ["obama"]
    assert search(after, "new", photos["obama2"]) == ["obama"]


def test_everything_written_is_there_after_a_restart(
    tmp_path: Path,
    database_url: str,
    serve_once: Callable[[Settings], AbstractContextManager[Running]],
    contracts: list[str],
    photos: dict[str, bytes],
) -> None:
    assert contracts
    settings = Settings(data=tmp_path, database_url=database_url, contract="core")
    with serve_once(settings) as server:
        api = server.api()
        api.call("CreateCollection", CollectionId="people", Tags={"a": "1"})
        face_id = index(api, "people", "obama", photos)["FaceRecords"][0]["Face"]["FaceId"]
        index(api, "people", "biden", photos)
        api.call("CreateUser", CollectionId="people", UserId="o")
        api.call("AssociateFaces", CollectionId="people", UserId="o", FaceIds=[face_id])
        token = api.call("ListFaces", CollectionId="people", MaxResults=1)["NextToken"]
    with serve_once(settings) as server:
        api = server.api()
        assert search(api, "people", photos["obama2"]) == ["obama"]
        users = api.call("SearchUsersByImage", CollectionId="people", Image={"Bytes": photos["obama2"]})
        assert [match["User"]["UserId"] for match in users["UserMatches"]] == ["o"]
        (rest,) = api.call("ListFaces", CollectionId="people", NextToken=token)["Faces"]
        assert rest["ExternalImageId"] == "biden"
        arn = api.call("DescribeCollection", CollectionId="people")["CollectionARN"]
        assert api.call("ListTagsForResource", ResourceArn=arn)["Tags"] == {"a": "1"}
