"""Reading request bodies from clients who may be slow, greedy or gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from recognizance.core.errors import RequestTimeoutError, RequestTooLargeError, ThroughputExceededError

if TYPE_CHECKING:
    from starlette.types import Receive

    from recognizance.wire.metrics import Metrics

_DRAIN_FACTOR = 4
"""How many times the limit is read and thrown away before the connection is cut. A client that is still sending
when the server closes sees a broken connection in the place of the error, and SDKs then send everything again."""

SMALL = 64 * 1024
"""Bodies up to this size, in bytes, do not count against the budget: requests without a picture are served however
many pictures are held. What they take together is bounded by the number of connections."""


class ClientDisconnectedError(Exception):
    """The client left before its answer was ready."""


class BodyReader:
    """Reads bodies within limits.

    Args:
        limit: The largest body, in bytes.
        timeout: The longest time for one body, in seconds.
        budget: The largest total of all bodies, in bytes, from their first byte until they are released.
        metrics: Where refusals and the bytes held can be seen.
    """

    def __init__(self, *, limit: int, timeout: float, budget: int, metrics: Metrics) -> None:
        self._limit, self._timeout, self._budget = limit, timeout, max(budget, limit)
        self._held = 0
        self._arriving: dict[_Body, None] = {}  # in the order in which they began
        self._metrics = metrics
        metrics.held_bytes.set_function(lambda: self._held)

    async def read(self, receive: Receive, declared: str | None) -> bytes:
        """Return a request's body; :meth:`release` it when it is no longer needed.

        When the budget is used up, the body that has been arriving for the longest gives way: its client is the
        slowest, and many who send slowly must not lock out the others.

        Args:
            receive: The ASGI channel that it comes through.
            declared: The Content-Length header, when there is one.

        Raises:
            RequestTooLargeError: The body is larger than the limit.
            RequestTimeoutError: It did not arrive in time.
            ThroughputExceededError: The budget is used up, and this body gave way.
            ClientDisconnectedError: The client left.
        """
        timer = asyncio.timeout(self._timeout)
        body = _Body(timer, keep=not (declared and declared.isdecimal() and int(declared) > self._limit))
        self._arriving[body] = None
        try:
            async with timer:
                return await self._collect(receive, body)
        except TimeoutError:
            if body.evicted:
                self._metrics.rejected.labels("memory").inc()
                raise ThroughputExceededError from None
            raise RequestTimeoutError(f"The request body did not arrive within {self._timeout:g} seconds.") from None
        finally:
            del self._arriving[body]
            self._held -= body.counted

    def release(self, body: bytes) -> None:
        """Stop counting a body that was read."""
        self._held -= _counted(len(body))

    async def _collect(self, receive: Receive, body: _Body) -> bytes:
        size = 0
        more = True
        while more and size <= self._limit * _DRAIN_FACTOR:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnectedError
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            body.keep = body.keep and size <= self._limit
            if body.keep:
                body.chunks.append(chunk)
            else:
                body.chunks.clear()
            self._count(body, size if body.keep else 0)
            if body.evicted:
                raise TimeoutError
        if not body.keep:
            raise RequestTooLargeError(f"The request body must not be larger than {self._limit} bytes.")
        whole = body.chunks[0] if len(body.chunks) == 1 else b"".join(body.chunks)
        body.counted = 0  # from here on the caller's to release
        return whole

    def _count(self, body: _Body, size: int) -> None:
        """Note how large a body has become, and have others give way when all are too large together."""
        counted = _counted(size)
        self._held += counted - body.counted
        body.counted = counted
        while self._held > self._budget and (slowest := self._slowest()) is not None:
            self._held -= slowest.evict()

    def _slowest(self) -> _Body | None:
        return next((body for body in self._arriving if body.counted), None)


class _Body:
    """A body that is arriving."""

    __slots__ = ("_timer", "chunks", "counted", "evicted", "keep")

    def __init__(self, timer: asyncio.Timeout, *, keep: bool) -> None:
        self._timer = timer
        self.chunks: list[bytes] = []
        self.keep = keep
        self.counted = 0
        self.evicted = False

    def evict(self) -> int:
        """Drop what has arrived and end the reading at once; return how much was counted."""
        counted, self.counted = self.counted, 0
        self.chunks.clear()
        self.evicted = True
        self._timer.reschedule(asyncio.get_running_loop().time())
        return counted


def _counted(size: int) -> int:
    return size if size > SMALL else 0
