"""An S3 store: a real S3 protocol server on a loopback socket, and sockets that misbehave."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from recognizance.core.errors import ImageTooLargeError, InvalidS3ObjectError, SetupError
from recognizance.core.settings import Settings
from recognizance.storage.objects import open_object_store
from recognizance.storage.objects.s3 import S3ObjectStore

KEYS: dict[str, Any] = {
    "s3_access_key_id": "key",
    "s3_secret_access_key": SecretStr("secret"),
    "s3_region": "us-east-1",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 server that holds versioned and plain objects."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="photos")
    client.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket="photos", Key="folder/ä b+c.jpg", Body=b"first")
    client.put_object(Bucket="photos", Key="folder/ä b+c.jpg", Body=b"second")
    client.put_object(Bucket="photos", Key="gone.jpg", Body=b"gone")
    client.delete_object(Bucket="photos", Key="gone.jpg")
    yield url
    server.stop()


@pytest.fixture
def store(endpoint: str) -> S3ObjectStore:
    opened = open_object_store(Settings(s3_endpoint_url=endpoint, **KEYS))
    assert isinstance(opened, S3ObjectStore)
    return opened


def test_the_newest_version_is_read_unless_one_is_named(store: S3ObjectStore, endpoint: str) -> None:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    versions = client.list_object_versions(Bucket="photos", Prefix="folder/")["Versions"]
    oldest = next(version["VersionId"] for version in versions if not version["IsLatest"])
    assert store.read("photos", "folder/ä b+c.jpg", None, 100) == b"second"
    assert store.read("photos", "folder/ä b+c.jpg", oldest, 100) == b"first"


def test_an_object_of_exactly_the_limit_is_read_and_one_byte_more_is_too_large(store: S3ObjectStore) -> None:
    assert store.read("photos", "folder/ä b+c.jpg", None, 6) == b"second"
    with pytest.raises(ImageTooLargeError):
        store.read("photos", "folder/ä b+c.jpg", None, 5)


@pytest.mark.parametrize(
    ("bucket", "key", "version"),
    [
        ("missing", "a.jpg", None),
        ("photos", "missing.jpg", None),
        ("photos", "gone.jpg", None),
        ("photos", "folder/ä b+c.jpg", "no-such-version"),
        ("photos", "", None),
        ("photos", "\ud800", None),
        ("a bucket that S3 cannot have", "a.jpg", None),
        ("..", "photos/a.jpg", None),
        (".", "photos/a.jpg", None),
        ("", "photos/a.jpg", None),
    ],
)
def test_every_trouble_with_the_object_is_an_invalid_object(
    store: S3ObjectStore, bucket: str, key: str, version: str | None
) -> None:
    with pytest.raises(InvalidS3ObjectError):
        store.read(bucket, key, version, 100)


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Start a server that answers every request with the given bytes and hangs up; returns its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def start(answer: bytes) -> str:
            def serve() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:  # the test is over
                        return
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

            threading.Thread(target=serve, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start
        listener.shutdown(socket.SHUT_RDWR)


def _store(endpoint: str, **settings: Any) -> S3ObjectStore:
    return S3ObjectStore.open(Settings(s3_endpoint_url=endpoint, **(KEYS | settings)))


def test_a_body_that_ends_early_is_an_invalid_object(answering: Callable[[bytes], str]) -> None:
    url = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this")
    with pytest.raises(InvalidS3ObjectError):
        _store(url).read("photos", "a.jpg", None, 1000)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nLast-Modified: yesterday",
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://127.0.0.1:9/",
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://127.0.0.1:9/",
    ],
)
def test_an_answer_that_is_not_as_s3_gives_it_is_an_invalid_object(
    answering: Callable[[bytes], str], head: bytes
) -> None:
    url = answering(head + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    with pytest.raises(InvalidS3ObjectError):
        _store(url).read("photos", "a.jpg", None, 1000)


def test_a_length_over_the_limit_is_refused_before_the_body_arrives(answering: Callable[[bytes], str]) -> None:
    url = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n")
    with pytest.raises(ImageTooLargeError):
        _store(url).read("photos", "a.jpg", None, 1000)


def test_a_body_without_a_length_is_cut_off_at_the_limit(answering: Callable[[bytes], str]) -> None:
    chunks = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    url = answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks * 4 + b"0\r\n\r\n"
    )
    with pytest.raises(ImageTooLargeError):
        _store(url).read("photos", "a.jpg", None, 1000)
    assert _store(url).read("photos", "a.jpg", None, 0x4000) == b"x" * 0x4000


def test_an_object_that_takes_too_long_is_an_invalid_object(endpoint: str) -> None:
    """With no time at all, whatever arrives is late."""
    patient = _store(endpoint)
    with pytest.raises(InvalidS3ObjectError, match="too long"):
        S3ObjectStore(patient._client, deadline=-1.0).read("photos", "folder/ä b+c.jpg", None, 100)


def test_a_store_that_is_not_there_is_an_invalid_object() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        free = listener.getsockname()[1]
    with pytest.raises(InvalidS3ObjectError):
        _store(f"http://127.0.0.1:{free}").read("photos", "a.jpg", None, 100)


def test_the_environment_does_not_redirect_where_pictures_are_read(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert _store(endpoint).read("photos", "folder/ä b+c.jpg", None, 100) == b"second"
    assert S3ObjectStore.open(Settings(**KEYS))._client.meta.endpoint_url == "https://s3.amazonaws.com"


@pytest.mark.parametrize(
    "settings",
    [
        {"s3_endpoint_url": "no address"},
        {"s3_access_key_id": "key"},
        {"s3_secret_access_key": SecretStr("secret")},
    ],
)
def test_settings_that_describe_no_store_are_setup_errors(settings: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match="s3_"):
        open_object_store(Settings(**settings))
