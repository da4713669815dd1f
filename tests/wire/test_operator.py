"""What the server shows to whoever runs it: health, readiness, metrics, the log, and an orderly end."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from recognizance.core.errors import SetupError
from recognizance.wire import health
from recognizance.wire.server import listen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_health_is_that_the_process_answers(server: Any) -> None:
    reply = server.request("GET", "/health")
    assert (reply.status, reply.json) == (200, {"status": "ok"})


def test_a_server_whose_checks_pass_is_ready(server: Any) -> None:
    reply = server.request("GET", "/ready")
    assert (reply.status, reply.json) == (200, {"status": "ready", "checks": {"database": "ok", "models": "ok"}})


def test_a_server_without_models_says_what_cures_it(serve: Callable[..., Any]) -> None:
    server = serve()
    server.ready["models"] = SetupError("No face models are installed; run: recognizance models pull")
    reply = server.request("GET", "/ready")
    assert reply.status == 503
    assert reply.json["checks"]["models"] == "No face models are installed; run: recognizance models pull"


def test_an_unexpected_fault_of_a_check_is_not_shown_to_everybody(serve: Callable[..., Any]) -> None:
    server = serve()
    server.ready["database"] = RuntimeError("password=hunter2")
    reply = server.request("GET", "/ready")
    assert reply.status == 503
    assert b"hunter2" not in reply.body


def test_readiness_is_not_computed_for_every_caller(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_FRESH_SECONDS", 1000.0)
    server = serve()
    assert server.request("GET", "/ready").status == 200
    server.ready["database"] = RuntimeError("gone")
    assert server.request("GET", "/ready").status == 200


def test_requests_are_counted_by_operation_and_code(serve: Callable[..., Any]) -> None:
    server = serve()
    server.call("ListCollections")
    server.call("ListCollections", secret="wrong")
    server.request("POST", "/", b"", {"X-Amz-Target": "RekognitionService.Invented" + "x" * 1000})
    text = server.request("GET", "/metrics").body.decode()
    assert 'recognizance_requests_total{code="OK",operation="ListCollections"} 1.0' in text
    assert 'recognizance_requests_total{code="InvalidSignatureException",operation="ListCollections"} 1.0' in text
    assert 'recognizance_requests_total{code="UnknownOperationException",operation="unknown"} 1.0' in text
    assert 'recognizance_request_seconds_count{operation="ListCollections"} 2.0' in text
    assert "Invented" not in text


def test_two_servers_in_one_process_count_apart(server: Any, serve: Callable[..., Any]) -> None:
    server.call("ListCollections")
    assert 'operation="ListCollections"' not in serve().request("GET", "/metrics").body.decode()


def test_every_request_leaves_one_line_without_secrets(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "recognizance.access"):
        body = b'{"CollectionId":"nobody","Image":{"Bytes":"c2VjcmV0"}}'
        reply = server.call("DescribeCollection", body)
    (record,) = (record for record in caplog.records if record.name == "recognizance.access")
    line = vars(record)
    assert line["request_id"] == reply.headers["x-amzn-requestid"]
    assert (line["operation"], line["access_key_id"]) == ("DescribeCollection", "AKIDEXAMPLE")
    assert (line["status"], line["code"]) == (400, "ResourceNotFoundException")
    assert line["milliseconds"] > 0
    assert not any(secret in str(line) for secret in ("c2VjcmV0", "Signature=", "wJalr"))


def test_an_unverified_key_is_not_put_on_record_as_the_caller(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "recognizance.access"):
        server.call("ListCollections", secret="wrong")
    (record,) = (record for record in caplog.records if record.name == "recognizance.access")
    assert vars(record)["access_key_id"] is None


def test_a_fault_is_logged_with_its_traceback_and_the_request_id(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("the cause")

    monkeypatch.setitem(server.backend.handlers, "ListStreamProcessors", fail)
    reply = server.call("ListStreamProcessors")
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info
    assert str(record.exc_info[1]) == "the cause"
    assert vars(record)["request_id"] == reply.headers["x-amzn-requestid"]


def test_a_port_that_is_taken_is_the_operators_to_cure() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"Cannot listen on 127.0.0.1 port {port}"):
            listen("127.0.0.1", port)


# A server of its own process, for signals go to main threads. Its one operation takes until a file appears.
_PROGRAM = """
import sys, time
from pathlib import Path
from recognizance.core.log import configure
from recognizance.core.settings import Settings
from recognizance.governance.keys import Credential
from recognizance.governance.principal import Principal
from recognizance.wire.app import build_app
from recognizance.wire.server import serve

def slow(principal, request_id, name, request):
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
    return {"CollectionIds": ["finished"]}

settings = Settings(port=0, log_format="json")
configure(settings)
credential = Credential(Principal("AKIDEXAMPLE", "reader", "123456789012"), True, sys.argv[1])
app = build_app(settings, find={"AKIDEXAMPLE": credential}.get, dispatch=slow, checks={})
serve(app, settings, lambda url: print(url, flush=True))
print("closed", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_finishes_its_requests_and_returns(
    server: Any, number: int, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    program = [sys.executable, "-c", _PROGRAM, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", str(go)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        client = server.boto(endpoint_url=process.stdout.readline().strip())
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(client.list_collections()))
        thread.start()
        assert _is_busy(client.meta.endpoint_url)
        os.kill(process.pid, number)
        lines = [json.loads(process.stderr.readline())]
        while lines[-1]["event"] != "Shutting down":
            lines.append(json.loads(process.stderr.readline()))
        go.touch()
        rest, log = process.communicate(timeout=60)
        thread.join(60)
    assert answers[0]["CollectionIds"] == ["finished"]
    assert (rest, process.returncode) == ("closed\n", 0)
    lines += map(json.loads, log.splitlines())
    assert [line["operation"] for line in lines if line["logger"] == "recognizance.access"] == ["ListCollections"]
    assert {line["level"] for line in lines} == {"info"}


def _is_busy(url: str) -> bool:
    """Wait until a request is being worked on."""
    for _ in range(10_000):
        with urlopen(f"{url}/metrics", timeout=10) as page:  # noqa: S310 - our own server
            if b"recognizance_requests_in_progress 1.0" in page.read():
                return True
    return False


def test_an_address_of_version_six_is_listened_on() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = listen("::1", 0)
    except SetupError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener:
        assert listener.getsockname()[0] == "::1"
