"""The open connections of one server, and which of them give way when there are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from recognizance.wire.metrics import Metrics

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""The most that large answers may take together while their clients are slow to read them."""


class Connection(Protocol):
    """What is known of a connection here."""

    def hang_up(self) -> None:
        """Close it now."""
        ...

    def unsent(self) -> int:
        """Return how many bytes wait to be read by the client."""
        ...


class Connections:
    """Bounds how many connections are open, and what their answers take.

    A connection for which the server waits, idle or sending slowly or reading slowly, gives way to a new one; one whose
    request is being answered does not. There are fewer requests than connections, so whoever comes gets in, and the
    health checks too.

    Args:
        most: Most connections.
        metrics: Where their number, and those that were closed for others, can be seen.
    """

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most, self._metrics = most, metrics
        self._open: set[Connection] = set()
        self._clients_turn: dict[Connection, None] = {}  # those that wait for their client, longest first
        self._unread: dict[Connection, None] = {}  # those with a large answer that their client has not read, likewise
        metrics.connections.set_function(lambda: len(self._open))

    def opened(self, connection: Connection) -> None:
        """Take a connection in, in the place of another one if need be."""
        self._open.add(connection)
        self._clients_turn[connection] = None
        if len(self._open) > self._most:
            self._metrics.rejected.labels("connections").inc()
            self._drop(next(iter(self._clients_turn)))

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._clients_turn.pop(connection, None)
        self._unread.pop(connection, None)

    def servers_turn(self, connection: Connection) -> None:
        """Note that a whole request has arrived."""
        self._clients_turn.pop(connection, None)

    def clients_turn(self, connection: Connection) -> None:
        """Note that a request was answered."""
        self._clients_turn[connection] = None

    def unread(self, connection: Connection) -> None:
        """Note that an answer waits for its client to read it."""
        self._unread[connection] = None
        while sum(waiting.unsent() for waiting in self._unread) > MAX_UNSENT_BYTES:
            self._metrics.rejected.labels("slow_reader").inc()
            self._drop(next(iter(self._unread)))

    def read(self, connection: Connection) -> None:
        """Note that a client has read its answer."""
        self._unread.pop(connection, None)

    def slow(self, connection: Connection) -> None:
        """Close a connection whose client does not read its answer."""
        self._metrics.rejected.labels("slow_reader").inc()
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self.closed(connection)
        connection.hang_up()
