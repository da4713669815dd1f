"""Clients that are slow, greedy, gone, or speak no HTTP."""

from __future__ import annotations

import base64
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from recognizance.wire import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE = b"\xff" + bytes(5 * 1024 * 1024)


def read_to_end(connection: socket.socket) -> bytes:
    """Return everything that the server sends until it closes."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def send_without_end(connection: socket.socket, data: bytes, pause: float = 0.001) -> None:
    """Send the same bytes again and again, until the server cuts the connection."""
    for _ in range(10_000):
        connection.sendall(data)
        time.sleep(pause)


def chunked(message: bytes, size: int) -> bytes:
    """Return a request with its body in chunks of this size."""
    head, _, body = message.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]) + coded + b"0\r\n\r\n"


def once(message: bytes) -> bytes:
    """Return a request that asks the server to close afterwards."""
    return message.replace(b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nConnection: close\r\n", 1)


def test_the_largest_picture_arrives_whole(server: Any) -> None:
    data = PICTURE[: 5 * 1024 * 1024]
    body = b'{"Image":{"Bytes":"' + base64.b64encode(data) + b'"}}'
    box = server.call("DetectFaces", body).json["FaceDetails"][0]["BoundingBox"]
    assert (box["Width"], box["Height"]) == (255.0, float(len(data)))


def test_a_picture_one_byte_larger_violates_the_constraint_and_is_not_repeated(server: Any) -> None:
    body = b'{"Image":{"Bytes":"' + base64.b64encode(PICTURE) + b'"}}'
    reply = server.call("DetectFaces", body)
    assert reply.json["__type"] == "InvalidParameterException"
    assert reply.json["Message"] == (
        "1 validation error detected: Value at 'image.bytes' failed to satisfy constraint: Member must have length "
        "less than or equal to 5242880"
    )


def test_a_chunked_body_is_read_like_any_other(server: Any) -> None:
    message = chunked(once(server.message("CreateCollection", b'{"CollectionId":"in-chunks"}')), 7)
    with server.connect() as connection:
        connection.sendall(message)
        assert b'"StatusCode":200' in read_to_end(connection)


@pytest.mark.parametrize("code", [lambda message: message, lambda message: chunked(message, 4096)])
def test_a_body_over_the_limit_is_refused_once_it_was_sent(
    serve: Callable[..., Any], code: Callable[[bytes], bytes]
) -> None:
    """A client that is still sending would see a broken connection, so the server hears it out."""
    server = serve(max_body_bytes=20_000)
    message = server.message("DetectFaces", b"x" * 60_000)
    with server.connect() as connection:
        connection.sendall(code(message))
        reply = read_to_end(connection)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head
    assert orjson.loads(body)["__type"] == "RequestEntityTooLargeException"


def test_a_body_without_end_is_cut_off(serve: Callable[..., Any]) -> None:
    server = serve(max_body_bytes=20_000)
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_without_end(connection, b"1000\r\n" + bytes(4096) + b"\r\n")


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_set(serve: Callable[..., Any]) -> None:
    server = serve(body_timeout_seconds=0.3)
    message = server.message("ListCollections", b"{}")
    with server.connect() as connection:
        connection.sendall(message[:-1])
        reply = read_to_end(connection)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b'"__type":"RequestTimeoutException"' in reply


def test_a_client_that_sends_slowly_keeps_nobody_else_waiting(serve: Callable[..., Any]) -> None:
    server = serve(max_concurrent_requests=1, max_waiting_requests=0, body_timeout_seconds=20)
    slow = [server.connect() for _ in range(8)]
    for connection in slow:
        connection.sendall(server.message("ListCollections", b'{"NextToken":null}')[:-5])
    assert server.call("ListCollections").status == 200
    for connection in slow:
        connection.close()


def test_slow_clients_together_cannot_fill_the_memory(serve: Callable[..., Any]) -> None:
    """Of bodies held back half-sent the oldest give way to new ones, so that the slow do not lock out the others."""
    server = serve(max_body_bytes=300_000, max_buffered_bytes=1_000_000, body_timeout_seconds=20)
    body = b'{"Image":{"Bytes":"' + b"A" * 280_000 + b'"}}'
    held = [server.connect() for _ in range(5)]
    for connection in held:
        connection.sendall(server.message("DetectFaces", body)[:-1])
    assert _eventually(lambda: 'recognizance_rejected_total{reason="memory"} 2.0' in _metrics(server))
    for connection in held[:2]:
        assert b"ProvisionedThroughputExceededException" in read_to_end(connection)
    assert server.call("DetectFaces", body).status == 200
    assert b"ProvisionedThroughputExceededException" in read_to_end(held[2])
    for connection in held:
        connection.close()
    assert _eventually(lambda: "recognizance_bodies_bytes 0.0" in _metrics(server))


def test_requests_without_a_picture_pass_while_pictures_fill_the_memory(serve: Callable[..., Any]) -> None:
    server = serve(max_body_bytes=300_000, max_buffered_bytes=300_000, max_concurrent_requests=2)
    entered, leave = threading.Event(), threading.Event()

    def wait(_: Any) -> Any:
        entered.set()
        assert leave.wait(30)
        return {}

    server.backend.handlers["DetectText"] = wait
    body = b'{"Image":{"Bytes":"' + b"A" * 280_000 + b'"}}'
    with server.connect() as connection:
        connection.sendall(once(server.message("DetectText", body)))
        assert entered.wait(30)
        refused = server.call("DetectFaces", body)
        assert refused.json["__type"] == "ProvisionedThroughputExceededException"
        assert server.call("ListCollections").status == 200
        leave.set()
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")
    assert server.call("DetectFaces", body).status == 200


def _eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_client_that_left_before_its_turn_is_not_worked_for(serve: Callable[..., Any]) -> None:
    server = serve(max_concurrent_requests=4)
    entered, leave = threading.Semaphore(0), threading.Event()

    def wait(_: Any) -> Any:
        entered.release()
        assert leave.wait(30)
        return {}

    server.backend.handlers["ListStreamProcessors"] = wait
    connections = [server.connect() for _ in range(64)]
    for connection in connections:
        connection.sendall(server.message("ListStreamProcessors"))
    assert entered.acquire(timeout=30)
    assert _eventually(lambda: "recognizance_requests_waiting 60.0" in _metrics(server))
    assert "recognizance_requests_in_progress 4.0" in _metrics(server)
    for connection in connections:
        connection.close()
    assert _eventually(lambda: "recognizance_requests_waiting 0.0" in _metrics(server))
    leave.set()
    assert _eventually(lambda: "recognizance_requests_in_progress 0.0" in _metrics(server))
    assert server.backend.calls["ListStreamProcessors"] == 4
    assert server.call("ListCollections").status == 200


def _metrics(server: Any) -> str:
    text: str = server.request("GET", "/metrics").body.decode()
    return text


def test_requests_sent_at_once_are_answered_in_turn(server: Any) -> None:
    create = server.message("CreateCollection", b'{"CollectionId":"in-turn"}')
    describe = server.message("DescribeCollection", b'{"CollectionId":"in-turn"}')
    delete = once(server.message("DeleteCollection", b'{"CollectionId":"in-turn"}'))
    with server.connect() as connection:
        connection.sendall(create + describe + delete)
        reply = read_to_end(connection)
    assert reply.count(b"HTTP/1.1 200 OK") == 3
    assert reply.index(b"CollectionArn") < reply.index(b"CreationTimestamp")
    assert reply.endswith(b'{"StatusCode":200}')


UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}


@pytest.mark.parametrize("code", [lambda message: message, lambda message: chunked(message, 5)])
@pytest.mark.parametrize("cut", [0, 1, 10, 40])
def test_a_request_that_offers_another_protocol_is_read_like_any_other(
    server: Any, code: Callable[[bytes], bytes], cut: int
) -> None:
    """Java's client offers HTTP/2 with every first request. Its body must not be lost, nor taken for a request."""
    create = code(server.message("CreateCollection", b'{"CollectionId":"offered"}', headers=UPGRADE))
    describe = once(server.message("DescribeCollection", b'{"CollectionId":"offered"}'))
    with server.connect() as connection:
        connection.sendall(create[: len(create) - cut])
        time.sleep(0.05)
        connection.sendall(create[len(create) - cut :] + describe)
        reply = read_to_end(connection)
    assert server.call("DeleteCollection", b'{"CollectionId":"offered"}').status == 200
    assert reply.count(b"HTTP/1.1 200 OK") == 2
    assert reply.index(b"CollectionArn") < reply.index(b"CreationTimestamp")


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_a_request_without_a_body_may_offer_another_protocol(server: Any, path: str) -> None:
    assert server.request("GET", path, headers=UPGRADE).status == 200


