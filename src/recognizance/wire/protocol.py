"""HTTP on one connection, with limits on what a client may send around the body of its request.

uvicorn bounds neither the size of a request's head, or of the trailers behind a chunked body, nor the time that a head
may take. Without bounds a client could fill the memory with headers, or hold connections open by sending a byte now
and then.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""The largest head of a request (request line and headers), and the most that may follow it or a piece of its body
without being body: trailers are headers too."""

HEAD_SECONDS = 10.0
"""The longest time from a connection's opening, or a request's first byte, to the end of its head."""

_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, bounded. It reads a head until it is complete, and otherwise leaves everything as it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own arguments
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._in_message = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the clock: a connection that says nothing is closed."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._head_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, unless head or trailers have grown too large."""
        if not self._in_message:
            # Also reached by blank lines between requests, which uvicorn takes as a sign of life.
            self._await_head()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_HEAD_TOO_LARGE)
            self._hang_up()

    def on_headers_complete(self) -> None:
        """Stop the clock: from here on the application's limits on bodies apply."""
        self._in_message = True
        self._head_complete()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count anew: bodies have limits of their own, and what comes behind this piece may be trailers."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be ready for the head of the next request."""
        super().on_message_complete()
        self._in_message = False

    def _await_head(self) -> None:
        if self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _head_complete(self) -> None:
        self._head_bytes = 0
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
