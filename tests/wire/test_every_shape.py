"""Every operation's shapes, both ways, with values drawn from the model itself."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from botocore.parsers import create_parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognizance.core.errors import ServiceError
from recognizance.wire.model import Operation, service_model
from recognizance.wire.parse import Parser
from recognizance.wire.serialise import Serialiser
from recognizance.wire.validate import Validator, java_pattern

if TYPE_CHECKING:
    from botocore.model import Shape

MODEL = service_model()
PARSER, VALIDATOR, SERIALISER = Parser(MODEL), Validator(MODEL), Serialiser(MODEL)
OPERATIONS = sorted(MODEL.operations)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
few = settings(max_examples=5, suppress_health_check=list(HealthCheck))


def near_json(shape: Shape) -> st.SearchStrategy[Any]:
    """Draw JSON that has the model's members, and at every place anything else as well."""
    nested: st.SearchStrategy[Any]
    match shape.type_name:
        case "structure":
            members = {name: near_json(member) for name, member in shape.members.items()}  # type: ignore[attr-defined]
            nested = st.fixed_dictionaries({}, optional=members)
        case "list":
            nested = st.lists(near_json(shape.member), max_size=3)  # type: ignore[attr-defined]
        case "map":
            nested = st.dictionaries(st.text(max_size=5), near_json(shape.value), max_size=3)  # type: ignore[attr-defined]
        case _:
            return JSON | valid(shape).map(_as_json)
    return st.one_of(nested, nested, nested, JSON)


def valid(shape: Shape) -> st.SearchStrategy[Any]:
    """Draw values that obey a shape, as operations see them."""
    limits = shape.metadata
    low, high = limits.get("min", 0), limits.get("max")
    some = low + 2 if high is None else min(high, low + 2)
    match shape.type_name:
        case "structure":
            members = {name: valid(member) for name, member in shape.members.items()}  # type: ignore[attr-defined]
            required = {name: members.pop(name) for name in limits.get("required", ())}
            return st.fixed_dictionaries(required, optional=members)
        case "list":
            return st.lists(valid(shape.member), min_size=low, max_size=some)  # type: ignore[attr-defined]
        case "map":
            key, value = valid(shape.key), valid(shape.value)  # type: ignore[attr-defined]
            return st.dictionaries(key, value, min_size=low, max_size=some)
        case _:
            return _valid_scalar(shape.type_name, limits)


def _valid_scalar(type_name: str, limits: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = limits.get("min"), limits.get("max")
    bits = 31 if type_name == "integer" else 63
    whole = st.integers(-(2**bits) if low is None else low, 2**bits - 1 if high is None else high)
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "blob": st.binary(min_size=low or 0, max_size=(low or 0) + 20),
        "boolean": st.booleans(),
        "float": st.floats(low, high, allow_nan=False, allow_infinity=False),
        "integer": whole,
        "long": whole,
        "timestamp": st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    }
    return _valid_string(limits, low or 0, high) if type_name == "string" else scalars[type_name]


def _valid_string(limits: dict[str, Any], low: int, high: int | None) -> st.SearchStrategy[str]:
    if enum := limits.get("enum"):
        return st.sampled_from(enum)
    if not (pattern := limits.get("pattern")):
        return st.text(min_size=low, max_size=low + 8 if high is None else min(high, low + 8))
    compiled = java_pattern(pattern)
    if not isinstance(compiled, re.Pattern):  # tags: letters, blanks, numbers, some signs
        return st.text("abcé\u0663 _.:/=+-@", min_size=low, max_size=8).filter(lambda text: not text.startswith("aws:"))
    fitting = st.from_regex(compiled, fullmatch=True)
    return fitting.filter(lambda text: low <= len(text) <= (high or 4096))


def _as_json(value: Any) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {name: _as_json(item) for name, item in value.items()}
        case list():
            return [_as_json(item) for item in value]
        case _:
            return value


def read(operation: Operation, body: bytes) -> dict[str, Any]:
    request = PARSER.parse(operation, body)
    VALIDATOR.validate(operation, request)
    return request


def read_or_refuse(operation: Operation, body: bytes) -> dict[str, Any] | ServiceError:
    try:
        return read(operation, body)
    except ServiceError as error:
        return error


@pytest.mark.parametrize("name", OPERATIONS)
@few
@given(data=st.data())
def test_nothing_but_a_request_or_an_error_comes_of_any_json(name: str, data: st.DataObject) -> None:
    operation = MODEL.operations[name]
    assert operation.input is not None
    body = json.dumps(data.draw(near_json(operation.input) | JSON)).encode()
    outcome = read_or_refuse(operation, body)
    if isinstance(outcome, ServiceError):
        assert outcome.code in {"SerializationException", operation.violation_code}
        assert len(outcome.message) < 100_000
    else:
        assert outcome.keys() <= operation.input.members.keys()


@given(body=st.binary())
def test_nothing_but_a_request_or_an_error_comes_of_any_bytes(body: bytes) -> None:
    outcome = read_or_refuse(MODEL.operations["ListCollections"], body)
    if isinstance(outcome, ServiceError):
        assert outcome.code in {"SerializationException", "InvalidParameterException"}


@pytest.mark.parametrize("name", OPERATIONS)
@few
@given(data=st.data())
def test_whatever_the_model_allows_is_accepted_unchanged(name: str, data: st.DataObject) -> None:
    operation = MODEL.operations[name]
    assert operation.input is not None
    request = data.draw(valid(operation.input))
    assert read(operation, orjson.dumps(_as_json(request))) == request


def _as_numpy(value: Any) -> Any:
    """Replace numbers by numpy's, which operations return as they are."""
    match value:
        case bool():
            return np.bool_(value)
        case int():
            return np.int64(value)
        case float():
            return np.float64(value)
        case dict():
            return {name: _as_numpy(item) for name, item in value.items()}
        case list():
            return [_as_numpy(item) for item in value]
        case _:
            return value


def _to_milliseconds(value: Any) -> Any:
    match value:
        case datetime():
            return datetime.fromtimestamp(round(value.timestamp(), 3), UTC)
        case dict():
            return {name: _to_milliseconds(item) for name, item in value.items()}
        case list():
            return [_to_milliseconds(item) for item in value]
        case _:
            return value


@pytest.mark.parametrize("name", OPERATIONS)
@few
@given(data=st.data())
def test_whatever_the_model_allows_is_written_as_boto3_reads_it(name: str, data: st.DataObject) -> None:
    operation = MODEL.operations[name]
    assert operation.output is not None
    result = data.draw(valid(operation.output))
    body = SERIALISER.serialise(operation, _as_numpy(result))
    response = {"body": body, "headers": {}, "status_code": 200}
    parsed = create_parser("json").parse(response, operation.output)
    del parsed["ResponseMetadata"]
    assert _to_milliseconds(parsed) == _to_milliseconds(result)