@pytest.mark.parametrize(
    "message",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"GARBAGE\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nFolded: a\r\n b\r\nX y: 1\r\n\r\n",
        b"POST / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST ?x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_server_lives(server: Any, message: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        reply = read_to_end(connection)
    assert reply.startswith(b"HTTP/1.1 4") or reply == b""
    assert server.call("ListCollections").status == 200


def test_a_folded_header_is_one_header(server: Any) -> None:
    """Obsolete line folding (RFC 9112, section 5.2) is either refused or read as the client signed it."""
    message = once(server.message("ListCollections", headers={"X-Folded": "one two"}))
    with server.connect() as connection:
        connection.sendall(message.replace(b"one two", b"one\r\n  two"))
        assert read_to_end(connection).split(b" ")[1] in {b"200", b"400"}


def test_a_head_without_end_is_refused(server: Any) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_without_end(connection, b"x" * 4096)


@pytest.mark.parametrize("trailers", [b"x" * 4096, b"X-Name: %s\r\n" % bytes(b"x" * 4000)])
def test_trailers_without_end_are_refused(server: Any, trailers: bytes) -> None:
    """What follows the last chunk of a body is kept like headers, so it is bounded like them."""
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-First: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_without_end(connection, trailers)


@pytest.mark.parametrize("start", [b"", b"POST / HTT", b"POST / HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n"])
def test_a_connection_that_does_not_get_to_the_point_is_closed(
    server: Any, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    with server.connect() as connection:
        connection.sendall(start)
        assert read_to_end(connection) == b""


def test_blank_lines_do_not_keep_a_connection_alive(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with server.connect() as connection, pytest.raises(OSError, match=r"reset|Broken pipe"):
        send_without_end(connection, b"\r\n", pause=0.02)


def test_a_connection_stays_open_between_requests(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    with server.connect() as connection:
        connection.sendall(server.message("ListCollections"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(1)
        connection.sendall(once(server.message("ListCollections")))
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")
