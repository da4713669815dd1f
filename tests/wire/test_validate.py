from __future__ import annotations

from typing import Any

import pytest

from recognizance.core.errors import InvalidParameterError, ServiceError, ValidationError
from recognizance.wire.model import ServiceModel, service_model
from recognizance.wire.validate import MAX_VIOLATIONS, Validator, java_pattern

VALIDATOR = Validator(service_model())
FACE_ID = "11111111-2222-3333-4444-555555555555"
FACE_ID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
FAILED = "failed to satisfy constraint: "
SUBJECT = "Member must satisfy constraint"
PATTERN = "Member must satisfy regular expression pattern"
NOT_NULL = FAILED + "Member must not be null"


def violations(operation: str, request: dict[str, Any]) -> list[str]:
    """Return the violations that a refusal's message lists; none when the request is accepted."""
    try:
        VALIDATOR.validate(service_model().operations[operation], request)
    except ServiceError as error:
        head, _, listed = error.message.partition(" detected: ")
        found = listed.split("; Value")
        assert head == (f"{len(found)} validation errors" if len(found) > 1 else "1 validation error")
        return found
    return []


def test_a_missing_member_is_null() -> None:
    assert violations("IndexFaces", {"Image": {}}) == [f"Value null at 'collectionId' {NOT_NULL}"]


def test_missing_members_are_found_at_any_depth() -> None:
    request = {"OperationsConfig": {}, "Input": {}, "OutputConfig": {"S3Bucket": "bucket"}}
    assert violations("StartMediaAnalysisJob", request) == [f"Value null at 'input.s3Object' {NOT_NULL}"]


@pytest.mark.parametrize(
    ("operation", "member", "value", "constraint"),
    [
        ("ListCollections", "MaxResults", -1, "Member must have value greater than or equal to 0"),
        ("ListCollections", "MaxResults", 4097, "Member must have value less than or equal to 4096"),
        ("ListCollections", "NextToken", "x" * 256, "Member must have length less than or equal to 255"),
    ],
)
def test_a_value_out_of_range_is_shown(operation: str, member: str, value: Any, constraint: str) -> None:
    path = member[0].lower() + member[1:]
    assert violations(operation, {member: value}) == [
        f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"
    ]


def test_everything_that_is_wrong_is_listed() -> None:
    request = {"CollectionId": "", "Image": {"S3Object": {"Bucket": "ab"}}, "QualityFilter": "BEST"}
    assert violations("IndexFaces", request) == [
        f"Value '' at 'collectionId' {FAILED}Member must have length greater than or equal to 1",
        rf" '' at 'collectionId' {FAILED}{PATTERN}: [a-zA-Z0-9_.\-]+",
        f" 'ab' at 'image.s3Object.bucket' {FAILED}Member must have length greater than or equal to 3",
        f" 'BEST' at 'qualityFilter' {FAILED}Member must satisfy enum value set: [NONE, AUTO, LOW, MEDIUM, HIGH]",
    ]


def test_a_list_of_scalars_is_named_as_a_whole() -> None:
    assert violations("DeleteFaces", {"CollectionId": "c", "FaceIds": [FACE_ID, "x"]}) == [
        f"Value '[{FACE_ID}, x]' at 'faceIds' {FAILED}{SUBJECT}: [{PATTERN}: {FACE_ID_PATTERN}]"
    ]


@pytest.mark.parametrize(
    ("face_ids", "shown", "constraint"),
    [
        ([], " '[]'", "Member must have length greater than or equal to 1"),
        ([FACE_ID] * 4097, "", "Member must have length less than or equal to 4096"),
        ([FACE_ID, None], f" '[{FACE_ID}, null]'", "Member must satisfy constraint: [Member must not be null]"),
    ],
)
def test_a_list_has_limits_of_its_own(face_ids: list[str | None], shown: str, constraint: str) -> None:
    assert violations("DeleteFaces", {"CollectionId": "c", "FaceIds": face_ids}) == [
        f"Value{shown} at 'faceIds' failed to satisfy constraint: {constraint}"
    ]


def test_a_list_of_structures_names_the_item() -> None:
    regions = [{"BoundingBox": {}}, {"Polygon": [{"X": 0.5}, None]}]
    assert violations("DetectText", {"Image": {}, "Filters": {"RegionsOfInterest": regions}}) == [
        f"Value null at 'filters.regionsOfInterest.2.member.polygon.2.member' {NOT_NULL}"
    ]


