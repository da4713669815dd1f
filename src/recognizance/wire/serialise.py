"""From an operation's result to the response's body, by the service model.

Members that are None are left out, times become seconds since 1970 with a fraction of milliseconds, bytes become
base64, numpy's scalars become numbers. A result that the model does not describe (a member it does not have, a
value of another type, an infinite number) is a fault of ours and never leaves the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pybase64

from recognizance.wire.shapes import ShapeCompiler

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape, StructureShape

    from recognizance.wire.model import Operation, ServiceModel

Serialise = Callable[[Any], Any]


class OffContractError(Exception):
    """A result that the service model does not describe; the path grows while the error leaves the nested values."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault
        self.path: list[str] = []

    def __str__(self) -> str:
        return f"{'.'.join(reversed(self.path)) or 'The result'}: {self.fault}"


class Serialiser:
    """Writes the responses of a service.

    Args:
        model: The service; every output shape is compiled here, once.
    """

    def __init__(self, model: ServiceModel) -> None:
        self._serialisers = _Compiler().compile_all((name, each.output) for name, each in model.operations.items())

    def serialise(self, operation: Operation, result: Mapping[str, Any]) -> bytes:
        """Return the body of a response.

        Raises:
            OffContractError: The model does not describe the result.
        """
        serialise: Serialise = self._serialisers.get(operation.name, _nothing)
        return orjson.dumps(serialise(result))


class _Compiler(ShapeCompiler[Serialise]):
    def _structure(self, shape: StructureShape) -> Serialise:
        members = {name: self.compile(member) for name, member in shape.members.items()}

        def serialise_structure(value: object) -> dict[str, Any]:
            if not isinstance(value, Mapping):
                raise _unfit(value, shape.name)
            written = {}
            for name, item in value.items():
                if name not in members:
                    raise OffContractError(f"{shape.name} has no member {name!r}")
                if item is not None:
                    try:
                        written[name] = members[name](item)
                    except OffContractError as error:
                        error.path.append(name)
                        raise
            return written

        return serialise_structure

    def _list(self, shape: ListShape) -> Serialise:
        serialise = self.compile(shape.member)

        def serialise_list(value: object) -> list[Any]:
            if not isinstance(value, Sequence) or isinstance(value, str | bytes):
                raise _unfit(value, shape.name)
            written: list[Any] = []
            try:
                written.extend(map(serialise, value))
            except OffContractError as error:
                error.path.append(str(len(written)))
                raise
            return written

        return serialise_list

    def _map(self, shape: MapShape) -> Serialise:
        serialise = self.compile(shape.value)

        def serialise_map(value: object) -> dict[str, Any]:
            if not isinstance(value, Mapping):
                raise _unfit(value, shape.name)
            return {_string(key): serialise(item) for key, item in value.items()}

        return serialise_map

    def _scalar(self, shape: Shape) -> Serialise:
        if enum := shape.metadata.get("enum"):
            return _enumeration(shape.name, frozenset(enum))
        return _SCALARS[shape.type_name]


def _nothing(value: Mapping[str, Any]) -> dict[str, Any]:
    if value:
        raise OffContractError("the operation has no output")
    return {}


def _enumeration(name: str, values: frozenset[str]) -> Serialise:
    def serialise_enumeration(value: object) -> str:
        if _string(value) not in values:
            raise OffContractError(f"{value!r} is no {name}")
        return _string(value)

    return serialise_enumeration


def _string(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    raise _unfit(value, "string")


def _boolean(value: object) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise _unfit(value, "boolean")


def _integer(value: object) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool):  # numpy registers its integers
        return int(value)
    raise _unfit(value, "integer")


def _float(value: object) -> float:
    if isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
    raise _unfit(value, "finite number")


def _blob(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return pybase64.b64encode_as_string(value)
    raise _unfit(value, "blob")


def _timestamp(value: object) -> float:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return round(value.timestamp(), 3)
    raise _unfit(value, "aware time")


def _unfit(value: object, expected: str) -> OffContractError:
    # The value itself may be somebody's face: the log learns its type.
    return OffContractError(f"a {type(value).__name__} is no {expected}")


_SCALARS: dict[str, Serialise] = {
    "string": _string,
    "character": _string,
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "blob": _blob,
    "timestamp": _timestamp,
}
