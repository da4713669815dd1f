"""Golden requests: bytes in, exact keys and headers out."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.core.errors import InternalServerError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = "application/x-amz-json-1.1"


def test_a_success_has_the_headers_that_sdks_read(server: Any) -> None:
    reply = server.call("ListCollections")
    assert reply.status == 200
    assert reply.headers["content-type"] == JSON
    assert uuid.UUID(reply.headers["x-amzn-requestid"]).version == 4
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.headers.keys() == {"content-type", "content-length", "x-amzn-requestid", "date"}
    assert reply.json.keys() == {"CollectionIds", "FaceModelVersions"}


def test_an_error_names_its_code_wherever_sdks_look(server: Any) -> None:
    reply = server.call("DescribeCollection", b'{"CollectionId":"nobody"}')
    assert reply.status == 400
    assert reply.headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert reply.json == {
        "__type": "ResourceNotFoundException",
        "Code": "ResourceNotFoundException",
        "Logref": reply.headers["x-amzn-requestid"],
        "Message": "The collection id: nobody does not exist",
    }


def test_an_error_carries_its_own_members(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class HumanLoopQuotaExceededError(ServiceError):
        code = "HumanLoopQuotaExceededException"

    def fail(_: Any) -> Any:
        raise HumanLoopQuotaExceededError("full", ResourceType="loop", QuotaCode="L-1", Code="not this")

    monkeypatch.setitem(server.backend.handlers, "DetectModerationLabels", fail)
    body = server.call("DetectModerationLabels", b'{"Image":{"S3Object":{"Bucket":"bucket","Name":"a"}}}').json
    assert (body["ResourceType"], body["QuotaCode"]) == ("loop", "L-1")
    assert body["__type"] == body["Code"] == "HumanLoopQuotaExceededException"


def test_absent_members_are_left_out_and_numbers_are_numbers(server: Any) -> None:
    reply = server.call("DetectFaces", b'{"Image":{"Bytes":"/9g="}}')
    assert reply.json == {
        "FaceDetails": [
            {
                "BoundingBox": {"Left": 0.10000000149011612, "Top": 0.0, "Width": 255.0, "Height": 2.0},
                "Confidence": 99.4000015258789,
            }
        ]
    }


def test_a_time_is_a_number_of_seconds_with_milliseconds(server: Any) -> None:
    server.call("CreateCollection", b'{"CollectionId":"times"}')
    reply = server.call("DescribeCollection", b'{"CollectionId":"times"}')
    assert reply.json["CreationTimestamp"] == 1795332615.123
    assert b'"CreationTimestamp":1795332615.123' in reply.body


def test_an_operation_without_output_answers_an_empty_object(server: Any) -> None:
    reply = server.call("TagResource", b'{"ResourceArn":"arn:aws:rekognition:x","Tags":{"a":"b"}}')
    assert (reply.status, reply.body) == (200, b"{}")


def test_an_empty_body_is_an_empty_request(server: Any) -> None:
    assert server.call("ListCollections", b"").status == 200


def test_the_operation_gets_the_principal_and_the_request_id(server: Any) -> None:
    reply = server.call("ListCollections", b'{"MaxResults":5,"NextToken":null,"NoSuchMember":[]}')
    assert server.backend.last["principal"].access_key_id == "AKIDEXAMPLE"
    assert server.backend.last["request_id"] == reply.headers["x-amzn-requestid"]
    assert server.backend.last["request"] == {"MaxResults": 5}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"MaxResults":NaN}',
        b'{"MaxResults":"5"}',
        b'{"MaxResults":5.5}',
        b'{"MaxResults":true}',
        b'{"MaxResults":99999999999}',
        b'{"NextToken":5}',
        b'{"NextToken":"\xff"}',
        b'{"NextToken":"\\ud800"}',
        b'{"MaxResults":1,"MaxResults":2}',
        b'{"Other":{"a":1,"a":2}}',
        b'{"Other":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'\xef\xbb\xbf{"MaxResults":5}',
        "{}".encode("utf-16"),
    ],
)
def test_a_body_that_is_not_the_json_asked_for_is_a_serialization_exception(server: Any, body: bytes) -> None:
    reply = server.call("ListCollections", body)
    assert (reply.status, reply.json["__type"]) == (400, "SerializationException")


def test_violations_are_listed_in_awss_words(server: Any) -> None:
    reply = server.call("ListCollections", b'{"MaxResults":5000,"NextToken":"' + b"x" * 256 + b'"}')
    assert reply.json["__type"] == "InvalidParameterException"
    assert reply.json["Message"] == (
        "2 validation errors detected: Value '5000' at 'maxResults' failed to satisfy constraint: Member must have "
        f"value less than or equal to 4096; Value '{'x' * 256}' at 'nextToken' failed to satisfy constraint: Member "
        "must have length less than or equal to 255"
    )


@pytest.mark.parametrize("content_type", ["application/json", "application/x-amz-json-1.0", "text/plain", ""])
def test_another_content_type_is_refused(server: Any, content_type: str) -> None:
    reply = server.call("ListCollections", headers={"Content-Type": content_type})
    assert (reply.status, reply.json["__type"]) == (400, "SerializationException")


def test_a_charset_does_no_harm(server: Any) -> None:
    assert server.call("ListCollections", headers={"Content-Type": JSON + "; charset=UTF-8"}).status == 200


@pytest.mark.parametrize(
    "target", ["", "ListCollections", "RekognitionService.", "RekognitionService.Nonsense", "S3.X"]
)
def test_an_unknown_target_is_an_unknown_operation(server: Any, target: str) -> None:
    reply = server.request("POST", "/", b"{}", {"X-Amz-Target": target, "Content-Type": JSON})
    assert (reply.status, reply.json["__type"]) == (400, "UnknownOperationException")


def test_a_missing_target_is_an_unknown_operation(server: Any) -> None:
    reply = server.request("POST", "/", b"{}", {"Content-Type": JSON})
    assert (reply.status, reply.json["__type"]) == (400, "UnknownOperationException")


def test_an_operation_that_is_not_built_is_named(server: Any) -> None:
    reply = server.call("DetectText", b'{"Image":{"Bytes":"AAAA"}}')
    assert (reply.status, reply.json["__type"]) == (400, "UnsupportedOperationException")
    assert "DetectText" in reply.json["Message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_is_refused(server: Any, method: str) -> None:
    reply = server.request(method, "/")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert reply.json["__type"] == "UnknownOperationException"


def test_another_path_is_refused(server: Any) -> None:
    reply = server.request("POST", "/rekognition/", b"{}", {"Content-Type": JSON})
    assert (reply.status, reply.json["__type"]) == (404, "UnknownOperationException")


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("the secret path /srv/secrets"),
        InternalServerError("the secret path /srv/secrets"),
        KeyError("the secret path /srv/secrets"),
    ],
)
def test_a_fault_of_the_server_gives_nothing_away(
    server: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(_: Any) -> Any:
        raise fault

    monkeypatch.setitem(server.backend.handlers, "ListStreamProcessors", fail)
    reply = server.call("ListStreamProcessors")
    assert (reply.status, reply.json["__type"]) == (500, "InternalServerError")
    assert b"secret" not in reply.body
    assert reply.json["Logref"] == reply.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    "result",
    [
        {"CollectionIds": ["a"], "Invented": 1},
        {"CollectionIds": "a"},
        {"CollectionIds": [5]},
        {"FaceModelVersions": [float("nan")]},
        None,
    ],
)
def test_a_result_that_the_model_does_not_have_never_leaves(
    server: Any, monkeypatch: pytest.MonkeyPatch, result: Any
) -> None:
    monkeypatch.setitem(server.backend.handlers, "ListCollections", lambda _: result)
    reply = server.call("ListCollections")
    assert (reply.status, reply.json["__type"]) == (500, "InternalServerError")


def test_more_requests_than_the_server_takes_are_asked_to_come_again(
    serve: Callable[..., Any],
) -> None:
    server = serve(max_concurrent_requests=1, max_waiting_requests=0)
    entered, leave = threading.Event(), threading.Event()

    def wait(_: Any) -> Any:
        entered.set()
        assert leave.wait(30)
        return {}

    server.backend.handlers["ListStreamProcessors"] = wait
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(server.call("ListStreamProcessors")))
    thread.start()
    assert entered.wait(30)
    refused = server.call("ListCollections")
    assert server.request("GET", "/health").status == 200
    leave.set()
    thread.join(30)
    assert (refused.status, refused.json["__type"]) == (400, "ProvisionedThroughputExceededException")
    assert replies[0].status == 200
    assert server.call("ListCollections").status == 200
