"""Fetching from servers that behave badly, over real sockets."""

from __future__ import annotations

import base64
import io
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from recognizance.core.errors import SetupError
from recognizance.vision.models.fetch import Fetcher, Limits
from recognizance.vision.models.manifest import ModelFile, PackageSource, UrlSource
from recognizance.vision.models.pipconfig import load_index_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.vision.models.conftest import Forge, Upstream

BODY = bytes(range(256)) * 40
IMPATIENT = Limits(index_answer=0.5, url_answer=0.5)


@pytest.fixture
def source(forge: Forge) -> PackageSource:
    return PackageSource(
        kind="pypi",
        package="widget",
        version="1.0",
        archive="widget-1.0.tar.gz",
        sha256=forge.digest(BODY),
        size=len(BODY),
    )


@pytest.fixture
def fetched(source: PackageSource, forge: Forge) -> Callable[..., bytes]:
    """Fetch the package under these environment variables, and return its bytes."""

    def fetch(progress: Any = None, limits: Limits | None = None, **environment: str) -> bytes:
        target = io.BytesIO()
        fetcher = Fetcher(load_index_config(environment, []), limits or Limits())
        fetcher.package(source, target, progress or forge.Counter())
        return target.getvalue()

    return fetch


@pytest.fixture
def file(forge: Forge) -> ModelFile:
    return ModelFile(name="net.onnx", sha256=forge.digest(BODY), size=len(BODY))


def from_urls(file: ModelFile, forge: Forge, *urls: str, limits: Limits | None = None) -> bytes:
    """Fetch a file from the first address that has it."""
    target = io.BytesIO()
    Fetcher(load_index_config({}, []), limits or Limits()).file(
        UrlSource(kind="url", urls=urls), file, target, forge.Counter()
    )
    return target.getvalue()


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "html"])
def test_an_archive_is_found_in_the_index(
    fetched: Callable[..., bytes], upstream: Upstream, forge: Forge, as_json: bool
) -> None:
    upstream.package("widget", {"widget-0.9.tar.gz": b"old", "widget-1.0.tar.gz": BODY}, as_json=as_json)
    progress = forge.Counter()
    assert fetched(progress, PIP_INDEX_URL=f"{upstream.url}/simple") == BODY
    assert progress.files == [("widget-1.0.tar.gz", len(BODY))]
    assert (progress.received, progress.ended) == (len(BODY), 1)


def test_the_extra_index_is_asked_where_the_first_has_nothing(
    fetched: Callable[..., bytes], upstream: Upstream, closed_port: int
) -> None:
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    for first in (f"http://127.0.0.1:{closed_port}/simple", f"{upstream.url}/nothing"):
        assert fetched(PIP_INDEX_URL=first, PIP_EXTRA_INDEX_URL=f"{upstream.url}/simple") == BODY


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"body": BODY[:-1] + b"!"}, "sends another file"),
        ({"cut": 5000}, "broke off"),
        ({"body": BODY + b"!"}, "larger file"),
        ({"body": BODY + b"!", "counted": False}, "larger file"),
        ({"body": BODY[:5000], "counted": False}, "broke off after 5000"),
        ({"body": b""}, "broke off after 0"),
        ({"status": 404}, "answers HTTP 404"),
        ({"status": 500}, "answers HTTP 500"),
        ({"status": 401}, r"refuses access \(HTTP 401\)"),
        ({"status": 302, "headers": {"Location": "/files/widget-1.0.tar.gz"}}, "redirects in a circle"),
        ({"status": 302, "headers": {"Location": "ftp://127.0.0.1/x"}}, "does not answer as it should"),
        ({"status": 302, "headers": {"Location": "http://[::1"}}, "does not answer as it should"),
        ({"headers": {"Content-Encoding": "gzip"}, "body": b"\x1f\x8b" + bytes(100)}, "broke off after 102"),
    ],
)
def test_anything_but_the_very_file_is_refused(
    fetched: Callable[..., bytes], upstream: Upstream, forge: Forge, change: dict[str, Any], complaint: str
) -> None:
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(**({"body": BODY} | change))
    progress = forge.Counter()
    with pytest.raises(SetupError, match=complaint) as caught:
        fetched(progress, PIP_INDEX_URL=f"{upstream.url}/simple")
    assert "RECOGNIZANCE_MODEL_MIRROR" in str(caught.value)
    assert progress.ended == len(progress.files)


