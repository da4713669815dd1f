"""Milvus when it is down, silent or back: a real milvus-lite in a process of its own, stopped and started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from recognizance.collections.index.milvus import MilvusIndex, MilvusServer
from recognizance.collections.index.milvus import server as server_module
from recognizance.collections.index.milvus.layout import Layout
from recognizance.collections.index.milvus.server import MissingError
from recognizance.core.errors import SetupError, TemporarilyUnavailableError
from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collections.index.conftest import Serve


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture
def server(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[MilvusServer]:
    """The client of a server on that port."""
    monkeypatch.setattr(server_module, "_PAUSE_SECONDS", 0.0)
    made = MilvusServer(Settings(milvus_url=f"http://127.0.0.1:{port}", milvus_timeout_seconds=2))
    yield made
    made.close()


def answered(server: MilvusServer) -> str:
    """Ask until there is an answer: a connection that was refused is tried again every second."""
    while True:
        try:
            return server.version()
        except TemporarilyUnavailableError:
            pass


def test_a_server_that_is_down_is_one_line_in_the_log_with_the_cure(server: MilvusServer) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(TemporarilyUnavailableError, match="Try your call again"):
                server.version()
    (line,) = logs
    assert line["log_level"] == "error"
    assert "recognizance doctor" in line["cure"]


def test_a_server_that_accepts_and_says_nothing_is_given_up(port: int, server: MilvusServer) -> None:
    with closing(socket.socket()) as mute:
        mute.bind(("127.0.0.1", port))
        mute.listen()
        with pytest.raises(TemporarilyUnavailableError):
            server.version()


def test_after_a_failure_nobody_waits_for_a_while(
    port: int, server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TemporarilyUnavailableError):
        server.version()
    monkeypatch.setattr(server_module, "_PAUSE_SECONDS", 3600.0)
    with pytest.raises(TemporarilyUnavailableError):
        server.version()
    monkeypatch.setattr(server, "_opened", lambda: pytest.fail("it was asked"))
    with pytest.raises(TemporarilyUnavailableError):
        server.version()
    assert port


def test_what_was_stored_is_found_after_a_restart_and_a_standstill(
    port: int, server: MilvusServer, tmp_path: Path, serve_milvus: Serve
) -> None:
    index = MilvusIndex(server, Layout(server, "one", "faces", 3), 1)
    vectors = np.eye(3, dtype=np.float32)

    def nearest() -> list[int]:
        (hits,) = index.search(vectors[:1], 1, np.array([-np.inf]))
        found: list[int] = hits.ids.tolist()
        return found

    with serve_milvus(tmp_path / "data", port) as (_, process):
        answered(server)
        index.add(np.arange(3), vectors)
        assert nearest() == [0]
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        with capture_logs() as logs, pytest.raises(TemporarilyUnavailableError):
            nearest()
        assert [line["log_level"] for line in logs] == ["error"]
        process.send_signal(signal.SIGCONT)
        with capture_logs() as logs:
            answered(server)
        assert [line["event"] for line in logs] == ["Milvus answers again"]
        assert nearest() == [0]
    with pytest.raises(TemporarilyUnavailableError):
        nearest()
    with serve_milvus(tmp_path / "data", port):
        answered(server)
        with contextlib.suppress(MissingError):  # milvus-lite loads nothing by itself after a start
            nearest()
        assert nearest() == [0]


def test_a_milvus_that_was_emptied_says_so_and_takes_everything_again(
    server: MilvusServer, port: int, tmp_path: Path, serve_milvus: Serve
) -> None:
    index = MilvusIndex(server, Layout(server, "one", "faces", 3), 1)
    vectors = np.eye(3, dtype=np.float32)
    with serve_milvus(tmp_path / "data", port):
        answered(server)
        index.add(np.arange(3), vectors)
        for name in server.call("list_collections"):
            server.call("drop_collection", name)
        with pytest.raises(TemporarilyUnavailableError):
            index.search(vectors[:1], 1, np.array([-np.inf]))
        assert len(index) == 0
        index.add(np.arange(3), vectors)
        assert len(index) == 3


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r'pip install "recognizance\[milvus\]"'):
        MilvusServer(Settings(milvus_url="http://127.0.0.1:1"))
