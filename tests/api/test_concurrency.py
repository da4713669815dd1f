"""Many clients at once: nothing is lost, nothing is found that was deleted, and every answer is whole."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.api.conftest import Api, Running

THREADS = 8
ROUNDS = 3


@pytest.fixture(scope="module")
def variants(photos: dict[str, bytes]) -> list[list[bytes]]:
    """For each thread, small pictures that no other has, so that each is a face of its own."""

    def variant(thread: int, turn: int) -> bytes:
        picture = Image.open(io.BytesIO(photos["obama" if thread % 2 else "biden"])).convert("RGB")
        file = io.BytesIO()
        picture.resize((300 + 7 * thread, 380 + 5 * turn)).save(file, "JPEG")
        return file.getvalue()

    return [[variant(thread, turn) for turn in range(ROUNDS)] for thread in range(THREADS)]


def test_clients_that_index_search_and_delete_at_once_do_not_disturb_each_other(
    server: Running, api: Api, collection: str, variants: list[list[bytes]]
) -> None:
    """Each thread sees its own writes at once, whatever the seven others do."""

    def work(thread: int) -> str:
        own = server.api()
        kept = ""
        for turn, picture in enumerate(variants[thread]):
            image = {"Bytes": picture}
            (record,) = own.call(
                "IndexFaces", CollectionId=collection, Image=image, ExternalImageId=f"{thread}:{turn}"
            )["FaceRecords"]
            face_id = record["Face"]["FaceId"]
            found = own.call("SearchFacesByImage", CollectionId=collection, Image=image)["FaceMatches"]
            assert face_id in {match["Face"]["FaceId"] for match in found}
            if kept:
                assert own.call("DeleteFaces", CollectionId=collection, FaceIds=[kept])["DeletedFaces"] == [kept]
                found = own.call("SearchFaces", CollectionId=collection, FaceId=face_id)["FaceMatches"]
                assert kept not in {match["Face"]["FaceId"] for match in found}
            kept = face_id
        return kept

    with ThreadPoolExecutor(THREADS) as pool:
        kept = set(pool.map(work, range(THREADS)))
    assert len(kept) == THREADS
    assert {face["FaceId"] for face in api.call("ListFaces", CollectionId=collection)["Faces"]} == kept
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == THREADS


def test_one_picture_indexed_by_all_at_once_is_one_face(
    server: Running, api: Api, collection: str, variants: list[list[bytes]]
) -> None:
    def work(_: int) -> str:
        answer = server.api().call("IndexFaces", CollectionId=collection, Image={"Bytes": variants[0][0]})
        return str(answer["FaceRecords"][0]["Face"]["FaceId"])

    with ThreadPoolExecutor(THREADS) as pool:
        assert len(set(pool.map(work, range(THREADS)))) == 1
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 1


def test_a_name_wanted_by_all_at_once_is_given_to_one(server: Running, collection: str) -> None:
    def work(_: int) -> str:
        try:
            server.api().call("CreateUser", CollectionId=collection, UserId="wanted")
        except Exception as error:  # noqa: BLE001 - its name is what is looked at
            return type(error).__name__
        return "created"

    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = sorted(pool.map(work, range(THREADS)))
    assert outcomes == ["ConflictException"] * (THREADS - 1) + ["created"]


def test_a_collection_deleted_while_it_is_used_answers_not_found(
    server: Running, api: Api, collection: str, variants: list[list[bytes]]
) -> None:
    def work(thread: int) -> str:
        if thread == 0:
            api.call("DeleteCollection", CollectionId=collection)
            return "deleted"
        try:
            server.api().call("IndexFaces", CollectionId=collection, Image={"Bytes": variants[thread][0]})
        except Exception as error:  # noqa: BLE001 - its name is what is looked at
            return type(error).__name__
        return "indexed"

    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = set(pool.map(work, range(THREADS)))
    assert outcomes <= {"deleted", "indexed", "ResourceNotFoundException"}
    api.refused("ResourceNotFoundException", "DescribeCollection", CollectionId=collection)
