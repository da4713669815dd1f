"""A real server on a loopback socket, real clients, and a check of every answer against the service model."""

from __future__ import annotations

import io
import json
import math
import threading
import uuid
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
import regex
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from PIL import Image, ImageFilter

from recognizance.core.settings import Settings
from recognizance.operations.context import Services
from recognizance.vision.faces import Faces
from recognizance.wire.app import create_app
from recognizance.wire.server import Server, listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.model import ServiceModel

# What every operation may answer beyond the errors that the service model lists for it: the common codes of AWS JSON
# services, and our own word for what is not built.
COMMON_ERRORS = {
    "AccessDeniedException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "UnrecognizedClientException",
    "UnsupportedOperationException",
}

# Members that clients index without looking; they are present even when empty.
ALWAYS = {
    "AssociateFaces": {"AssociatedFaces", "UnsuccessfulFaceAssociations", "UserStatus"},
    "CompareFaces": {"SourceImageFace", "FaceMatches", "UnmatchedFaces"},
    "CreateCollection": {"StatusCode", "CollectionArn", "FaceModelVersion"},
    "DeleteCollection": {"StatusCode"},
    "DeleteFaces": {"DeletedFaces", "UnsuccessfulFaceDeletions"},
    "DescribeCollection": {"FaceCount", "UserCount", "FaceModelVersion", "CollectionARN", "CreationTimestamp"},
    "DetectFaces": {"FaceDetails"},
    "DisassociateFaces": {"DisassociatedFaces", "UnsuccessfulFaceDisassociations", "UserStatus"},
    "IndexFaces": {"FaceRecords", "UnindexedFaces", "FaceModelVersion"},
    "ListCollections": {"CollectionIds", "FaceModelVersions"},
    "ListFaces": {"Faces", "FaceModelVersion"},
    "ListTagsForResource": {"Tags"},
    "ListUsers": {"Users"},
    "SearchFaces": {"SearchedFaceId", "FaceMatches", "FaceModelVersion"},
    "SearchFacesByImage": {
        "SearchedFaceBoundingBox",
        "SearchedFaceConfidence",
        "FaceMatches",
        "FaceModelVersion",
    },
    "SearchUsers": {"UserMatches", "FaceModelVersion"},
    "SearchUsersByImage": {"UserMatches", "FaceModelVersion", "UnsearchedFaces"},
}
ALWAYS_IN_PARTS = {
    "FaceDetail": {"BoundingBox", "Landmarks", "Pose", "Quality", "Confidence"},
    "ComparedFace": {"BoundingBox", "Landmarks", "Pose", "Quality", "Confidence"},
    "Face": {"FaceId", "ImageId", "BoundingBox", "Confidence", "IndexFacesModelVersion"},
    "BoundingBox": {"Left", "Top", "Width", "Height"},
    "FaceMatch": {"Similarity", "Face"},
    "UserMatch": {"Similarity", "User"},
    "MatchedUser": {"UserId", "UserStatus"},
    "User": {"UserId", "UserStatus"},
    "FaceRecord": {"Face", "FaceDetail"},
    "UnindexedFace": {"Reasons", "FaceDetail"},
    "UnsearchedFace": {"Reasons", "FaceDetails"},
    "UnsuccessfulFaceDeletion": {"FaceId", "Reasons"},
    "UnsuccessfulFaceAssociation": {"FaceId", "Reasons"},
    "UnsuccessfulFaceDisassociation": {"FaceId", "Reasons"},
}


def check_value(value: Any, shape: Any, path: str) -> None:
    """Assert that a decoded JSON value is what the service model's shape says, constraints included."""
    match shape.type_name:
        case "structure":
            assert isinstance(value, dict), path
            assert value.keys() <= shape.members.keys(), f"{path} has unknown members"
            missing = (ALWAYS_IN_PARTS.get(shape.name, set()) | set(shape.required_members)) - value.keys()
            assert not missing, f"{path} lacks {missing}"
            for name, member in value.items():
                check_value(member, shape.members[name], f"{path}.{name}")
        case "list":
            assert isinstance(value, list), path
            check_range(len(value), shape, path)
            for i, item in enumerate(value):
                check_value(item, shape.member, f"{path}[{i}]")
        case "map":
            assert isinstance(value, dict), path
            for name, item in value.items():
                check_value(name, shape.key, f"{path} key")
                check_value(item, shape.value, f"{path}.{name}")
        case _:
            check_scalar(value, shape, path)


