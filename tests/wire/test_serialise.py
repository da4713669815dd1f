from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import orjson
import pytest

from recognizance.wire.model import service_model
from recognizance.wire.serialise import OffContractError, Serialiser

SERIALISER = Serialiser(service_model())


def serialise(operation: str, result: Any) -> bytes:
    return SERIALISER.serialise(service_model().operations[operation], result)


def refusal(operation: str, result: Any) -> str:
    with pytest.raises(OffContractError) as caught:
        serialise(operation, result)
    return str(caught.value)


def test_none_is_left_out_at_any_depth() -> None:
    result = {"NextToken": None, "Faces": [{"FaceId": None, "Confidence": 1.0}]}
    assert serialise("ListFaces", result) == b'{"Faces":[{"Confidence":1.0}]}'


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (datetime(2019, 9, 25, 20, 40, 28, 274000, UTC), b"1569444028.274"),
        (datetime(2019, 9, 25, 20, 40, 28, 274499, UTC), b"1569444028.274"),
        (datetime(2019, 9, 25, 22, 40, 28, tzinfo=timezone(timedelta(hours=2))), b"1569444028.0"),
        (datetime(1970, 1, 1, tzinfo=UTC), b"0.0"),
    ],
)
def test_a_time_is_seconds_with_milliseconds(moment: datetime, seconds: bytes) -> None:
    assert serialise("DescribeCollection", {"CreationTimestamp": moment}) == b'{"CreationTimestamp":%s}' % seconds


def test_bytes_become_base64() -> None:
    result = {"SessionId": "s", "ReferenceImage": {"Bytes": b"\xff\xd8\xff"}}
    assert orjson.loads(serialise("GetFaceLivenessSessionResults", result))["ReferenceImage"] == {"Bytes": "/9j/"}


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.float16(0.5), 0.5])
def test_numpys_floats_are_numbers(number: Any) -> None:
    assert serialise("SearchFacesByImage", {"SearchedFaceConfidence": number}) == b'{"SearchedFaceConfidence":0.5}'


@pytest.mark.parametrize("number", [np.int64(7), np.uint8(7), np.int32(7), 7])
def test_numpys_integers_are_numbers(number: Any) -> None:
    assert serialise("DescribeCollection", {"FaceCount": number}) == b'{"FaceCount":7}'


def test_numpys_truth_is_true() -> None:
    result = {"FaceDetails": [{"Smile": {"Value": np.bool_(True), "Confidence": np.int64(90)}}]}
    assert serialise("DetectFaces", result) == b'{"FaceDetails":[{"Smile":{"Value":true,"Confidence":90.0}}]}'


def test_float32_is_widened_as_aws_shows_it() -> None:
    assert b"99.4000015258789" in serialise("SearchFacesByImage", {"SearchedFaceConfidence": np.float32(99.4)})


@pytest.mark.parametrize(
    ("operation", "result", "message"),
    [
        ("ListFaces", {"Invented": 1}, "ListFacesResponse has no member 'Invented'"),
        ("ListFaces", {"Faces": [{"FaceId": "x"}, {"Name": "x"}]}, "Faces.1: Face has no member 'Name'"),
        ("ListFaces", {"Faces": [{"FaceId": 5}]}, "Faces.0.FaceId: a int is no string"),
        ("ListFaces", {"Faces": {"FaceId": "x"}}, "Faces: a dict is no FaceList"),
        ("ListFaces", {"Faces": "x"}, "Faces: a str is no FaceList"),
        ("ListFaces", {"Faces": [None]}, "Faces.0: a NoneType is no Face"),
        ("DescribeCollection", {"FaceCount": 1.5}, "FaceCount: a float is no integer"),
        ("DescribeCollection", {"FaceCount": True}, "FaceCount: a bool is no integer"),
        ("DescribeCollection", {"CreationTimestamp": 5}, "CreationTimestamp: a int is no aware time"),
        ("DescribeCollection", {"CreationTimestamp": datetime(2026, 1, 1)}, "is no aware time"),  # noqa: DTZ001
        ("SearchFacesByImage", {"SearchedFaceConfidence": float("inf")}, "is no finite number"),
        ("SearchFacesByImage", {"SearchedFaceConfidence": np.float32("nan")}, "is no finite number"),
        ("SearchFacesByImage", {"SearchedFaceConfidence": "90"}, "a str is no finite number"),
        ("SearchFacesByImage", {"SearchedFaceConfidence": True}, "a bool is no finite number"),
        ("AssociateFaces", {"UserStatus": "BUSY"}, "UserStatus: 'BUSY' is no UserStatus"),
        ("ListTagsForResource", {"Tags": {"a": 1}}, "a int is no string"),
        ("ListTagsForResource", {"Tags": {1: "a"}}, "a int is no string"),
        ("GetFaceLivenessSessionResults", {"ReferenceImage": {"Bytes": "/9j/"}}, "a str is no blob"),
        ("DetectFaces", {"FaceDetails": [{"Smile": {"Value": 1}}]}, "a int is no boolean"),
        ("TagResource", {"Anything": 1}, "has no member 'Anything'"),
        ("TagResource", None, "a NoneType is no TagResourceResponse"),
    ],
)
def test_what_the_model_does_not_describe_is_refused_by_its_path(operation: str, result: Any, message: str) -> None:
    assert message in refusal(operation, result)


def test_a_refusal_does_not_repeat_the_value() -> None:
    assert "secret" not in refusal("DescribeCollection", {"FaceCount": "secret"})
