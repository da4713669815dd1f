"""A Milvus to test with: milvus-lite, which answers Milvus's protocol, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from recognizance.collections.index.milvus import MilvusServer
from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Serve = Callable[[Path, int], AbstractContextManager[tuple[int, subprocess.Popen[bytes]]]]

# It ends with whoever started it, however that ends: then there is nobody left who could write to it.
_SERVE = """
import sys
from milvus_lite.adapter.grpc.server import start_server_in_thread
server, database, port = start_server_in_thread(sys.argv[1], port=int(sys.argv[2]))
print(port, flush=True)
sys.stdin.read()
"""


@contextmanager
def _serve(folder: Path, port: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    command = [sys.executable, "-c", _SERVE, str(folder), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@pytest.fixture(scope="session")
def serve_milvus() -> Serve:
    """Serve a folder on a port, 0 for a free one; gives the port and the process."""
    return _serve


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus that runs as long as the tests; each test has names of its own in it."""
    with _serve(tmp_path_factory.mktemp("milvus") / "data", 0) as (port, _):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def open_milvus(milvus_url: str) -> Iterator[Callable[..., MilvusServer]]:
    """Connect once more, as another process would."""
    opened: list[MilvusServer] = []

    def connect(**settings: object) -> MilvusServer:
        values = {"milvus_url": milvus_url, "milvus_timeout_seconds": 60} | settings
        opened.append(MilvusServer(Settings.model_validate(values)))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()
