"""Many clients at once: nothing is lost, nothing is found that was deleted, and every answer is whole."""

from __future__ import annotations

import io
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from PIL import Image
from pydantic import SecretStr

from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def test_searches_go_on_while_a_bucket_hangs(
    serve: Callable[[Settings], Running], tmp_path: Path, variants: list[list[bytes]]
) -> None:
    """Sixty-four requests wait for a bucket that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as bucket:
        server = serve(
            Settings(
                data=tmp_path,
                contract="core",
                s3_endpoint_url=f"http://127.0.0.1:{bucket.getsockname()[1]}",
                s3_access_key_id="AKID",
                s3_secret_access_key=SecretStr("secret"),
            )
        )
        api = server.api()
        api.call("CreateCollection", CollectionId="c")
        face_ids = [
            api.call("IndexFaces", CollectionId="c", Image={"Bytes": pictures[0]})["FaceRecords"][0]["Face"]["FaceId"]
            for pictures in variants[:2]
        ]
        image = {"S3Object": {"Bucket": "bucket", "Name": "key"}}
        outcomes: list[str] = []
        other = server.api()

        def fetch() -> None:
            try:
                other.call("DetectFaces", Image=image)
            except Exception as error:  # noqa: BLE001 - its name is what is looked at
                outcomes.append(type(error).__name__)

        waiting = [threading.Thread(target=fetch) for _ in range(64)]
        for thread in waiting:
            thread.start()
        assert _eventually(lambda: 'recognizance_requests_elsewhere{what="objects"} 64.0' in _metrics(server))
        for _ in range(20):
            assert api.call("SearchFaces", CollectionId="c", FaceId=face_ids[0])["SearchedFaceId"] == face_ids[0]
            assert api.call("DetectFaces", Image={"Bytes": variants[0][0]})["FaceDetails"]
        refused = api.refused("ProvisionedThroughputExceededException", "DetectFaces", Image=image)
        assert refused == "S3 download limit exceeded."
        assert 'recognizance_requests_elsewhere{what="objects"} 64.0' in _metrics(server)
    for thread in waiting:
        thread.join(60)
    assert outcomes == ["InvalidS3ObjectException"] * 64
    assert api.call("SearchFaces", CollectionId="c", FaceId=face_ids[1])["SearchedFaceId"] == face_ids[1]


def _metrics(server: Running) -> str:
    with urlopen(f"{server.endpoint}/metrics", timeout=60) as page:  # noqa: S310 - our own server
        text: str = page.read().decode()
    return text


def _eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.05)
    return False
