"""More requests than the server can do: who waits, who is turned away, and what it costs."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from botocore.config import Config
from pydantic import SecretStr

from recognizance.core import waiting
from recognizance.core.settings import Settings
from recognizance.storage.objects.s3 import S3ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REFUSED = "ProvisionedThroughputExceededException"


def metric(server: Any, name: str) -> float:
    text: str = server.request("GET", "/metrics").body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name} "))
    return float(line.split()[-1])


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.02)
    return False


class Door:
    """An operation that does not end before the test says so."""

    def __init__(self, server: Any, operation: str = "ListStreamProcessors") -> None:
        self._server, self._operation = server, operation
        self._open = threading.Event()
        self._threads: list[threading.Thread] = []
        self.replies: list[Any] = []
        server.backend.handlers[operation] = self._wait

    def _wait(self, _: Any) -> Any:
        assert self._open.wait(60)
        return {}

    def knock(self, times: int = 1) -> None:
        """Call the operation in threads of their own."""
        for _ in range(times):
            call = threading.Thread(target=lambda: self.replies.append(self._server.call(self._operation)))
            call.start()
            self._threads.append(call)

    def open(self) -> list[int]:
        """Let the operation end, and return the status of every call."""
        self._open.set()
        for thread in self._threads:
            thread.join(60)
        return sorted(reply.status for reply in self.replies)


def test_so_many_wait_and_the_rest_is_turned_away(serve: Callable[..., Any]) -> None:
    """Whoever watches the server is answered all the while."""
    server = serve(max_concurrent_requests=2, max_waiting_requests=3)
    door = Door(server)
    door.knock(5)
    assert eventually(lambda: metric(server, "recognizance_requests_waiting") == 3)
    assert metric(server, "recognizance_requests_in_progress") == 2
    refused = server.call("ListCollections")
    assert (refused.status, refused.json["__type"]) == (400, REFUSED)
    assert server.request("GET", "/health").status == 200
    assert server.request("GET", "/ready").status == 200
    assert metric(server, 'recognizance_rejected_total{reason="queue_full"}') == 1
    assert door.open() == [200] * 5
    assert eventually(lambda: metric(server, "recognizance_requests_in_progress") == 0)
    assert metric(server, "recognizance_queue_seconds_count") == 5
    assert metric(server, "recognizance_queue_seconds_sum") > 0


def test_who_has_waited_too_long_is_turned_away_and_not_worked_for(serve: Callable[..., Any]) -> None:
    server = serve(max_concurrent_requests=1, queue_timeout_seconds=0.2)
    door = Door(server)
    door.knock()
    assert eventually(lambda: metric(server, "recognizance_requests_in_progress") == 1)
    assert server.call("ListCollections").json["__type"] == REFUSED
    assert server.backend.calls["ListCollections"] == 0
    assert metric(server, 'recognizance_rejected_total{reason="queue_timeout"}') == 1
    assert door.open() == [200]
    assert server.call("ListCollections").status == 200


def test_turns_come_in_order(serve: Callable[..., Any]) -> None:
    server = serve(max_concurrent_requests=1)
    door = Door(server)
    door.knock()
    assert eventually(lambda: metric(server, "recognizance_requests_in_progress") == 1)
    order: list[str] = []

    def describe(request: Any) -> Any:
        order.append(request["CollectionId"])
        return {}

    server.backend.handlers["DescribeCollection"] = describe
    connections = []
    for number in range(10):
        connections.append(server.connect())
        connections[-1].sendall(server.message("DescribeCollection", b'{"CollectionId":"%d"}' % number))
        assert eventually(lambda: metric(server, "recognizance_requests_waiting") == len(connections))
    assert door.open() == [200]
    assert eventually(lambda: len(order) == 10)
    assert order == [str(number) for number in range(10)]
    for connection in connections:
        connection.close()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield listener


@pytest.fixture
def hanging(serve: Callable[..., Any], silent: socket.socket) -> Any:
    """A server of two turns, one of whose operations reads from a bucket that hangs."""
    server = serve(max_concurrent_requests=2, max_waiting_requests=100, max_remote_waits=8)
    host, port = silent.getsockname()
    store = S3ObjectStore.open(
        Settings(
            s3_endpoint_url=f"http://{host}:{port}",
            s3_access_key_id="AKID",
            s3_secret_access_key=SecretStr("x"),
            max_remote_waits=8,
        )
    )
    server.backend.fetched = []

    def read(_: Any) -> Any:
        store.read("bucket", "key", None, 1000)
        server.backend.fetched.append(True)
        return {}

    server.backend.handlers["DetectText"] = read
    return server


NAMED = b'{"Image":{"S3Object":{"Bucket":"bucket","Name":"key"}}}'


def test_a_bucket_that_hangs_takes_nothing_from_the_others(hanging: Any, silent: socket.socket) -> None:
    clients = [hanging.connect() for _ in range(8)]
    for connection in clients:
        connection.sendall(hanging.message("DetectText", NAMED))
    assert eventually(lambda: metric(hanging, 'recognizance_requests_elsewhere{what="objects"}') == 8)
    assert metric(hanging, "recognizance_requests_in_progress") == 0
    refused = hanging.call("DetectText", NAMED).json
    assert (refused["__type"], refused["Message"]) == (REFUSED, "S3 download limit exceeded.")
    assert metric(hanging, 'recognizance_rejected_total{reason="objects"}') == 1
    for _ in range(20):
        assert hanging.call("ListCollections").status == 200
    silent.close()  # which resets the connections that were never accepted
    for connection in clients:
        assert b"InvalidS3ObjectException" in connection.recv(65536)
        connection.close()
    assert eventually(lambda: metric(hanging, 'recognizance_requests_elsewhere{what="objects"}') == 0)
    assert hanging.call("ListCollections").status == 200
    assert metric(hanging, "recognizance_requests_in_progress") == 0


def test_pictures_that_arrive_together_are_worked_on_in_turns(hanging: Any, silent: socket.socket) -> None:
    most = 0
    working = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, working
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.01)
        with lock:
            working -= 1

    read = hanging.backend.handlers["DetectText"]

    def read_and_work(request: Any) -> Any:
        answer = read(request)
        work()
        return answer

    hanging.backend.handlers["DetectText"] = read_and_work
    with ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(hanging.call, "DetectText", NAMED) for _ in range(8)]
        accepted = [silent.accept()[0] for _ in range(8)]
        for connection in accepted:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        assert [reply.result().status for reply in replies] == [200] * 8
        for connection in accepted:
            connection.close()
    assert most <= 2
    assert len(hanging.backend.fetched) == 8


def test_a_client_that_left_while_its_picture_was_fetched_is_not_worked_for(
    hanging: Any, silent: socket.socket
) -> None:
    client = hanging.connect()
    client.sendall(hanging.message("DetectText", NAMED))
    bucket, _ = silent.accept()
    client.close()
    assert eventually(lambda: hanging.call("ListCollections").status == 200)
    time.sleep(0.2)  # until the server has heard of it
    with closing(bucket):
        bucket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        assert eventually(lambda: metric(hanging, 'recognizance_requests_elsewhere{what="objects"}') == 0)
    assert hanging.backend.fetched == []
    left = 'recognizance_requests_total{code="ClientDisconnected",operation="DetectText"}'
    assert eventually(lambda: metric(hanging, left) == 1)


def test_a_wait_within_a_wait_takes_one_turn(serve: Callable[..., Any]) -> None:
    server = serve(max_concurrent_requests=1)

    def wait(_: Any) -> Any:
        with waiting.elsewhere("vectors"):
            with waiting.elsewhere("objects"):
                pass
            assert metric(server, "recognizance_requests_in_progress") == 0
        return {}

    server.backend.handlers["ListStreamProcessors"] = wait
    for _ in range(3):
        assert server.call("ListStreamProcessors").status == 200
    assert eventually(lambda: metric(server, "recognizance_requests_in_progress") == 0)
    assert server.call("ListCollections").status == 200


@pytest.mark.parametrize("mode", ["standard", "adaptive", "legacy"])
def test_sixty_four_clients_get_through_small_limits_by_trying_again(serve: Callable[..., Any], mode: Any) -> None:
    server = serve(max_concurrent_requests=2, max_waiting_requests=4)

    def work(_: Any) -> Any:
        time.sleep(0.01)
        return {"CollectionIds": ["done"]}

    server.backend.handlers["ListCollections"] = work
    config = Config(retries={"mode": mode, "total_max_attempts": 20})
    clients = [server.boto(config=config) for _ in range(64)]
    barrier = threading.Barrier(64)

    def ask(client: Any) -> Any:
        barrier.wait(60)
        return client.list_collections()["CollectionIds"]

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(ask, clients)) == [["done"]] * 64
    assert server.backend.calls["ListCollections"] == 64
    assert metric(server, 'recognizance_rejected_total{reason="queue_full"}') > 0


def test_a_client_that_is_killed_frees_its_place(serve: Callable[..., Any]) -> None:
    """Whether it was killed while it waited, or while it was sending."""
    server = serve(max_concurrent_requests=1, max_waiting_requests=1)
    door = Door(server)
    door.knock()
    assert eventually(lambda: metric(server, "recognizance_requests_in_progress") == 1)
    program = (
        "import socket, sys, time; s = socket.create_connection((sys.argv[1], int(sys.argv[2])));"
        "s.sendall(sys.stdin.buffer.read()); time.sleep(600)"
    )
    host, port = server.address
    picture = server.message("DetectFaces", b'{"Image":{"Bytes":"' + b"A" * 200_000 + b'"}}')
    for message, name, value in (
        (server.message("ListCollections"), "recognizance_requests_waiting", 1),
        (picture[:-1], "recognizance_bodies_bytes", 200_021 - 1),
    ):
        with subprocess.Popen([sys.executable, "-c", program, host, str(port)], stdin=subprocess.PIPE) as process:
            assert process.stdin
            process.stdin.write(message)
            process.stdin.close()
            assert eventually(lambda name=name, value=value: metric(server, name) >= value)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
        assert eventually(lambda name=name: metric(server, name) == 0)  # type: ignore[misc]
    assert door.open() == [200]
    assert server.backend.calls["ListCollections"] == 0


_PROGRAM = """
import sys
from recognizance.core.log import configure
from recognizance.core.settings import Settings
from recognizance.wire.app import build_app
from recognizance.wire.server import serve

