"""The table of operations, and the one door to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from recognizance.core.errors import InvalidParameterError, SetupError, UnsupportedOperationError
from recognizance.governance.roles import authorize
from recognizance.operations.context import Context

if TYPE_CHECKING:
    from recognizance.governance.principal import Principal
    from recognizance.operations.context import Services

Handler = Callable[[Context, Any], Mapping[str, object]]
_H = TypeVar("_H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that is built.

    Attributes:
        name: Its name in Rekognition's service model.
        handler: The function that performs it.
        missing: What it does not do yet, in one phrase for the coverage table; None when it does everything.
    """

    name: str
    handler: Handler
    missing: str | None = None


OPERATIONS: dict[str, Operation] = {}
"""The operations that are built, by name. Importing ``recognizance.operations`` fills it."""


def operation(name: str, *, missing: str | None = None) -> Callable[[_H], _H]:
    """Enter a function in the table under an operation's name.

    The function takes a context and the validated request (blobs as ``bytes``, absent members as missing keys) and
    returns the response's members (times as aware datetimes); it raises ``ServiceError`` for every error answer.

    Raises:
        ValueError: The name is taken.
    """

    def enter(handler: _H) -> _H:
        if name in OPERATIONS:
            raise ValueError(f"{name} is entered twice")
        OPERATIONS[name] = Operation(name, handler, missing)
        return handler

    return enter


def call(
    services: Services, principal: Principal, request_id: str, name: str, request: Mapping[str, Any]
) -> dict[str, Any]:
    """Perform an operation for a principal.

    Args:
        services: What the server has open.
        principal: Who signed the request.
        request_id: The id that the answer and the log carry.
        name: An operation of the service model.
        request: The request, already validated against the service model.

    Raises:
        AccessDeniedError: The principal may not perform this operation.
        UnsupportedOperationError: This version has not built it.
        ServiceError: Whatever else the operation answers.
    """
    authorize(principal, name)
    built = OPERATIONS.get(name)
    if built is None:
        raise UnsupportedOperationError(f"{name} is not available in this version of Recognizance.")
    try:
        return dict(built.handler(Context(principal, request_id, services), request))
    except SetupError as error:
        # A model that is not installed is no fault of the server's code: an SDK must not retry it as it would a 500,
        # and whoever reads the message should learn the cure.
        raise InvalidParameterError(str(error)) from error
