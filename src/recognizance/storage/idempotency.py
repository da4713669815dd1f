"""Requests that are done once, however often a client's SDK repeats them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

from sqlalchemy import Connection

from recognizance.core import clock
from recognizance.core.errors import IdempotentParameterMismatchError
from recognizance.storage.locks import hold
from recognizance.storage.repositories import idempotency

LIFE = timedelta(days=7)
"""How long a token is remembered: the life that Rekognition's developer guide gives it."""


@dataclass(frozen=True, slots=True)
class Once:
    """The name of one request that must not be done twice.

    Attributes:
        operation: The operation's name: tokens of different operations do not meet.
        principal: Who asks, for example the account id: tokens of different principals do not meet.
        token: The client's request token.
        digest: SHA-256 of the request without its token: a repeated token with another digest is a mistake.
    """

    operation: str
    principal: str
    token: str
    digest: bytes

    @classmethod
    def of(cls, operation: str, principal: str, token: str, request: Mapping[str, object]) -> Self:
        """Name a request by its token; ``request`` is what it asks for, as JSON-like values."""
        canonical = json.dumps(
            {k: v for k, v in request.items() if k != "ClientRequestToken"}, sort_keys=True, default=repr
        )
        return cls(operation, principal, token, hashlib.sha256(canonical.encode()).digest())

    def on(self, subject: int) -> Self:
        """Name the same request on one subject, by its key: what is made anew under an old name is another subject."""
        return replace(self, digest=hashlib.sha256(self.digest + str(subject).encode()).digest())


def once(connection: Connection, request: Once | None, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Perform an action unless this request has been performed in the last seven days; then repeat its answer.

    Record and action are one transaction, so that a request is neither half done nor done and forgotten. An action
    that raises leaves no record, and may be tried again.

    Args:
        connection: The transaction that the action writes in.
        request: The request's name; None performs the action in any case.
        action: What to do. Its answer must survive JSON.

    Raises:
        IdempotentParameterMismatchError: The token was used for another request.
    """
    if request is None:
        return action()
    hold(connection, "token", request.operation, request.principal, request.token)
    now = clock.now()
    idempotency.prune(connection, now - LIFE)
    record = idempotency.get(connection, request.operation, request.principal, request.token)
    if record is None:
        response = action()
        record = idempotency.Record(request.digest, json.dumps(response))
        idempotency.insert(connection, request.operation, request.principal, request.token, record, now)
    elif record.digest != request.digest:
        raise IdempotentParameterMismatchError(
            f"The ClientRequestToken: {request.token} you have supplied is already in use."
        )
    answer: dict[str, Any] = json.loads(record.response)
    return answer
