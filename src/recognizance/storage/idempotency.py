"""Requests that are done once, however often a client's SDK repeats them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


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