settings = Settings(port=0, log_level="error", max_buffered_bytes=32 * 2**20, max_body_bytes=4 * 2**20)
configure(settings)
app = build_app(settings, find={}.get, dispatch=lambda *_: {}, checks={})
serve(app, settings, lambda url: print(url, flush=True))
"""


def test_five_hundred_clients_that_send_large_bodies_slowly_do_not_fill_the_memory() -> None:
    """They hold back the last byte of 1 MB each, of which the server keeps 32 MB in all."""
    program = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        address, port = re.fullmatch(r"http://(.+):(\d+)", url).groups()  # type: ignore[union-attr]
        before = _resident(url)
        most = before
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n"
        held = []
        reset = struct.pack("ii", 1, 0)
        for number in range(500):
            connection = socket.create_connection((address, int(port)), timeout=60)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.sendall(head + bytes(1_000_000))
            held.append(connection)
            if number % 50 == 49:
                most = max(most, _resident(url))
        with urlopen(f"{url}/health", timeout=60) as page:  # noqa: S310 - our own server
            assert json.load(page) == {"status": "ok"}
        most = max(most, _resident(url))
        for connection in held:
            connection.close()
        process.terminate()
        assert process.wait(60) == 0
    assert most - before < 128 * 2**20


def _resident(url: str) -> int:
    with urlopen(f"{url}/metrics", timeout=60) as page:  # noqa: S310 - our own server
        found = re.search(rb"^process_resident_memory_bytes (\S+)$", page.read(), re.MULTILINE)
    assert found
    return int(float(found[1]))
