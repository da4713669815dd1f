"""What lies in a bucket: the same in an S3 store and in a folder."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.storage.objects import FolderObjectStore, NoObjectStore, listing, open_object_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recognizance.storage.objects import ListedObjectStore

KEYS = ["a-b.jpg", "a.jpg", "a/1.jpg", "a/b/2.jpg", "a/c.jpg", "a0.jpg", "z/ä b+c.jpg"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, endpoint: str, tmp_path: Path) -> ListedObjectStore:
    """A store with a bucket that holds these keys."""
    if request.param == "folder":
        for key in KEYS:
            path = tmp_path / "photos" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(key.encode())
        return open_object_store(Settings(buckets_folder=tmp_path))
    access: dict[str, Any] = {"s3_access_key_id": "key", "s3_secret_access_key": SecretStr("secret")}
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="photos")
    # Servers of one process have one memory: other tests may have left something in a bucket of this name.
    for left in client.list_objects_v2(Bucket="photos").get("Contents", []):
        client.delete_object(Bucket="photos", Key=left["Key"])
    for key in KEYS:
        client.put_object(Bucket="photos", Key=key, Body=key.encode())
    client.put_object(Bucket="photos", Key="a/empty folder/")
    return open_object_store(Settings(s3_endpoint_url=endpoint, **access))


def keys(store: ListedObjectStore, prefix: str = "", after: str = "") -> list[str]:
    return [entry.key for entry in store.entries("photos", prefix, after)]


def test_every_object_is_listed_in_the_order_of_its_key(store: ListedObjectStore) -> None:
    entries = list(store.entries("photos"))
    assert [entry.key for entry in entries] == KEYS
    assert [entry.size for entry in entries] == [len(key.encode()) for key in KEYS]
    assert all(entry.version for entry in entries)


@pytest.mark.parametrize("prefix", ["a", "a/", "a/b", "a.", "z/ä", "nothing", "a/b/2.jpg"])
@pytest.mark.parametrize("after", ["", "a/", "a/b", "a/b/2.jpg", "a0.jpg", "zz"])
def test_a_listing_can_be_narrowed_and_go_on_where_it_stopped(
    store: ListedObjectStore, prefix: str, after: str
) -> None:
    expected = [key for key in KEYS if key.startswith(prefix) and key > after]
    assert keys(store, prefix, after) == expected


def test_a_bucket_that_is_not_there_is_named(store: ListedObjectStore) -> None:
    with pytest.raises(SetupError, match=r"The bucket missing .*cannot be listed"):
        list(store.entries("missing"))


def test_more_objects_than_one_page_holds_are_listed(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 10)
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="many")
    wanted = [f"{number:04}.jpg" for number in range(35)]
    for key in wanted:
        client.put_object(Bucket="many", Key=key, Body=b"1")
    store = open_object_store(
        Settings(s3_endpoint_url=endpoint, s3_access_key_id="key", s3_secret_access_key=SecretStr("secret"))
    )
    assert [entry.key for entry in store.entries("many")] == wanted
    assert [entry.key for entry in store.entries("many", after="0011.jpg")] == wanted[12:]


def test_an_s3_store_that_does_not_answer_is_named() -> None:
    store = open_object_store(
        Settings(s3_endpoint_url="http://127.0.0.1:9", s3_access_key_id="k", s3_secret_access_key=SecretStr("s"))
    )
    with pytest.raises(SetupError, match="cannot be listed"):
        list(store.entries("photos"))


def test_without_a_store_the_settings_are_named() -> None:
    with pytest.raises(SetupError, match="BUCKETS_FOLDER"):
        NoObjectStore().entries("photos")


@pytest.mark.parametrize("bucket", ["", ".", "..", "a/b", "nul\0"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(SetupError):
        list(FolderObjectStore(tmp_path).entries(bucket))


def test_links_and_pipes_in_a_folder_are_left_out_and_names_that_are_no_text_are_not(tmp_path: Path) -> None:
    bucket = tmp_path / "photos"
    bucket.mkdir()
    (bucket / "one.jpg").write_bytes(b"1")
    (bucket / "link.jpg").symlink_to(bucket / "one.jpg")
    (bucket / "loop").symlink_to(bucket)
    os.mkfifo(bucket / "pipe.jpg")
    with open(os.fsencode(bucket) + b"/\xff.jpg", "wb") as file:  # noqa: PTH123 - bytes are no path
        file.write(b"22")
    store = FolderObjectStore(tmp_path)
    found = keys(store)
    assert found == ["one.jpg", "\udcff.jpg"]
    assert store.read("photos", found[1], None, 10) == b"22"


NAMES = st.text(st.sampled_from("ab-./"), min_size=1, max_size=6).map(
    lambda text: "/".join(part for part in text.split("/") if part.strip("."))
)


@given(st.sets(NAMES.filter(bool), max_size=8), NAMES, NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_folders_list_as_s3_sorts(tmp_path: Path, wanted: set[str], prefix: str, after: str) -> None:
    wanted = {key for key in wanted if not any(other.startswith(key + "/") for other in wanted)}
    shutil.rmtree(tmp_path / "photos", ignore_errors=True)
    (tmp_path / "photos").mkdir()
    for key in wanted:
        (tmp_path / "photos" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / key).touch()
    expected = sorted(key for key in wanted if key.startswith(prefix) and key > after)
    assert keys(FolderObjectStore(tmp_path), prefix, after) == expected
