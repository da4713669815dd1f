"""The table of operations and the door to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from recognizance.core.errors import (
    AccessDeniedError,
    InvalidParameterError,
    ResourceNotFoundError,
    SetupError,
    UnsupportedOperationError,
)
from recognizance.governance.principal import Principal
from recognizance.operations import OPERATIONS, call
from recognizance.operations.registry import Operation, operation

if TYPE_CHECKING:
    from recognizance.operations.context import Context, Services

ADMINISTRATOR = Principal("AKIDADMIN", "administrator", "123456789012")
READER = Principal("AKIDREADER", "reader", "123456789012")
SERVICES = cast("Services", object())


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An operation called ListFaces, in a table of the test's own, that notes what it was given."""
    noted: dict[str, Any] = {}

    def handler(context: Context, request: dict[str, Any]) -> dict[str, object]:
        noted.update(context=context, request=request)
        if "error" in request:
            raise request["error"]
        return {"Faces": []}

    monkeypatch.setitem(OPERATIONS, "ListFaces", Operation("ListFaces", handler))
    return noted


def test_a_call_hands_over_who_asks_for_what(entered: dict[str, Any]) -> None:
    assert call(SERVICES, READER, "request-1", "ListFaces", {"CollectionId": "c"}) == {"Faces": []}
    context = entered["context"]
    assert (context.principal, context.request_id, context.services) == (READER, "request-1", SERVICES)
    assert entered["request"] == {"CollectionId": "c"}


def test_whoever_may_not_is_denied_before_the_operation_runs(
    entered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPERATIONS, "DeleteFaces", OPERATIONS["ListFaces"])
    with pytest.raises(AccessDeniedError):
        call(SERVICES, READER, "request-1", "DeleteFaces", {})
    assert entered == {}


def test_an_operation_that_is_not_built_is_unsupported_by_name() -> None:
    with pytest.raises(UnsupportedOperationError, match="StartFaceSearch"):
        call(SERVICES, ADMINISTRATOR, "request-1", "StartFaceSearch", {})


def test_even_what_is_not_built_is_denied_to_whoever_may_not() -> None:
    with pytest.raises(AccessDeniedError):
        call(SERVICES, READER, "request-1", "StartFaceSearch", {})


@pytest.mark.usefixtures("entered")
def test_an_error_answer_passes_through() -> None:
    with pytest.raises(ResourceNotFoundError, match="gone"):
        call(SERVICES, READER, "request-1", "ListFaces", {"error": ResourceNotFoundError("gone")})


@pytest.mark.usefixtures("entered")
def test_what_the_operator_must_cure_is_told_to_the_caller() -> None:
    with pytest.raises(InvalidParameterError, match="recognizance models pull"):
        call(SERVICES, READER, "request-1", "ListFaces", {"error": SetupError("Run: recognizance models pull")})


@pytest.mark.usefixtures("entered")
def test_a_fault_is_not_disguised() -> None:
    """The wire turns it into an InternalServerError and logs the rest."""
    with pytest.raises(ZeroDivisionError):
        call(SERVICES, READER, "request-1", "ListFaces", {"error": ZeroDivisionError()})


def test_a_name_is_entered_once() -> None:
    with pytest.raises(ValueError, match="ListFaces"):
        operation("ListFaces")(lambda _context, _request: {})
