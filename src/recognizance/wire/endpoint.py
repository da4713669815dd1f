"""One call from end to end: from a request that was read to the answer that will be sent, without any HTTP server.

The order is deliberate. The target is looked up first, for an operation that does not exist needs no secrets; then
the signature is verified over the bytes, so that nobody without a key reaches the parser; then the key's rate is
checked, which nobody else can use up; then the body is parsed
and validated, the operation performed, and its result checked against the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from recognizance.core.errors import InternalServerError, SerializationError, ServiceError
from recognizance.wire import answers
from recognizance.wire.body import ClientDisconnectedError
from recognizance.wire.model import CONTENT_TYPE
from recognizance.wire.parse import Parser
from recognizance.wire.serialise import Serialiser
from recognizance.wire.validate import Validator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recognizance.governance.principal import Principal
    from recognizance.wire.answers import Answer
    from recognizance.wire.http import Request
    from recognizance.wire.limiter import Limiter
    from recognizance.wire.model import Operation, ServiceModel
    from recognizance.wire.sigv4 import Verifier

log = structlog.get_logger(__name__)

UNKNOWN = "unknown"
"""What log and metrics show in the place of an operation that a request does not name."""


class Dispatch(Protocol):
    """Performs an operation for a principal; ``recognizance.operations.call`` once its services are bound."""

    def __call__(
        self, principal: Principal, request_id: str, name: str, request: Mapping[str, Any], /
    ) -> Mapping[str, Any]:
        """Return the result's members, or raise ``ServiceError``."""
        ...


@dataclass(slots=True)
class Call:
    """What is known of a call so far; the log and the metrics read it afterwards.

    Attributes:
        operation: The operation's name.
        access_key_id: Whose key signed the request; None until the signature is verified.
    """

    operation: str = UNKNOWN
    access_key_id: str | None = None


class Endpoint:
    """Answers requests. Safe to use from many threads.

    Args:
        model: The service.
        verifier: Verifies signatures.
        limiter: Says how often each key may call.
        dispatch: Performs operations.
    """

    def __init__(self, model: ServiceModel, verifier: Verifier, limiter: Limiter, dispatch: Dispatch) -> None:
        self.model = model
        self._verifier, self._limiter, self._dispatch = verifier, limiter, dispatch
        self._parser, self._validator, self._serialiser = Parser(model), Validator(model), Serialiser(model)

    def answer(self, request: Request, call: Call) -> Answer:
        """Return the answer to a request, whatever happens, and note in the call who asked for what.

        Raises:
            ClientDisconnectedError: The client left while another machine was waited for.
        """
        with structlog.contextvars.bound_contextvars(request_id=request.id):
            return self._answer(request, call)

    def _answer(self, request: Request, call: Call) -> Answer:
        try:
            return answers.result(self._perform(request, call))
        except ServiceError as error:
            if error.code == InternalServerError.code:
                log.exception("operation failed", operation=call.operation)
            return answers.error(self.model, request.id, error)
        except ClientDisconnectedError:
            raise
        except Exception:  # the boundary: the log learns everything, the client only the request id
            log.exception("request failed", operation=call.operation)
            return answers.error(self.model, request.id, InternalServerError())

    def _perform(self, request: Request, call: Call) -> bytes:
        operation = self.model.operation_of_target(request.headers.get("x-amz-target"))
        call.operation = operation.name
        principal = self._verifier.verify(request)
        call.access_key_id = principal.access_key_id
        self._limiter.take(principal.access_key_id)
        members = self._read(operation, request)
        result = self._dispatch(principal, request.id, operation.name, members)
        return self._serialiser.serialise(operation, result)

    def _read(self, operation: Operation, request: Request) -> dict[str, Any]:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != CONTENT_TYPE:
            raise SerializationError(f"The Content-Type must be {CONTENT_TYPE}.")
        members = self._parser.parse(operation, request.body)
        self._validator.validate(operation, members)
        return members
