from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from botocore.model import ShapeResolver
from hypothesis import given
from hypothesis import strategies as st

from recognizance.core.errors import SerializationError
from recognizance.wire.model import Operation, ServiceModel, service_model
from recognizance.wire.parse import Parser

PARSER = Parser(service_model())


def parse(operation: str, body: bytes | dict[str, Any]) -> dict[str, Any]:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return PARSER.parse(service_model().operations[operation], data)


def refusal(operation: str, body: bytes | dict[str, Any]) -> str:
    with pytest.raises(SerializationError) as caught:
        parse(operation, body)
    return caught.value.message


def test_a_request_is_plain_values_and_blobs_are_bytes() -> None:
    request: dict[str, Any] = {
        "CollectionId": "entrance",
        "Image": {"Bytes": "/9j/", "S3Object": {"Bucket": "pictures", "Name": "a.jpg"}},
        "DetectionAttributes": ["ALL"],
        "MaxFaces": 3,
    }
    assert parse("IndexFaces", request) == {**request, "Image": {**request["Image"], "Bytes": b"\xff\xd8\xff"}}


def test_unknown_members_are_ignored_and_nulls_dropped() -> None:
    assert parse("ListCollections", {"MaxResults": 1, "NextToken": None, "Later": {"deep": []}}) == {"MaxResults": 1}


def test_a_null_in_a_list_or_map_stays_for_the_validator() -> None:
    assert parse("DeleteFaces", {"CollectionId": "c", "FaceIds": [None]})["FaceIds"] == [None]
    assert parse("TagResource", {"Tags": {"a": None}})["Tags"] == {"a": None}


@given(data=st.binary(max_size=100))
def test_base64_gives_its_bytes(data: bytes) -> None:
    assert parse("DetectFaces", {"Image": {"Bytes": base64.b64encode(data).decode()}})["Image"]["Bytes"] == data


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AAA",
        "A===",
        "AAAA=",
        "=AAA",
        "AA==AAAA",
        "AAAA\n",
        " AAAA",
        "A-_A",
        "data:image/png;base64,AAAA",
        "é",
    ],
)
def test_what_is_not_strict_base64_is_refused_by_its_path(text: str) -> None:
    message = refusal("DetectFaces", {"Image": {"Bytes": text}})
    assert message == "'image.bytes' must be base64."


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("IndexFaces", {"CollectionId": 5}, "'collectionId' must be a string."),
        ("IndexFaces", {"CollectionId": ["x"]}, "'collectionId' must be a string."),
        ("IndexFaces", {"Image": "x"}, "'image' must be an object."),
        ("IndexFaces", {"Image": {"S3Object": {"Name": 1}}}, "'image.s3Object.name' must be a string."),
        ("IndexFaces", {"MaxFaces": "5"}, "'maxFaces' must be an integer of 32 bits."),
        ("IndexFaces", {"MaxFaces": 5.5}, "'maxFaces' must be an integer of 32 bits."),
        ("IndexFaces", {"MaxFaces": True}, "'maxFaces' must be an integer of 32 bits."),
        ("IndexFaces", {"MaxFaces": 2**31}, "'maxFaces' must be an integer of 32 bits."),
        ("SearchFaces", {"FaceMatchThreshold": "90"}, "'faceMatchThreshold' must be a number."),
        ("SearchFaces", {"FaceMatchThreshold": False}, "'faceMatchThreshold' must be a number."),
        ("DeleteFaces", {"FaceIds": "x"}, "'faceIds' must be a list."),
        ("DeleteFaces", {"FaceIds": ["x", 1]}, "'faceIds.2.member' must be a string."),
        ("TagResource", {"Tags": {"a": 1}}, "'tags.value' must be a string."),
        ("TagResource", {"Tags": [1]}, "'tags' must be an object."),
        ("UpdateStreamProcessor", {"DataSharingPreferenceForUpdate": {"OptIn": 1}}, "must be true or false."),
    ],
)
def test_a_wrong_type_is_refused_by_its_path(operation: str, body: dict[str, Any], message: str) -> None:
    assert message in refusal(operation, body)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert parse("ListCollections", b'{"MaxResults":5.0}') == {"MaxResults": 5}
    assert parse("SearchFaces", b'{"FaceMatchThreshold":80}') == {"FaceMatchThreshold": 80.0}


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1e40", "05", "0x5", "+5"])
def test_a_number_that_json_or_the_shape_does_not_have_is_refused(number: str) -> None:
    assert refusal("ListCollections", f'{{"MaxResults":{number}}}'.encode())


