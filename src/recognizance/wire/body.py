"""Reading request bodies from clients who may be slow, greedy or gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from recognizance.core.errors import RequestTimeoutError, RequestTooLargeError, ThroughputExceededError

if TYPE_CHECKING:
    from starlette.types import Receive

_DRAIN_FACTOR = 4
"""How many times the limit is read and thrown away before the connection is cut. A client that is still sending
when the server closes sees a broken connection in the place of the error, and SDKs then send everything again."""


class ClientDisconnectedError(Exception):
    """The client left before its answer was ready."""


class BodyReader:
    """Reads bodies within limits.

    Args:
        limit: The largest body, in bytes.
        timeout: The longest time for one body, in seconds.
        budget: The largest total of the bodies that are being read at the same time, in bytes: many clients who send
            slowly must not fill the memory, each within its limit.
    """

    def __init__(self, limit: int, timeout: float, budget: int) -> None:
        self._limit, self._timeout, self._budget = limit, timeout, budget
        self._buffered = 0

    async def read(self, receive: Receive, declared: str | None) -> bytes:
        """Return a request's body.

        Args:
            receive: The ASGI channel that it comes through.
            declared: The Content-Length header, when there is one.

        Raises:
            RequestTooLargeError: The body is larger than the limit.
            RequestTimeoutError: It did not arrive in time.
            ThroughputExceededError: Too many bodies are being read.
            ClientDisconnectedError: The client left.
        """
        keep = not (declared and declared.isdecimal() and int(declared) > self._limit)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._collect(receive, keep=keep)
        except TimeoutError:
            raise RequestTimeoutError(f"The request body did not arrive within {self._timeout:g} seconds.") from None

    async def _collect(self, receive: Receive, *, keep: bool) -> bytes:
        chunks: list[bytes] = []
        size = held = 0
        more = True
        try:
            while more and size <= self._limit * _DRAIN_FACTOR:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnectedError
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(chunk)
                keep = keep and size <= self._limit
                if keep:
                    held += len(chunk)
                    self._hold(len(chunk))
                    chunks.append(chunk)
                else:
                    chunks.clear()
        finally:
            self._buffered -= held
        if not keep:
            raise RequestTooLargeError(f"The request body must not be larger than {self._limit} bytes.")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _hold(self, size: int) -> None:
        self._buffered += size
        if self._buffered > self._budget:
            raise ThroughputExceededError
