"""``recognizance doctor``: what it finds wrong, and what it says to do."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("portraits")


@pytest.fixture
def port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def checks(cli: Cli, *arguments: str | Path, code: int = 0) -> dict[str, dict[str, Any]]:
    """Return what the doctor found, by the name of the check."""
    found = cli.json("doctor", *arguments, code=code)
    assert found["ok"] == (code == 0)
    return {check["name"]: check for check in found["checks"]}


def test_a_machine_with_models_is_fit_and_nothing_is_made_on_it(cli: Cli, port: str) -> None:
    found = checks(cli, "--port", port)
    states = {name: check["state"] for name, check in found.items()}
    assert {name for name, state in states.items() if state != "ok"} <= {"clock", "contract standard", "memory", "disk"}
    assert found["contract core"]["detail"].startswith("version 1.")
    assert "core" in found["new collections"]["detail"]
    assert not cli.data.exists()


def test_a_data_folder_in_use_is_fit(cli: Cli, port: str) -> None:
    cli("keys", "create", "--role", "administrator")
    found = checks(cli, "--port", port)
    assert "schema current" in found["database"]["detail"]
    assert found["key file"]["state"] == "ok"
    shown = cli("doctor", "--port", port).stdout
    for name in found:
        assert name in shown


def test_without_models_the_cure_is_named(cli: Cli, port: str, tmp_path: Path) -> None:
    found = checks(cli, "--port", port, "--models", tmp_path / "none", code=1)
    assert found["contract core"]["cure"] == "recognizance models pull --contract core"
    assert found["new collections"]["state"] == "fail"
    assert "recognizance models pull" in found["new collections"]["cure"]


def test_a_damaged_model_is_found(cli: Cli, port: str, tmp_path: Path) -> None:
    models = tmp_path / "models"
    installed = ModelStore(Settings()).path("centerface").parent
    shutil.copytree(installed.parent, models, ignore=shutil.ignore_patterns("demo_pictures"))
    (file,) = (models / "centerface").glob("centerface.onnx")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    found = checks(cli, "--port", port, "--models", models, code=1)
    assert found["contract core"]["state"] == "fail"
    assert "models pull centerface" in found["contract core"]["cure"]


def test_a_key_file_that_others_may_read_is_found(cli: Cli, port: str) -> None:
    cli("keys", "create", "--role", "administrator")
    (cli.data / "secret.key").chmod(0o644)
    assert "chmod 600" in checks(cli, "--port", port, code=1)["key file"]["cure"]


def test_a_database_of_a_newer_version_is_found(cli: Cli, port: str) -> None:
    cli("keys", "create", "--role", "administrator")
    with closing(sqlite3.connect(cli.data / "recognizance.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer version" in checks(cli, "--port", port, code=1)["database"]["detail"]


def test_a_file_that_is_no_database_is_found(cli: Cli, port: str) -> None:
    cli.data.mkdir()
    (cli.data / "recognizance.db").write_bytes(b"no database" * 1000)
    assert checks(cli, "--port", port, code=1)["database"]["state"] == "fail"


def test_a_data_folder_that_is_a_file_is_found(cli: Cli, port: str) -> None:
    cli.data.write_text("")
    assert checks(cli, "--port", port, code=1)["data folder"]["state"] == "fail"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_that_may_not_be_written_to_is_found(cli: Cli, port: str) -> None:
    cli.data.mkdir(mode=0o500)
    assert checks(cli, "--port", port, code=1)["data folder"]["state"] == "fail"


def test_a_database_url_that_is_none_is_found(cli: Cli, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_DATABASE_URL", "nothing")
    assert checks(cli, "--port", port, code=1)["database"]["state"] == "fail"


def test_a_port_that_another_program_has_is_found(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(1)
        port = str(taken.getsockname()[1])
        assert port in checks(cli, "--port", port, code=1)["port"]["detail"]


@pytest.fixture
def healthy_server() -> Iterator[str]:
    """The port of a server that answers for its health as ours do."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"status": "ok"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield str(server.server_port)
        server.shutdown()
        thread.join()


def test_a_server_of_ours_that_is_running_is_no_fault(cli: Cli, healthy_server: str) -> None:
    assert "a server is running" in checks(cli, "--port", healthy_server)["port"]["detail"]


def test_a_slip_of_the_pen_in_the_environment_is_found(cli: Cli, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_PROT", "1")
    assert "RECOGNIZANCE_PROT" in checks(cli, "--port", port)["environment"]["detail"]


def test_a_back_end_that_is_not_installed_is_found(cli: Cli, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_RUNTIME", "onnxruntime")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "onnxruntime" in checks(cli, "--port", port, code=1)["back end"]["cure"]
