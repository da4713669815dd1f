r"""The constraints of the service model: required members, lengths, ranges, patterns and enumerations.

SDKs check little of this (boto3 only required members and minimums, the JavaScript SDK nothing), so the server checks
it all. All violations are reported at once, in the words that AWS uses, for clients and people match on them:

    1 validation error detected: Value 'a b' at 'collectionId' failed to satisfy constraint: Member must satisfy
    regular expression pattern: [a-zA-Z0-9_.\-]+
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import regex

from recognizance.core.errors import InvalidParameterError, ServiceError, ValidationError
from recognizance.wire.shapes import ShapeCompiler, wire_name

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape, StructureShape

    from recognizance.wire.model import Operation, ServiceModel

MAX_VIOLATIONS = 64
"""Where counting stops: a hostile request must not buy an error message larger than itself."""

MAX_ECHO = 256
"""The longest value, in characters, that a message repeats."""

_MAX_PATTERNED = 4096
"""The longest string, in characters, that is matched where the model sets no maximum. The longest such values are
ARNs, which AWS keeps below 2048; a bound keeps patterns with ``.*`` inside from taking quadratic time."""

_ERRORS: dict[str, type[ServiceError]] = {error.code: error for error in (InvalidParameterError, ValidationError)}
_NOT_NULL = "Member must not be null"


@dataclass(frozen=True, slots=True)
class Violation:
    """A value that breaks a constraint.

    Attributes:
        path: Where the value stands, such as ``image.s3Object.bucket``.
        value: The value as the message shows it; None when it should not be repeated.
        constraint: What the value breaks.
    """

    path: str
    value: str | None
    constraint: str

    def __str__(self) -> str:
        value = "" if self.value is None else f" {self.value}"
        return f"Value{value} at '{self.path}' failed to satisfy constraint: {self.constraint}"


Check = Callable[[Any], Iterable[Violation]]
"""Finds the violations in a parsed value, their paths relative to it. Nothing found is an empty tuple."""


class Validator:
    """Checks parsed requests.

    Args:
        model: The service; every input shape is compiled here, once.
    """

    def __init__(self, model: ServiceModel) -> None:
        self._checks = _Compiler().compile_all((name, each.input) for name, each in model.operations.items())

    def validate(self, operation: Operation, request: dict[str, Any]) -> None:
        """Return when the request obeys the model.

        Raises:
            ServiceError: It does not. The code is the operation's ``violation_code``, the message lists the
            violations.
        """
        check = self._checks.get(operation.name)
        violations = list(check(request)) if check else []
        if violations:
            count = f"{len(violations)} validation error{'s' if len(violations) > 1 else ''} detected: "
            raise _ERRORS[operation.violation_code](count + "; ".join(map(str, violations)))


class _Compiler(ShapeCompiler[Check]):
    def _structure(self, shape: StructureShape) -> Check:
        required = [(name, wire_name(name)) for name in shape.required_members]
        checks = {name: (wire_name(name), self.compile(member)) for name, member in shape.members.items()}

        def check_structure(value: dict[str, Any]) -> Iterable[Violation]:
            missing = [Violation(path, "null", _NOT_NULL) for name, path in required if name not in value]
            found: list[Violation] = []
            for name, item in value.items():
                path, check = checks[name]
                found.extend(_below(path, violation) for violation in check(item))
            return (*missing, *found)

        return check_structure

    def _list(self, shape: ListShape) -> Check:
        check_size = _scalar_check(_length_rules(shape.metadata))
        check_items = self._items(shape.member, "Member")

        def check_list(values: list[Any]) -> Iterable[Violation]:
            return check_size(values) or check_items(values, enumerate(values, 1))

        return check_list

    def _map(self, shape: MapShape) -> Check:
        check_size = _scalar_check(_length_rules(shape.metadata))
        check_keys = self._items(shape.key, "Map keys")
        check_values = self._items(shape.value, "Map value")

        def check_map(value: dict[str, Any]) -> Iterable[Violation]:
            return (
                check_size(value)
                or check_keys(value, ((key, key) for key in value))
                or check_values(value, value.items())
            )

        return check_map

    def _scalar(self, shape: Shape) -> Check:
        return _scalar_check(_rules(shape))

    def _items(self, shape: Shape, subject: str) -> ItemsCheck:
        """Return the check of a list's or map's items, which are structures with paths of their own, or scalars.

        Scalars have no path: AWS names the whole list and all that is demanded of its items.
        """
        if shape.type_name in {"structure", "list", "map"}:
            return _nested_items_check(self.compile(shape))
        rules = _rules(shape)
        demands = ", ".join(rule.text for rule in rules)
        holds = rules[0].holds if len(rules) == 1 else lambda item: all(rule.holds(item) for rule in rules)

        def check_scalars(whole: Any, named: NamedItems) -> Iterable[Violation]:  # noqa: ANN401 - a list or map
            for _, item in named:
                if item is None:
                    return (Violation("", _echo(whole), f"{subject} must satisfy constraint: [{_NOT_NULL}]"),)
                if not holds(item):
                    return (Violation("", _echo(whole), f"{subject} must satisfy constraint: [{demands}]"),)
            return ()

        return check_scalars


NamedItems = Iterable[tuple[object, Any]]
"""Items of a list or map, each with its number or key."""

ItemsCheck = Callable[[Any, NamedItems], Iterable[Violation]]
"""Finds the violations in the items of a list or map, which it is given as a whole too."""


def _nested_items_check(check: Check) -> ItemsCheck:
    def check_nested(_: object, named: NamedItems) -> Iterable[Violation]:
        found: list[Violation] = []
        for name, item in named:
            path = f"{name}.member"
            if item is None:
                found.append(Violation(path, "null", _NOT_NULL))
            else:
                found.extend(_below(path, violation) for violation in check(item))
            if len(found) >= MAX_VIOLATIONS:
                break
        return found[:MAX_VIOLATIONS]

    return check_nested


def _below(path: str, violation: Violation) -> Violation:
    return replace(violation, path=f"{path}.{violation.path}" if violation.path else path)


@dataclass(frozen=True, slots=True)
class _Rule:
    holds: Callable[[Any], bool]
    text: str


def _scalar_check(rules: list[_Rule]) -> Check:
    if not rules:
        return lambda _: ()

    def check_scalar(value: object) -> Iterable[Violation]:
        return tuple(Violation("", _echo(value), rule.text) for rule in rules if not rule.holds(value))

    return check_scalar


def _rules(shape: Shape) -> list[_Rule]:
    """Return what a shape's metadata demands of a scalar, in AWS's order."""
    limits = shape.metadata
    measured = shape.type_name in {"string", "blob"}
    rules = _length_rules(limits) if measured else _range_rules(limits)
    if pattern := limits.get("pattern"):
        longest = limits.get("max", _MAX_PATTERNED)
        matches = java_pattern(pattern).fullmatch
        rules.append(
            _Rule(
                lambda value: len(value) <= longest and matches(value) is not None,
                f"Member must satisfy regular expression pattern: {pattern}",
            )
        )
    if enum := limits.get("enum"):
        rules.append(_Rule(frozenset(enum).__contains__, f"Member must satisfy enum value set: [{', '.join(enum)}]"))
    return rules


def _length_rules(limits: Mapping[str, Any]) -> list[_Rule]:
    low, high = limits.get("min"), limits.get("max")
    rules = []
    if high is not None:
        rules.append(_Rule(lambda value: len(value) <= high, f"Member must have length less than or equal to {high}"))
    if low:
        rules.append(_Rule(lambda value: len(value) >= low, f"Member must have length greater than or equal to {low}"))
    return rules


def _range_rules(limits: Mapping[str, Any]) -> list[_Rule]:
    low, high = limits.get("min"), limits.get("max")
    rules = []
    if high is not None:
        rules.append(_Rule(lambda value: value <= high, f"Member must have value less than or equal to {high}"))
    if low is not None:
        rules.append(_Rule(lambda value: value >= low, f"Member must have value greater than or equal to {low}"))
    return rules


_PATTERN_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.")
_JAVA_DOT = r"[^\n\r\x85\u2028\u2029]"


def java_pattern(pattern: str) -> re.Pattern[str] | regex.Pattern[str]:
    r"""Compile a pattern of the service model, which is a Java regular expression, for matching whole strings.

    AWS matches with Java's ``Pattern.matches``, so a pattern without anchors must match the whole value as well.
    Java's dot stops at five line terminators where Python's stops at one; its ``\d``, ``\w`` and ``\s`` are ASCII
    unless told otherwise, and its ``\p`` is Unicode. (``java.util.regex.Pattern``; no pattern of the model mixes
    the two.)
    """
    dotted = _PATTERN_TOKEN.sub(lambda token: _JAVA_DOT if token[0] == "." else token[0], pattern)
    # The standard library does not know \p, and is three times as fast with the rest.
    return regex.compile(dotted) if r"\p" in pattern else re.compile(dotted, re.ASCII)


def _echo(value: object) -> str | None:
    """Return a value as AWS's messages show it; None for blobs, structures and long ones, which are not shown."""
    match value:
        case str() | int() | float() | None:
            text = _echo_item(value)
        case list() if len(value) <= MAX_ECHO and all(map(_is_string_or_null, value)):
            text = f"[{', '.join(map(_echo_item, value))}]"
        case dict() if len(value) <= MAX_ECHO and all(map(_is_string_or_null, value.values())):
            text = f"{{{', '.join(f'{key}={_echo_item(item)}' for key, item in value.items())}}}"
        case _:
            return None
    return f"'{text}'" if len(text) <= MAX_ECHO else None


def _echo_item(value: str | float | None) -> str:
    return "null" if value is None else str(value)


def _is_string_or_null(value: object) -> bool:
    return value is None or type(value) is str
