"""An upstream of the test's own: a web server on a loopback socket that behaves well or badly, as told."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import socket
import tarfile
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass
class Answer:
    """What the server sends.

    Attributes:
        cut: Close the connection after so many bytes of the body.
        pause: Seconds before every byte of the body; the headers come at once.
        silence: Seconds before the headers.
        counted: Whether there is a Content-Length.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    pause: float = 0.0
    silence: float = 0.0
    counted: bool = True


class Upstream:
    """A web server whose answers tests lay out by path; it keeps the requests it got."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stopped = threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.requests.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        answer = self.answers.get(request.path, Answer(status=404))
        answer = answer() if callable(answer) else answer
        try:
            self.stopped.wait(answer.silence)
            request.send_response(answer.status)
            headers = {"Content-Length": str(len(answer.body))} if answer.counted else {}
            for name, value in (headers | answer.headers).items():
                request.send_header(name, value)
            request.end_headers()
            if answer.pause:
                for position in range(len(answer.body)):
                    request.wfile.write(answer.body[position : position + 1])
                    if self.stopped.wait(answer.pause):
                        return
            else:
                request.wfile.write(answer.body[: answer.cut])
        except ConnectionError:
            pass  # the client has given up, as some tests want

    def paths(self) -> list[str]:
        """Return the paths that were asked for."""
        return [path for path, _ in self.requests]

    def package(
        self, name: str, files: Mapping[str, bytes], *, as_json: bool = True, sha256: str | None = None
    ) -> None:
        """Lay out a package: its page in the simple index, and its files."""
        links = []
        for filename, body in files.items():
            self.answers[f"/files/{filename}"] = Answer(body)
            links.append((filename, f"../../files/{filename}", sha256 or digest(body)))
        if as_json:
            entries = [{"filename": name, "url": url, "hashes": {"sha256": sha}} for name, url, sha in links]
            page = json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": entries}).encode()
            kind = "application/vnd.pypi.simple.v1+json"
        else:
            page = "".join(f'<a href="{url}#sha256={sha}">{name}</a><br>' for name, url, sha in links).encode()
            kind = "text/html; charset=utf-8"
        self.answers[f"/simple/{name}/"] = Answer(page, headers={"Content-Type": kind})

    def close(self) -> None:
        """Stop, and wait until it has."""
        self.stopped.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def wheel(members: Mapping[str, bytes]) -> bytes:
    """Return a wheel, that is a zip archive, of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def sdist(members: Mapping[str, bytes]) -> bytes:
    """Return a source archive of these members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return gzip.compress(file.getvalue(), mtime=0)


def package_toml(name: str, archive: bytes, members: Mapping[str, bytes], **more: str) -> str:
    """Return the manifest of members of the source archive ``widget-1.0.tar.gz``."""
    lines = [_head(name, more), f'[{name}.source]\nkind = "pypi"\npackage = "widget"\nversion = "1.0"']
    lines.append(f'archive = "widget-1.0.tar.gz"\nsha256 = "{digest(archive)}"\nsize = {len(archive)}')
    for member, body in members.items():
        lines.append(f'[[{name}.files]]\nname = "{Path(member).name}"\nmember = "{member}"')
        lines.append(f'sha256 = "{digest(body)}"\nsize = {len(body)}')
    return "\n".join(lines) + "\n"


def url_toml(name: str, body: bytes, *urls: str, **more: str) -> str:
    """Return the manifest of a file that one of these addresses has."""
    source = f'[{name}.source]\nkind = "url"\nurls = {json.dumps(urls)}'
    file = f'[[{name}.files]]\nname = "{name}.onnx"\nsha256 = "{digest(body)}"\nsize = {len(body)}'
    return "\n".join([_head(name, more), source, file]) + '\nother_names = ["elsewhere.onnx"]\n'


def _head(name: str, more: Mapping[str, str]) -> str:
    head = {"task": "testing", "licence": "MIT", "data_terms": "none", "upstream": "https://example.com"} | dict(more)
    return f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in head.items())


@dataclass
class Counter:
    """A progress that keeps what it is told."""

    files: list[tuple[str, int]] = field(default_factory=list)
    received: int = 0
    ended: int = 0

    def begin(self, description: str, total: int) -> None:
        self.files.append((description, total))

    def advance(self, size: int) -> None:
        self.received += size

    def end(self) -> None:
        self.ended += 1


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Forge:
    """What tests make archives, manifests and answers with."""

    Answer = Answer
    Counter = Counter
    digest = staticmethod(digest)
    wheel = staticmethod(wheel)
    sdist = staticmethod(sdist)
    package_toml = staticmethod(package_toml)
    url_toml = staticmethod(url_toml)
    wait_until = staticmethod(wait_until)


@pytest.fixture(scope="session")
def forge() -> type[Forge]:
    return Forge


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A web server of the test's own."""
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def pip_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no configuration of this machine's pip, uv or proxies reach the tests."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "RECOGNIZANCE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def store(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModelStore]:
    """Open stores whose manifests are the given TOML, and whose package index is the test's own server."""
    monkeypatch.setenv("PIP_INDEX_URL", f"{upstream.url}/simple/")

    def open_store(toml: str, **settings: Any) -> ModelStore:
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        (data / "models.toml").write_text(toml)
        return ModelStore(Settings(data=data, models=tmp_path / "models", **settings))

    return open_store


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
