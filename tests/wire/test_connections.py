"""More connections than the server takes, and clients that do not read."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.wire import connections, protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.02)
    return False


def metrics(server: Any) -> str:
    text: str = server.request("GET", "/metrics").body.decode()
    return text


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the server has closed a connection that has nothing to read."""
    connection.settimeout(0.2)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_the_longest_idle_connection_gives_way_to_a_new_one(serve: Callable[..., Any]) -> None:
    server = serve(max_connections=3)
    held = []
    for _ in range(3):
        held.append(server.connect())
        held[-1].sendall(GET)
        assert held[-1].recv(4096).startswith(b"HTTP/1.1 200")
    held[0].sendall(GET)  # no longer the one that was idle for the longest
    assert held[0].recv(4096).startswith(b"HTTP/1.1 200")
    assert server.request("GET", "/health").status == 200
    assert [is_closed(connection) for connection in held] == [False, True, False]
    for connection in held:
        connection.close()


@pytest.mark.parametrize("start", [b"", b"POST / HTTP/1.1\r\nHost: x\r\n", b"whole head"])
def test_connections_that_get_nowhere_do_not_keep_others_out(serve: Callable[..., Any], start: bytes) -> None:
    server = serve(max_connections=20)
    if start == b"whole head":
        start = server.message("ListCollections", b'{"NextToken":null}')[:-5]
    held = [server.connect() for _ in range(60)]
    for connection in held:
        try:
            connection.sendall(start)
        except OSError:
            assert is_closed(connection)
    for _ in range(10):
        assert server.call("ListCollections").status == 200
    assert "recognizance_connections 20.0" in metrics(server)
    for connection in held:
        connection.close()
    assert eventually(lambda: "recognizance_connections 1.0" in metrics(server))


def test_a_connection_whose_request_is_worked_on_is_not_closed_for_another(serve: Callable[..., Any]) -> None:
    server = serve(max_connections=2)
    entered, leave = threading.Event(), threading.Event()

    def wait(_: Any) -> Any:
        entered.set()
        assert leave.wait(30)
        return {}

    server.backend.handlers["ListStreamProcessors"] = wait
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(server.call("ListStreamProcessors")))
    thread.start()
    assert entered.wait(30)
    held = [server.connect() for _ in range(10)]
    assert server.request("GET", "/health").status == 200
    leave.set()
    thread.join(30)
    assert replies[0].status == 200
    for connection in held:
        connection.close()


@pytest.fixture
def unread(serve: Callable[..., Any]) -> Iterator[Callable[[], tuple[Any, socket.socket]]]:
    """Ask for 16 answers of 1 MB without reading any; return the server and the connection."""
    server = serve()
    server.backend.handlers["ListCollections"] = lambda _: {"CollectionIds": ["x" * 255] * 4096}
    opened = []

    def ask() -> tuple[Any, socket.socket]:
        opened.append(server.connect())
        opened[-1].sendall(server.message("ListCollections") * 16)
        return server, opened[-1]

    yield ask
    for connection in opened:
        connection.close()


def test_an_answer_that_is_not_read_is_dropped(unread: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 0.3)
    server, _connection = unread()
    assert eventually(lambda: 'recognizance_rejected_total{reason="slow_reader"} 1.0' in metrics(server))
    assert eventually(lambda: "recognizance_connections 1.0" in metrics(server))


def test_an_answer_that_is_read_slowly_is_not_dropped(unread: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 0.5)
    server, connection = unread()
    received = 0
    while received < 16 * 4096 * 257:
        received += len(connection.recv(1 << 20))
        time.sleep(0.01)
    assert 'recognizance_rejected_total{reason="slow_reader"} 0.0' in metrics(server)


def test_answers_that_are_not_read_are_bounded_together(unread: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", 0)
    for _ in range(8):
        server, _connection = unread()
    assert eventually(lambda: rejected(server, "slow_reader") == 8)
    assert eventually(lambda: open_connections(server) == 1)
    assert server.call("DescribeCollection", b'{"CollectionId":"nobody"}').status == 400


def rejected(server: Any, reason: str) -> float:
    (line,) = (
        line
        for line in metrics(server).splitlines()
        if line.startswith(f'recognizance_rejected_total{{reason="{reason}"}}')
    )
    return float(line.split()[-1])


def open_connections(server: Any) -> float:
    (line,) = (line for line in metrics(server).splitlines() if line.startswith("recognizance_connections "))
    return float(line.split()[-1])