@pytest.mark.parametrize(
    ("tags", "shown", "constraint"),
    [
        (
            {"aws:x": "y"},
            "{aws:x=y}",
            "Map keys must satisfy constraint: [Member must have length less than or equal to 128, ",
        ),
        (
            {"a": "~"},
            "{a=~}",
            "Map value must satisfy constraint: [Member must have length less than or equal to 256, ",
        ),
        ({"a": None}, "{a=null}", "Map value must satisfy constraint: [Member must not be null]"),
    ],
)
def test_a_map_is_named_as_a_whole(tags: dict[str, Any], shown: str, constraint: str) -> None:
    (found,) = violations("TagResource", {"ResourceArn": "arn:aws:rekognition:x", "Tags": tags})
    assert found.startswith(f"Value '{shown}' at 'tags' failed to satisfy constraint: {constraint}")


def test_blobs_and_long_values_are_not_repeated() -> None:
    request = {"CollectionId": "é" * 300, "Image": {"Bytes": bytes(5_242_881)}}
    assert violations("IndexFaces", request) == [
        f"Value at 'collectionId' {FAILED}Member must have length less than or equal to 255",
        rf" at 'collectionId' {FAILED}{PATTERN}: [a-zA-Z0-9_.\-]+",
        f" at 'image.bytes' {FAILED}Member must have length less than or equal to 5242880",
    ]


def test_a_hostile_request_does_not_buy_a_long_message() -> None:
    polygon = {"Polygon": [None] * 100_000}
    found = violations("DetectText", {"Image": {}, "Filters": {"RegionsOfInterest": [polygon] * 10}})
    assert len(found) == MAX_VIOLATIONS


def test_the_error_is_the_operations_own() -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(service_model().operations["DescribeProjects"], {"MaxResults": 101})
    with pytest.raises(InvalidParameterError):
        VALIDATOR.validate(service_model().operations["ListMediaAnalysisJobs"], {"MaxResults": 101})
    switched = ServiceModel.load(validation_exception={"ListMediaAnalysisJobs"})
    with pytest.raises(ValidationError):
        Validator(switched).validate(switched.operations["ListMediaAnalysisJobs"], {"MaxResults": 101})


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"[a-zA-Z0-9_.\-]+", ["a.B-c_9"], ["", "a b", "a\n", "\na", "é"]),
        (r"^[0-9]+$", ["123"], ["123\n", "", "\u0661"]),
        (r"\d{2}\w", ["12a", "12_"], ["\u0661\u0662a", "12é"]),
        (r"\S*", ["", "a", "\xa0"], ["a b", "a\n"]),
        (r".*\S.*", [" a ", "\x85"], ["", "  ", "a\nb", "a\rb", "a\u2028\u2028"]),
        (r".{1,}", ["a", "\x0b"], ["", "\n", "\u2029"]),
        (r"^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$", ["", "é\u0663 \u2167\u2028", "a:b"], ["aws:x", "a\n", "~"]),
        (r"^\{.*\}$", ["{}", '{"a": 1}'], ["{", "{}\n", "{\n}"]),
        (r"[A-Za-z0-9àâèçñó'-_(). ]*", ["Café".replace("é", "è"), "a;b"], ["é", "a\n"]),
        (r"a\.b[.]c", ["a.b.c"], ["axb.c", "a.bxc"]),
    ],
)
def test_patterns_match_as_javas_do(pattern: str, matching: list[str], other: list[str]) -> None:
    compiled = java_pattern(pattern)
    assert [text for text in matching if not compiled.fullmatch(text)] == []
    assert [text for text in other if compiled.fullmatch(text)] == []


def test_a_pattern_cannot_be_made_to_take_long() -> None:
    """A pattern with ``.*`` inside and no maximum beside it, and megabytes of almost-matches."""
    arn = "arn:aws:sns:" + ":aaaaaaaaaaaa:" * 300_000 + "\n"
    channel = {"SNSTopicArn": arn, "RoleArn": "arn:aws:iam::123456789012:role/x"}
    (found,) = violations("StartFaceDetection", {"Video": {}, "NotificationChannel": channel})
    assert found.startswith("Value at 'notificationChannel.sNSTopicArn' failed")
