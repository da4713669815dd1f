"""HTTP on one connection, with limits on what a client may send around a request's body and how long it may take.

uvicorn bounds neither the number of connections, nor the size of a request's head, or of the trailers behind a chunked
body, nor the time that a head or the reading of an answer may take. Without bounds a client could fill the memory with
headers, or hold connections open by sending or reading a byte now and then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from recognizance.wire.connections import Connections

MAX_HEAD_BYTES = 64 * 1024
"""The largest head of a request (request line and headers), and the most that may follow it or a piece of its body
without being body: trailers are headers too."""

HEAD_SECONDS = 10.0
"""The longest time from a connection's opening, or a request's first byte, to the end of its head."""

ANSWER_SECONDS = 30.0
"""The time within which a client must have read an answer; it is looked at this often, so it may be twice as long."""

_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, bounded. It reads a head until it is complete, and otherwise leaves everything as it is.

    The application's ``state.connections`` are told of everything.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own arguments
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)
        self._connections: Connections = self.config.app.state.connections  # type: ignore[union-attr]  # a Starlette
        self._head_bytes = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._in_message = False
        self._replaying = False
        self._answering: RequestResponseCycle | None = None
        self._answers = 0
        self._answer_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the clock: a connection that says nothing is closed."""
        super().connection_made(transport)
        self._await_head()
        self._connections.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks, and tell whoever works on an answer."""
        self._head_complete()
        if self._answering is not None and not self._answering.response_complete:
            # uvicorn tells the request that arrived last, which need not be the one that is being answered.
            self._answering.disconnected = True
            self._answering.message_event.set()
        if self._answer_deadline is not None:
            self._answer_deadline.cancel()
        self._connections.closed(self)
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
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Stop the clock: from here on the application's limits on bodies apply."""
        if self._replaying:
            return
        self._in_message = True
        self._head_complete()
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle

    def on_body(self, body: bytes) -> None:
        """Count anew: bodies have limits of their own, and what comes behind this piece may be trailers."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be ready for the head of the next request."""
        if self.parser.should_upgrade():
            return  # said by the parser of any request that offers an upgrade, before its body
        super().on_message_complete()
        self._in_message = False
        self._connections.servers_turn(self)

    def on_response_complete(self) -> None:
        """Wait for the client: to read the answer, and to ask something else."""
        if self.pipeline:
            self._answering, _ = self.pipeline[-1]
        else:
            self._connections.clients_turn(self)
        super().on_response_complete()
        self._answers += 1
        self._await_reader()

    def pause_writing(self) -> None:
        """Note that the client is slow to read a large answer."""
        super().pause_writing()
        self._await_reader()
        self._connections.unread(self)

    def resume_writing(self) -> None:
        """Note that the client has read it."""
        super().resume_writing()
        self._connections.read(self)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for too long."""
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection, without waiting for a client who does not read."""
        if self.unsent():
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.close()

    def unsent(self) -> int:
        """Return how many bytes wait to be read by the client."""
        return self.transport.get_write_buffer_size()

    def decline_upgrade(self, rest: bytes) -> None:
        """Go on with HTTP/1.1 after a request that offered another protocol, as RFC 9110, section 7.8, allows.

        The parser stops behind the head of such a request, taking for granted that the other protocol is spoken from
        there on, so the body would be lost. Another parser is told how the body is framed and reads on.

        Args:
            rest: What arrived after the head.
        """
        framing = [
            b"%s: %s\r\n" % (name, value)
            for name, value in self.headers
            if name in {b"content-length", b"transfer-encoding"}
        ]
        request = self.url, self.headers, self.scope, self.expect_100_continue
        self.parser = _Parser(self)
        self._replaying = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(framing))
        self._replaying = False
        self.url, self.headers, self.scope, self.expect_100_continue = request
        if rest:
            self.parser.feed_data(rest)

    def _await_head(self) -> None:
        if self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_SECONDS, self.hang_up)

    def _head_complete(self) -> None:
        self._head_bytes = 0
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _await_reader(self) -> None:
        if self._answer_deadline is None and self.unsent():
            self._answer_deadline = self.loop.call_later(ANSWER_SECONDS, self._check_reader, self._answers)

    def _check_reader(self, answers: int) -> None:
        """Close the connection if the client still reads the answer that it was reading when the clock was started."""
        self._answer_deadline = None
        if self.unsent() and answers == self._answers:
            self._connections.slow(self)
        else:
            self._await_reader()


class _Parser(httptools.HttpRequestParser):
    """httptools' parser, which speaks HTTP/1.1 to whoever offers something else."""

    def __init__(self, protocol: BoundedHttpProtocol) -> None:
        super().__init__(protocol)
        self._protocol = protocol
        # As in uvicorn: several requests may be sent at once, of which the first asks for the connection to be closed.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:  # noqa: ANN401 - any of the buffers that httptools takes
        """Parse what arrived."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._protocol.decline_upgrade(bytes(data[offer.args[0] :]))
