"""A server on a loopback socket with a few operations in memory: the wire without the rooms behind it."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import orjson
import pytest
import structlog
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from recognizance.core.errors import ResourceAlreadyExistsError, ResourceNotFoundError, UnsupportedOperationError
from recognizance.core.settings import Settings
from recognizance.governance.keys import Credential
from recognizance.governance.principal import Principal
from recognizance.wire.app import build_app
from recognizance.wire.server import Server, listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLE//token=="
CREATED = datetime(2026, 11, 22, 7, 30, 15, 123456, tzinfo=UTC)
TARGET = "RekognitionService."


def credential(key_id: str, *, enabled: bool = True, token: str | None = None) -> Credential:
    digest = hashlib.sha256(token.encode()).digest() if token else None
    return Credential(Principal(key_id, "administrator", "123456789012"), enabled, SECRET, digest)


CREDENTIALS = {
    key.principal.access_key_id: key
    for key in (
        credential("AKIDEXAMPLE"),
        credential("AKIDDISABLED", enabled=False),
        credential("ASIDEXAMPLE", token=TOKEN),
    )
}


class Backend:
    """The operations: collections that are names, and whatever a test enters."""

    def __init__(self) -> None:
        self.collections: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.last: dict[str, Any] = {}
        self.handlers: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            "CreateCollection": self.create,
            "DeleteCollection": self.delete,
            "DescribeCollection": self.describe,
            "ListCollections": self.list,
            "DetectFaces": self.detect,
            "TagResource": lambda _: {},
        }

    def __call__(
        self, principal: Principal, request_id: str, name: str, request: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        self.calls[name] += 1
        self.last = {"principal": principal, "request_id": request_id, "request": request}
        if name not in self.handlers:
            raise UnsupportedOperationError(f"{name} is not available in this version of Recognizance.")
        return self.handlers[name](request)

    def create(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        name = request["CollectionId"]
        if name in self.collections:
            raise ResourceAlreadyExistsError(f"The collection id: {name} already exists")
        arn = self.collections[name] = f"arn:aws:rekognition:us-east-1:123456789012:collection/{name}"
        return {"StatusCode": 200, "CollectionArn": arn, "FaceModelVersion": "1.0"}

    def delete(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.describe(request)
        del self.collections[request["CollectionId"]]
        return {"StatusCode": 200}

    def describe(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        name = request["CollectionId"]
        if name not in self.collections:
            raise ResourceNotFoundError(f"The collection id: {name} does not exist")
        return {"FaceCount": np.int64(3), "CollectionARN": self.collections[name], "CreationTimestamp": CREATED}

    def list(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"CollectionIds": [*self.collections], "FaceModelVersions": ["1.0" for _ in self.collections]}

    def detect(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the size and the first byte of the picture in the place of a face."""
        data = request["Image"]["Bytes"]
        box = {"Left": np.float32(0.1), "Top": np.float32(0), "Width": float(data[0]), "Height": float(len(data))}
        return {"FaceDetails": [{"BoundingBox": box, "Confidence": np.float32(99.4), "Landmarks": None}]}


def sign(
    url: str,
    operation: str,
    body: bytes,
    *,
    key_id: str = "AKIDEXAMPLE",
    secret: str = SECRET,
    token: str | None = None,
    region: str = "us-east-1",
    service: str = "rekognition",
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the headers of a request that botocore signs."""
    request = AWSRequest(
        "POST",
        url + "/",
        data=body,
        headers={"X-Amz-Target": TARGET + operation, "Content-Type": "application/x-amz-json-1.1", **(headers or {})},
    )
    SigV4Auth(Credentials(key_id, secret, token), service, region).add_auth(request)
    return dict(request.headers.items())


@dataclass(frozen=True)
class Reply:
    """An HTTP response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Running:
    """A server at work."""

    url: str
    backend: Backend
    settings: Settings
    ready: dict[str, Exception] = field(default_factory=dict)
    """What the readiness checks raise, by name."""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request with exactly these headers, and Host and Content-Length."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def call(self, operation: str, body: bytes = b"{}", **signing: Any) -> Reply:
        """Send a signed request."""
        return self.request("POST", "/", body, sign(self.url, operation, body, **signing))

    def message(self, operation: str, body: bytes = b"{}", **signing: Any) -> bytes:
        """Return the bytes of a signed request."""
        headers = {"Host": "{}:{}".format(*self.address), "Content-Length": str(len(body))}
        lines = (f"{name}: {value}" for name, value in (headers | sign(self.url, operation, body, **signing)).items())
        return "\r\n".join(("POST / HTTP/1.1", *lines, "", "")).encode() + body

    def boto(self, **options: Any) -> Any:
        """Return a boto3 client that tries once."""
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        defaults: dict[str, Any] = {
            "endpoint_url": self.url,
            "region_name": "us-east-1",
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": SECRET,
            "config": config,
        }
        return boto3.client("rekognition", **(defaults | options))

    def connect(self) -> socket.socket:
        """Return a connection to write bytes to."""
        return socket.create_connection(self.address, timeout=30)


@pytest.fixture(scope="session", autouse=True)
def _log_through_the_standard_library() -> Iterator[None]:
    """Let pytest have the log lines, whose members become attributes of the records."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def _serving() -> Iterator[Callable[..., tuple[Running, Callable[[], None]]]]:
    stops: list[Callable[[], None]] = []

    def start(**options: Any) -> tuple[Running, Callable[[], None]]:
        settings = Settings(**options)
        backend = Backend()
        faults: dict[str, Exception] = {}

        def check(name: str) -> None:
            if name in faults:
                raise faults[name]

        app = build_app(
            settings,
            find=CREDENTIALS.get,
            dispatch=backend,
            checks={"database": lambda: check("database"), "models": lambda: check("models")},
        )
        ready = threading.Event()
        listener = listen("127.0.0.1", 0)
        server = Server(app, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        assert ready.wait(30)

        def stop() -> None:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()

        stops.append(stop)
        return Running(f"http://127.0.0.1:{listener.getsockname()[1]}", backend, settings, faults), stop

    yield start
    for stop in stops:
        stop()


@pytest.fixture(scope="session")
def server(_serving: Callable[..., tuple[Running, Callable[[], None]]]) -> Running:
    """A server with the default settings, which all tests share."""
    return _serving()[0]


@pytest.fixture
def serve(_serving: Callable[..., tuple[Running, Callable[[], None]]]) -> Iterator[Callable[..., Running]]:
    """Start servers with settings of the test's own; they end with the test."""
    stops = []

    def start(**options: Any) -> Running:
        running, stop = _serving(**options)
        stops.append(stop)
        return running

    yield start
    for stop in stops:
        stop()