def test_a_compressing_server_changes_nothing(fetched: Callable[..., bytes], upstream: Upstream, forge: Forge) -> None:
    """Some servers call an archive that is compressed already a compressed answer."""
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(BODY, headers={"Content-Encoding": "gzip"})
    assert fetched(PIP_INDEX_URL=f"{upstream.url}/simple") == BODY
    assert all(headers["accept-encoding"] == "identity" for _, headers in upstream.requests)


@pytest.mark.parametrize(
    ("change", "limits", "complaint"),
    [
        ({"silence": 60.0}, IMPATIENT, "does not answer in time"),
        ({"pause": 0.05}, Limits(grace=0.2, slowest=1e9), "is too slow"),
    ],
)
def test_a_slow_server_is_given_up(
    fetched: Callable[..., bytes],
    upstream: Upstream,
    forge: Forge,
    change: dict[str, Any],
    limits: Limits,
    complaint: str,
) -> None:
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(BODY, **change)
    with pytest.raises(SetupError, match=complaint):
        fetched(limits=limits, PIP_INDEX_URL=f"{upstream.url}/simple")


def test_a_slow_index_is_given_up(fetched: Callable[..., bytes], upstream: Upstream, forge: Forge) -> None:
    upstream.answers["/simple/widget/"] = forge.Answer(b"<html>" + b" " * 10_000, pause=0.05)
    with pytest.raises(SetupError, match="does not answer in time"):
        fetched(limits=IMPATIENT, PIP_INDEX_URL=f"{upstream.url}/simple")


@pytest.mark.parametrize(
    ("page", "kind", "complaint"),
    [
        (b"<html>nothing</html>", "text/html", "does not have it"),
        (b"{}", "application/vnd.pypi.simple.v1+json", "does not answer as it should"),
        (b'{"meta": {"api-version": "9.0"}}', "application/vnd.pypi.simple.v1+json", "does not answer as it should"),
        (b"\xff\xfe[", "application/vnd.pypi.simple.v1+json", "does not answer as it should"),
        (b"a picture", "image/png", "does not answer as it should"),
    ],
)
def test_a_page_that_is_no_index_is_refused(
    fetched: Callable[..., bytes], upstream: Upstream, forge: Forge, page: bytes, kind: str, complaint: str
) -> None:
    upstream.answers["/simple/widget/"] = forge.Answer(page, headers={"Content-Type": kind})
    with pytest.raises(SetupError, match=complaint):
        fetched(PIP_INDEX_URL=f"{upstream.url}/simple")


def test_another_file_of_the_same_name_is_not_even_fetched(fetched: Callable[..., bytes], upstream: Upstream) -> None:
    upstream.package("widget", {"widget-1.0.tar.gz": BODY}, sha256="0" * 64)
    with pytest.raises(SetupError, match="has another file of that name"):
        fetched(PIP_INDEX_URL=f"{upstream.url}/simple")
    assert upstream.paths() == ["/simple/widget/"]


def test_no_index_is_said(fetched: Callable[..., bytes]) -> None:
    with pytest.raises(SetupError, match="configured to use no index"):
        fetched(PIP_NO_INDEX="1")


def test_a_folder_as_index_is_left_out_and_said(
    fetched: Callable[..., bytes], upstream: Upstream, closed_port: int
) -> None:
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    folder = "file:///srv/packages/simple"
    assert fetched(PIP_INDEX_URL=folder, PIP_EXTRA_INDEX_URL=f"{upstream.url}/simple") == BODY
    with pytest.raises(SetupError, match="file:///srv/packages/simple is not reached by HTTP"):
        fetched(PIP_INDEX_URL=f"http://127.0.0.1:{closed_port}/", PIP_EXTRA_INDEX_URL=folder)


def test_credentials_go_to_the_index_and_nowhere_else(
    fetched: Callable[..., bytes], upstream: Upstream, forge: Forge
) -> None:
    """The file lies on another host, and a redirect leads there too."""
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    elsewhere = f"http://localhost:{upstream.port}/elsewhere"
    upstream.answers["/files/widget-1.0.tar.gz"] = forge.Answer(status=302, headers={"Location": elsewhere})
    upstream.answers["/elsewhere"] = forge.Answer(BODY)
    assert fetched(PIP_INDEX_URL=f"http://user:p%40ss@127.0.0.1:{upstream.port}/simple") == BODY
    secret = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert [(path, headers.get("authorization")) for path, headers in upstream.requests] == [
        ("/simple/widget/", secret),
        ("/files/widget-1.0.tar.gz", secret),
        ("/elsewhere", None),
    ]


