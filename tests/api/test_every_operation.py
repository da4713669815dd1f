"""What holds for all operations of the service model, built or not."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore import xform_name

from recognizance.core.settings import Settings
from recognizance.operations import OPERATIONS
from recognizance.operations.coverage import model_operations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.api.conftest import Api, Running

pytestmark = pytest.mark.sqlite

ALL = model_operations()[1]
UNBUILT = sorted(set(ALL) - OPERATIONS.keys())
CHANGING = [
    "AssociateFaces",
    "CreateCollection",
    "CreateUser",
    "DeleteCollection",
    "DeleteFaces",
    "DeleteUser",
    "DisassociateFaces",
    "IndexFaces",
    "TagResource",
    "UntagResource",
]
EXAMPLES = {
    "CollectionId": "no-such-collection",
    "UserId": "nobody",
    "FaceId": "00000000-0000-0000-0000-000000000000",
    "ResourceArn": "arn:aws:rekognition:us-east-1:123456789012:collection/no-such-collection",
}


def smallest(shape: Any, name: str = "") -> Any:
    """Return the smallest request member of a shape that passes the service model's constraints."""
    least = shape.metadata.get("min", 1)
    match shape.type_name:
        case "structure":
            value: Any = {key: smallest(shape.members[key], key) for key in shape.required_members}
        case "list":
            value = [smallest(shape.member, name.removesuffix("s"))] * least
        case "map":
            value = {"key": "value"}
        case "blob":
            value = b"x"
        case "boolean":
            value = True
        case "string":
            pattern = shape.metadata.get("pattern", "")
            value = shape.enum[0] if shape.enum else EXAMPLES.get(name) or example(pattern, least)
        case _:
            value = least
    return value


def example(pattern: str, length: int) -> str:
    """Return a text for the patterns that identifiers other than ours have."""
    arn = "arn:aws:rekognition:us-east-1:123456789012:"
    for part, text in {
        r"\/version\/": arn + "project/p/version/v/1",
        "dataset": arn + "project/p/dataset/train/1",
        "project": arn + "project/p/1",
        "arn:aws:iam": "arn:aws:iam::123456789012:role/r",
        ":kinesisvideo:": "arn:aws:kinesisvideo:us-east-1:123456789012:stream/s/1",
        ":sns:": "arn:aws:sns:us-east-1:123456789012:topic",
        "[0-9a-f]{8}-": EXAMPLES["FaceId"],
    }.items():
        if part in pattern:
            return text
    return "a" * max(length, 3)


def request_of(api: Api, operation: str) -> dict[str, Any]:
    shape = api.client.meta.service_model.operation_model(operation).input_shape
    found: dict[str, Any] = smallest(shape) if shape is not None else {}
    return found


@pytest.mark.parametrize("operation", UNBUILT)
def test_what_is_not_built_says_so_and_names_itself(api: Api, operation: str) -> None:
    assert operation in api.refused("UnsupportedOperationException", operation, **request_of(api, operation))


def test_boto3_offers_what_the_table_lists(api: Api) -> None:
    assert all(hasattr(api.client, xform_name(operation)) for operation in ALL)


@pytest.fixture(scope="session")
def reader(server: Running) -> Api:
    return server.api("reader")


@pytest.mark.parametrize("operation", CHANGING)
def test_a_reader_changes_nothing(reader: Api, operation: str) -> None:
    message = reader.refused("AccessDeniedException", operation, **request_of(reader, operation))
    assert f"rekognition:{operation}" in message


def test_a_reader_may_look(reader: Api, collection: str, photos: dict[str, bytes]) -> None:
    image = {"Bytes": photos["biden"]}
    assert collection in reader.call("ListCollections")["CollectionIds"]
    assert reader.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 0
    assert reader.call("ListFaces", CollectionId=collection)["Faces"] == []
    assert reader.call("ListUsers", CollectionId=collection)["Users"] == []
    assert reader.call("SearchFacesByImage", CollectionId=collection, Image=image)["FaceMatches"] == []
    assert reader.call("SearchUsersByImage", CollectionId=collection, Image=image)["UserMatches"] == []
    assert len(reader.call("DetectFaces", Image=image)["FaceDetails"]) == 1
    assert len(reader.call("CompareFaces", SourceImage=image, TargetImage=image)["FaceMatches"]) == 1


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_key_that_was_disabled_opens_nothing(server: Running, operation: str) -> None:
    api = server.api()
    server.services.keys.disable(api.access_key)
    api.refused("UnrecognizedClientException", operation, **request_of(api, operation))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_member_of_the_wrong_type_is_refused(api: Api, operation: str) -> None:
    shape: Any = api.client.meta.service_model.operation_model(operation).input_shape
    valid = request_of(api, operation)
    for name, member in shape.members.items():
        for bad in [7, "text", ["list"], {"not": "that"}, True]:
            if not has_type(bad, member):
                code = api.refused_body(operation, jsonable(valid) | {name: bad}, **valid)
                assert code in {"SerializationException", "InvalidParameterException"}, (name, bad)


def has_type(value: Any, shape: Any) -> bool:
    """Return whether a JSON value could be a member of this shape."""
    kinds = {"string": str, "structure": dict, "list": list, "map": dict, "integer": int, "float": int}
    return type(value) is kinds[shape.type_name]


def jsonable(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request as its JSON, in which bytes are text."""
    found: dict[str, Any] = json.loads(json.dumps(request, default=lambda data: base64.b64encode(data).decode()))
    return found


@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_a_body_that_is_no_object_is_refused(api: Api, body: Any) -> None:
    assert api.refused_body("ListCollections", body) == "SerializationException"


def test_a_missing_model_is_named_with_its_cure(serve: Callable[[Settings], Running], bare: Settings) -> None:
    """The server runs; what needs the model says how to get it, and is no fault that an SDK would retry."""
    api = serve(bare).api()
    message = api.refused("InvalidParameterException", "DetectFaces", Image={"Bytes": b"x" * 100})
    assert "recognizance models pull" in message
    assert api.call("ListCollections")["CollectionIds"] == []


@pytest.fixture
def bare(tmp_path: Path) -> Settings:
    """Settings of a machine on which no model is installed."""
    return Settings(data=tmp_path / "data", models=tmp_path / "models", contract="core")
