"""From a request's body to the members that the service model describes.

The result holds plain Python values: blobs are ``bytes``, timestamps aware datetimes. Members that the model does
not know are ignored and null members are dropped, as AWS does; a value of the wrong JSON type is a
SerializationException. Whether the values obey the model's constraints is for :mod:`recognizance.wire.validate` to
say.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
import pybase64

from recognizance.core.errors import SerializationError
from recognizance.wire.shapes import ShapeCompiler, wire_name

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape, StructureShape

    from recognizance.wire.model import Operation, ServiceModel

Parse = Callable[[Any], Any]

MAX_COMMAS = 100_000
"""Commas bound the number of values, of which small ones take twenty times their bytes in memory. The longest list of
the model has 4096 members; its large members are blobs, and base64 has no commas."""

_INTEGER_BITS = {"integer": 32, "long": 64}


class WrongTypeError(Exception):
    """A JSON value that is not what its shape takes; the path grows while the error leaves the nested values."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.path: list[str] = []

    def __str__(self) -> str:
        where = f"'{'.'.join(reversed(self.path))}'" if self.path else "The request"
        return f"{where} must be {self.expected}."


class Parser:
    """Parses the requests of a service.

    Args:
        model: The service; every input shape is compiled here, once.
    """

    def __init__(self, model: ServiceModel) -> None:
        self._parsers = _Compiler().compile_all((name, each.input) for name, each in model.operations.items())

    def parse(self, operation: Operation, body: bytes) -> dict[str, Any]:
        """Return the request in a body.

        An empty body is an empty request: awsJson1.1 tells clients to send ``{}`` and servers to take both.

        Raises:
            SerializationError: The body is not a JSON object, or a member is not of the type that the model gives it.
        """
        document = _document(body) if body else {}
        parse = self._parsers.get(operation.name)
        try:
            return {} if parse is None else parse(document)
        except WrongTypeError as error:
            raise SerializationError(str(error)) from None


def _document(body: bytes) -> dict[str, Any]:
    if body.count(b",") > MAX_COMMAS:
        raise SerializationError("The request body has too many values.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Only the place is repeated: the text around it may be somebody's face.
        raise SerializationError(f"The request body is not valid JSON (at character {error.pos}).") from None
    if not isinstance(document, dict):
        raise SerializationError("The request body must be a JSON object.")
    _check_keys(body, document)
    return document


def _check_keys(body: bytes, document: dict[str, Any]) -> None:
    """Refuse a body in which an object repeats a key, which orjson resolves silently.

    Every key of the document stands before a colon. As long as the body has no more colons than the document has keys,
    there is nothing more to know; that costs one memchr over the body. Otherwise the standard library's parser, which
    shows every pair, decides.
    """
    at = -1
    for _ in range(_count_keys(document) + 1):
        at = body.find(b":", at + 1)
        if at < 0:
            return
    try:
        json.loads(body, object_pairs_hook=_refuse_duplicates)
    except RecursionError:
        raise SerializationError("The request body is nested too deeply.") from None


def _count_keys(document: dict[str, Any]) -> int:
    keys = 0
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            keys += len(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return keys


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise SerializationError("The request body has an object with the same key twice.")


class _Compiler(ShapeCompiler[Parse]):
    def _structure(self, shape: StructureShape) -> Parse:
        members = {name: self.compile(member) for name, member in shape.members.items()}

        def parse_structure(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
            if type(value) is not dict:
                raise WrongTypeError("an object")
            parsed = {}
            for name, item in value.items():
                if item is not None and (parse := members.get(name)):
                    try:
                        parsed[name] = parse(item)
                    except WrongTypeError as error:
                        error.path.append(wire_name(name))
                        raise
            return parsed

        return parse_structure

    def _list(self, shape: ListShape) -> Parse:
        parse = self.compile(shape.member)

        def parse_list(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
            if type(value) is not list:
                raise WrongTypeError("a list")
            parsed: list[Any] = []
            try:
                # A null stays: the validator says which member it is that must not be null.
                parsed.extend(None if item is None else parse(item) for item in value)
            except WrongTypeError as error:
                error.path += ["member", str(len(parsed) + 1)]
                raise
            return parsed

        return parse_list

    def _map(self, shape: MapShape) -> Parse:
        parse = self.compile(shape.value)

        def parse_map(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
            if type(value) is not dict:
                raise WrongTypeError("an object")
            try:
                return {key: None if item is None else parse(item) for key, item in value.items()}
            except WrongTypeError as error:
                error.path.append("value")
                raise

        return parse_map

    def _scalar(self, shape: Shape) -> Parse:
        if bits := _INTEGER_BITS.get(shape.type_name):
            return _integer(bits)
        return _SCALARS[shape.type_name]


def _string(value: object) -> str:
    return value if type(value) is str else _refuse("a string")


def _boolean(value: object) -> bool:
    return value if type(value) is bool else _refuse("true or false")


def _float(value: object) -> float:
    # orjson has already refused numbers too large for a double.
    return float(value) if type(value) is float or type(value) is int else _refuse("a number")


def _integer(bits: int) -> Parse:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def parse_integer(value: object) -> int:
        # JSON has one type of number: 5.0 is 5 (RFC 8259, section 6). True is not 1.
        whole = int(value) if type(value) is float and value.is_integer() else value
        if type(whole) is not int or not low <= whole <= high:
            _refuse(f"an integer of {bits} bits")
        return whole

    return parse_integer


def _blob(value: object) -> bytes:
    if type(value) is str:
        try:
            return pybase64.b64decode(value, validate=True)
        except ValueError:  # binascii.Error is one
            pass
    return _refuse("base64")


def _timestamp(value: object) -> datetime:
    if type(value) is float or type(value) is int:
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            pass
    return _refuse("a time in seconds since 1970")


def _refuse(expected: str) -> NoReturn:
    raise WrongTypeError(expected)


_SCALARS: dict[str, Parse] = {
    "string": _string,
    "character": _string,
    "boolean": _boolean,
    "float": _float,
    "double": _float,
    "blob": _blob,
    "timestamp": _timestamp,
}