def test_netrc_is_used(
    fetched: Callable[..., bytes], upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    assert fetched(PIP_INDEX_URL=f"{upstream.url}/simple") == BODY
    assert {headers["authorization"] for _, headers in upstream.requests} == {
        "Basic " + base64.b64encode(b"ann:secret").decode()
    }


@pytest.mark.parametrize("status", [401, 404, 500])
def test_no_error_shows_credentials(
    fetched: Callable[..., bytes],
    upstream: Upstream,
    forge: Forge,
    closed_port: int,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream.answers["/simple/widget/"] = forge.Answer(status=status)
    urls = (
        f"http://user:hunter2@127.0.0.1:{upstream.port}/simple",
        f"http://user:hunter2@127.0.0.1:{closed_port}/simple",
        "http://user:hunter2@example.com/simple",
        "file://user:hunter2@host/simple",
        "https://user:hunter2@example.com:port/simple",
    )
    caplog.set_level("DEBUG")
    with pytest.raises(SetupError) as caught:
        fetched(PIP_INDEX_URL=urls[0], PIP_EXTRA_INDEX_URL=" ".join(urls[1:]), PIP_TIMEOUT="2")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(load_index_config({"PIP_INDEX_URL": urls[0], "PIP_PROXY": urls[0]}, []))


def test_the_proxy_of_pip_is_used(fetched: Callable[..., bytes], upstream: Upstream) -> None:
    """The test's server stands in for a proxy: it is asked for whole addresses."""
    upstream.package("widget", {"widget-1.0.tar.gz": BODY})
    host = "http://127.0.0.1:9"
    for path in list(upstream.answers):
        upstream.answers[host + path] = upstream.answers.pop(path)
    assert fetched(PIP_INDEX_URL=f"{host}/simple", PIP_PROXY=upstream.url) == BODY
    assert upstream.paths() == [f"{host}/simple/widget/", f"{host}/files/widget-1.0.tar.gz"]


def test_the_second_address_is_tried(upstream: Upstream, forge: Forge, file: ModelFile) -> None:
    upstream.answers["/good"] = forge.Answer(BODY)
    upstream.answers["/wrong"] = forge.Answer(b"x" * len(BODY))
    assert from_urls(file, forge, f"{upstream.url}/wrong", f"{upstream.url}/good") == BODY


def test_redirects_are_followed(upstream: Upstream, forge: Forge, file: ModelFile) -> None:
    upstream.answers["/moved"] = forge.Answer(status=301, headers={"Location": "/good"})
    upstream.answers["/good"] = forge.Answer(BODY)
    assert from_urls(file, forge, f"{upstream.url}/moved") == BODY


def test_a_silent_host_is_asked_once(upstream: Upstream, forge: Forge, file: ModelFile) -> None:
    upstream.answers["/silent"] = forge.Answer(BODY, silence=60.0)
    upstream.answers["/good"] = forge.Answer(BODY)
    with pytest.raises(SetupError, match=r"does not answer in time\. 127\.0\.0\.1 did not answer a moment ago"):
        from_urls(file, forge, f"{upstream.url}/silent", f"{upstream.url}/good", limits=IMPATIENT)
    assert upstream.paths() == ["/silent"]


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server with a certificate that only its own file vouches for: the port and that file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # refused handshakes are what is tested
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key_pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port, pem
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("variable", ["PIP_CERT", "SSL_CERT_FILE"])
def test_a_certificate_is_trusted_if_pip_or_uv_trusts_it(
    encrypted: tuple[int, Path], file: ModelFile, forge: Forge, variable: str
) -> None:
    port, pem = encrypted
    source = UrlSource(kind="url", urls=(f"https://127.0.0.1:{port}/net.onnx",))
    with pytest.raises(SetupError, match="shows a certificate that is not trusted"):
        Fetcher(load_index_config({}, [])).file(source, file, io.BytesIO(), forge.Counter())
    target = io.BytesIO()
    Fetcher(load_index_config({variable: str(pem)}, [])).file(source, file, target, forge.Counter())
    assert target.getvalue() == BODY


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("with_port", [True, False])
def test_a_trusted_host_needs_no_certificate(
    encrypted: tuple[int, Path], file: ModelFile, forge: Forge, with_port: bool
) -> None:
    port, _ = encrypted
    host = f"127.0.0.1:{port}" if with_port else "127.0.0.1"
    source = UrlSource(kind="url", urls=(f"https://127.0.0.1:{port}/net.onnx",))
    target = io.BytesIO()
    Fetcher(load_index_config({"PIP_TRUSTED_HOST": host}, [])).file(source, file, target, forge.Counter())
    assert target.getvalue() == BODY