def check_range(value: float, shape: Any, path: str) -> None:
    """Assert that a number or a length lies within the shape's limits."""
    assert shape.metadata.get("min", -math.inf) <= value <= shape.metadata.get("max", math.inf), f"{path}: {value}"


def check_scalar(value: Any, shape: Any, path: str) -> None:
    """Assert that a value without parts is of the shape's type and within its constraints."""
    match shape.type_name:
        case "string":
            assert isinstance(value, str), path
            check_range(len(value), shape, path)
            assert not shape.enum or value in shape.enum, f"{path} is {value}"
            pattern = shape.metadata.get("pattern")
            assert pattern is None or regex.fullmatch(pattern, value), f"{path} is {value}"
        case "integer" | "long":
            assert type(value) is int, path
            check_range(value, shape, path)
        case "float" | "double":
            assert type(value) in {int, float}, path
            assert math.isfinite(value), path
            check_range(value, shape, path)
        case "timestamp":
            assert type(value) in {int, float}, f"{path}: SDKs take epoch seconds, and some take nothing else"
        case other:
            raise AssertionError(f"{path} is a {other}, which no operation built so far returns")


def check_answer(model: ServiceModel, operation: str, answer: dict[str, Any]) -> None:
    """Assert that a raw HTTP answer is what Rekognition could have sent to this operation."""
    described = model.operation_model(operation)
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert str(uuid.UUID(headers["x-amzn-requestid"])) == headers["x-amzn-requestid"]
    body = json.loads(answer["body"] or b"{}")
    if answer["status_code"] == 200:
        missing = ALWAYS.get(operation, set()) - body.keys()
        assert not missing, f"{operation} lacks {missing}"
        if described.output_shape is not None:
            check_value(body, described.output_shape, operation)
        return
    code = body["__type"]
    shapes: list[Any] = described.error_shapes
    known = {shape.error_code for shape in shapes}
    assert code in known | COMMON_ERRORS, f"{operation} never raises {code}: {body}"
    assert body["Code"] == code
    assert isinstance(body["Message"], str)
    assert answer["status_code"] == (500 if code == "ThrottlingException" else 400), body


class Api:
    """boto3 against the server. No retries, no checks of its own, and every answer checked before a test sees it."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str) -> None:
        self.endpoint, self.access_key, self.secret_key = endpoint, access_key, secret_key
        self.client = boto3.client(
            "rekognition",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=120),
        )
        self.client.meta.events.register("response-received.rekognition", self._check)

    def _check(self, event_name: str, response_dict: dict[str, Any] | None, **_: Any) -> None:
        if response_dict is not None:
            check_answer(self.client.meta.service_model, event_name.rpartition(".")[2], response_dict)

    def call(self, operation: str, /, **request: Any) -> dict[str, Any]:
        """Perform an operation and return its answer."""
        answer: dict[str, Any] = getattr(self.client, xform_name(operation))(**request)
        answer.pop("ResponseMetadata")
        return answer

    def refused(self, code: str, operation: str, /, **request: Any) -> str:
        """Perform an operation that must fail with this code, and return the message."""
        with pytest.raises(ClientError) as caught:
            self.call(operation, **request)
        error = caught.value.response["Error"]
        assert error["Code"] == code, error
        message: str = error["Message"]
        return message

    def refused_body(self, operation: str, body: Any, **valid: Any) -> str:
        """Send a body that boto3 would not write, in the place of a valid request's; return the refusal's code."""

        def replace(params: dict[str, Any], **_: Any) -> None:
            params["body"] = json.dumps(body).encode()

        event = f"before-call.rekognition.{operation}"
        self.client.meta.events.register(event, replace)
        try:
            with pytest.raises(ClientError) as caught:
                self.call(operation, **valid)
        finally:
            self.client.meta.events.unregister(event, replace)
        code: str = caught.value.response["Error"]["Code"]
        return code


@dataclass(frozen=True)
class Running:
    """A server at work, and the ways to it."""

    services: Services
    endpoint: str

    def api(self, role: str = "administrator") -> Api:
        """Return a client with a new key of this role."""
        key = self.services.keys.create(role)
        return Api(self.endpoint, key.access_key_id, key.secret_access_key)


# In a process of its own, because the tests' own process has no network.
@pytest.fixture(scope="session")
def empty() -> bytes:
    """A picture without a face."""
    rows, columns = np.mgrid[0:480, 0:640]
    return encode(Image.fromarray(np.stack([rows // 2, columns // 3, (rows + columns) // 5], -1).astype(np.uint8)))


def encode(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:  # noqa: A002 - Pillow's own word
    """Return a picture as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Serve with these settings, from a thread of this process."""
    services = Services.open(settings)
    ready = threading.Event()
    server = Server(create_app(services), ready.set)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(60)
        yield Running(services, f"http://127.0.0.1:{listener.getsockname()[1]}")
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()
    services.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Settings], Running]]:
    """Start servers of the test's own."""
    with ExitStack() as servers:
        yield lambda settings: servers.enter_context(running(settings))


