"""Requests as AWS's clients sent them, byte for byte, and the exact bytes of the answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recognizance.core.errors import ServiceError
from recognizance.governance.keys import Credential
from recognizance.governance.principal import Principal
from recognizance.wire.endpoint import Call, Endpoint
from recognizance.wire.http import Request, canonical_headers
from recognizance.wire.limiter import Limiter
from recognizance.wire.metrics import Metrics
from recognizance.wire.model import service_model
from recognizance.wire.sigv4 import Verifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recognizance.wire.answers import Answer

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.http"))
PRINCIPAL = Principal("AKIDEXAMPLE", "reader", "123456789012")
CREDENTIAL = Credential(PRINCIPAL, enabled=True, secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
ID = "0c5e3b7a-54f7-4d3c-9d5e-0f6a3c1b2d4e"
RECORDED_AT = datetime(2026, 11, 22, 8, 44, 27, tzinfo=UTC)


def request_of(data: bytes) -> Request:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    return Request(ID, "POST", "/", "", canonical_headers((name, value) for name, _, value in lines), body)


def answer(data: bytes, outcome: Mapping[str, Any] | ServiceError, at: datetime = RECORDED_AT) -> Answer:
    """Have an endpoint answer a recorded request, with this result or error of the operation."""

    def detect_faces(principal: Principal, request_id: str, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert (principal, request_id, name) == (PRINCIPAL, ID, "DetectFaces")
        assert request == {"Image": {"Bytes": b"\xff\xd8\xff"}, "Attributes": ["DEFAULT"]}
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    verifier = Verifier({"AKIDEXAMPLE": CREDENTIAL}.get, "us-east-1", now=lambda: at)
    limiter = Limiter(rate=0, burst=1, metrics=Metrics())
    return Endpoint(service_model(), verifier, limiter, detect_faces).answer(request_of(data), Call())


@pytest.fixture(params=RECORDED, ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest) -> bytes:
    """The bytes of one client's request."""
    data: bytes = request.param.read_bytes()
    return data


def test_the_recordings_are_there() -> None:
    assert [path.stem for path in RECORDED] == ["aws-cli", "boto3", "javascript"]


def test_a_result_is_answered_byte_for_byte(recorded: bytes) -> None:
    box = {"Width": np.float32(0.25), "Height": 0.5, "Left": -0.125, "Top": None}
    given = answer(recorded, {"FaceDetails": [{"BoundingBox": box, "Confidence": np.float64(99.5)}]})
    assert given.status == 200
    assert given.body == (
        b'{"FaceDetails":[{"BoundingBox":{"Width":0.25,"Height":0.5,"Left":-0.125},"Confidence":99.5}]}'
    )
    assert given.raw_headers(ID) == [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", b"%d" % len(given.body)),
        (b"x-amzn-requestid", ID.encode()),
    ]


def test_an_error_is_answered_byte_for_byte(recorded: bytes) -> None:
    class InvalidImageFormatError(ServiceError):
        code = "InvalidImageFormatException"

    given = answer(recorded, InvalidImageFormatError("Request has invalid image format"))
    assert given.status == 400
    assert given.body == (
        b'{"__type":"InvalidImageFormatException","Code":"InvalidImageFormatException",'
        b'"Logref":"0c5e3b7a-54f7-4d3c-9d5e-0f6a3c1b2d4e","Message":"Request has invalid image format"}'
    )
    assert given.raw_headers(ID) == [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", b"%d" % len(given.body)),
        (b"x-amzn-requestid", ID.encode()),
        (b"x-amzn-errortype", b"InvalidImageFormatException"),
    ]


def test_a_recording_played_back_later_has_expired(recorded: bytes) -> None:
    given = answer(recorded, {}, at=RECORDED_AT + timedelta(hours=1))
    assert (given.status, given.code) == (400, "InvalidSignatureException")


@pytest.mark.parametrize(
    "part", [b"DetectFaces", b"127.0.0.1", b"/9j/", b"20261122T0844", b"us-east-1", b"AKIDEXAMPLE"]
)
def test_a_recording_with_any_part_changed_is_refused(recorded: bytes, part: bytes) -> None:
    changed = recorded.replace(part, part[:-1] + (b"9" if part[-1:] != b"9" else b"8"))
    assert changed != recorded
    assert answer(changed, {}).status == 400