def test_malformed_json_is_refused_without_repeating_it() -> None:
    message = refusal("DetectFaces", b'{"Image":{"Bytes":"c2VjcmV0"')
    assert "not valid JSON" in message
    assert "c2VjcmV0" not in message


@pytest.mark.parametrize(
    "body",
    [
        b'{"MaxResults":1,"MaxResults":2}',
        b'{"Unknown":{"a":{"b":1,"b":2}}}',
        b'{"NextToken":"x:y","NextToken":"z"}',
        b'{"Unknown":[1,{"a":1,"\\u0061":2}]}',
    ],
)
def test_a_key_given_twice_is_refused(body: bytes) -> None:
    assert "twice" in refusal("ListCollections", body)


@pytest.mark.parametrize("text", ["a:b", '":', '\\":":', "::::", '{"a":1,"a":2}'])
def test_colons_in_strings_are_no_keys(text: str) -> None:
    assert parse("ListCollections", {"NextToken": text}) == {"NextToken": text}


@given(
    keys=st.lists(st.text('ab:"\\', max_size=3), max_size=6),
    blanks=st.text(" \t\r\n", max_size=3),
)
def test_keys_are_refused_exactly_when_one_repeats(keys: list[str], blanks: str) -> None:
    pairs = ",".join(f"{orjson.dumps(key).decode()}{blanks}:{blanks}{orjson.dumps(key).decode()}" for key in keys)
    body = f'{{"Other":{{{pairs}}}}}'.encode()
    if len(set(keys)) < len(keys):
        refusal("ListCollections", body)
    else:
        assert parse("ListCollections", body) == {}


@pytest.mark.parametrize("depth", [900, 1020, 100_000])
def test_nesting_is_ignored_or_refused_but_never_fatal(depth: int) -> None:
    body = b'{"x:":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    try:
        assert parse("ListCollections", body) == {}
    except SerializationError:
        assert depth > 900


@pytest.mark.parametrize("value", [b"{}", b"[]", b"7", b'{"a":1}'])
def test_more_values_than_any_request_has_are_refused(value: bytes) -> None:
    body = b'{"Unknown":[%s]}' % b",".join([value] * 100_001)
    assert parse("ListCollections", body) == {}
    assert refusal("ListCollections", body.replace(b"]}", b",0]}")) == "The request body has too many values."


def test_times_and_recursive_shapes_are_parsed_though_no_request_has_them_yet() -> None:
    shapes: dict[str, Any] = {
        "Node": {"type": "structure", "members": {"At": {"shape": "Time"}, "Next": {"shape": "Node"}}},
        "Time": {"type": "timestamp"},
    }
    shape: Any = ShapeResolver(shapes).get_shape_by_name("Node")
    operation = Operation("Node", shape, None, "InvalidParameterException")

    parser = Parser(ServiceModel({"Node": operation}, {}, "Test."))
    assert parser.parse(operation, b'{"At":1.5,"Next":{"At":0}}') == {
        "At": datetime(1970, 1, 1, 0, 0, 1, 500000, UTC),
        "Next": {"At": datetime(1970, 1, 1, tzinfo=UTC)},
    }
    for wrong in (b'{"Next":{"Next":{"At":"1970-01-01T00:00:00Z"}}}', b'{"At":1e300}', b'{"At":true}'):
        with pytest.raises(SerializationError, match="must be a time in seconds"):
            parser.parse(operation, wrong)