@pytest.fixture
def serve_once() -> Callable[[Settings], AbstractContextManager[Running]]:
    """Serve for the length of a with statement."""
    return running


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    contracts: list[str],
    database_kind: str,
    request: pytest.FixtureRequest,
) -> Iterator[Running]:
    """A server with the core contract and a folder of buckets."""
    assert contracts
    folder = tmp_path_factory.mktemp("server")
    (folder / "buckets" / "photos").mkdir(parents=True)
    url = request.getfixturevalue("postgresql").create() if database_kind == "postgresql" else None
    settings = Settings(data=folder / "data", database_url=url, contract="core", buckets_folder=folder / "buckets")
    with running(settings) as started:
        yield started
    if url:
        request.getfixturevalue("postgresql").drop(url)


@pytest.fixture(scope="session")
def api(server: Running) -> Api:
    """A client that may do everything."""
    return server.api()


@pytest.fixture
def collection(api: Api) -> Iterator[str]:
    """An empty collection of the test's own."""
    name = f"test-{uuid.uuid4()}"
    api.call("CreateCollection", CollectionId=name)
    yield name
    try:
        api.call("DeleteCollection", CollectionId=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


@pytest.fixture
def people(server: Running, collection: str) -> list[str]:
    """Ids of 130 stored faces without pictures, at right angles or opposite: no two resemble each other."""
    contract = server.services.collections.contract(collection)
    axes = np.eye(contract.dimensions, dtype=np.float32)
    vectors = np.concatenate([axes, -axes])[:130]
    n = len(vectors)
    corner = np.arange(n, dtype=np.float32)
    detected = Faces.detected(
        (1000, 1000),
        np.stack([corner, corner, corner + 50, corner + 50], 1),
        np.full(n, 0.99, np.float32),
        np.zeros((n, 5, 2), np.float32),
    )
    faces = Faces(
        detected.image_size,
        detected.boxes,
        detected.scores,
        detected.landmarks,
        detected.pose,
        detected.brightness,
        detected.sharpness,
        detected.quality,
        vectors,
        np.zeros(n, np.float32),
    )
    stored = server.services.collections.index_faces(
        collection, faces, picture_digest=bytes(32), contract_version=contract.version
    )
    return [face.face_id for face in stored]


@pytest.fixture(scope="session")
def blur_left() -> Callable[[bytes], bytes]:
    """Put the left face of the picture of two out of focus."""

    def blur(data: bytes) -> bytes:
        picture = Image.open(io.BytesIO(data))
        left = picture.crop((0, 0, 910, picture.height)).filter(ImageFilter.GaussianBlur(14))
        picture.paste(left, (0, 0))
        return encode(picture, quality=95)

    return blur
