"""The models command, as people and programs use it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from recognizance.cli.models import app
from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

BODY = b"a network" * 1000
CORE = ("centerface", "dlib_face_recognition_resnet_v1")


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no settings of this machine reach the tests, and no package index answer."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "RECOGNIZANCE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def run(tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run ``models`` where the operator's model ``net`` lies in a mirror, and ``gone`` nowhere."""
    (tmp_path / "data").mkdir()
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "net.onnx").write_bytes(BODY)
    monkeypatch.setenv("RECOGNIZANCE_MODEL_MIRROR", str(tmp_path / "mirror"))
    manifest = {
        "task": "testing",
        "licence": "MIT",
        "data_terms": "nothing",
        "upstream": "https://example.com",
        "source": f'{{kind = "url", urls = ["http://127.0.0.1:{closed_port}/x"]}}',
    }
    for name in ("net", "gone"):
        with (tmp_path / "data" / "models.toml").open("a") as file:
            file.write(f"[{name}]\n")
            for key, value in manifest.items():
                file.write(f"{key} = {value if key == 'source' else json.dumps(value)}\n")
            sha = hashlib.sha256(BODY).hexdigest()
            file.write(f'files = [{{name = "{name}.onnx", sha256 = "{sha}", size = {len(BODY)}}}]\n')

    def invoke(*arguments: str) -> Result:
        folders = ["--data", str(tmp_path / "data"), "--models", str(tmp_path / "models")]
        return CliRunner().invoke(app, [*arguments, *folders])

    return invoke


def answer(result: Result, code: int = 0) -> Any:
    """Return the JSON that a command printed."""
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_list_tells_what_there_is_and_what_is_installed(run: Callable[..., Result]) -> None:
    run("pull", "net")
    rows = {row["name"]: row for row in answer(run("list", "--json"))}
    assert rows.keys() >= {*CORE, "yunet", "mobilefacenet", "demo_pictures", "net", "gone"}
    assert rows["net"]["installed"] is True
    assert rows["gone"]["installed"] is False
    assert "core" in rows["centerface"]["contracts"]
    assert rows["centerface"]["licence"] == "MIT"
    text = run("list")
    assert text.exit_code == 0
    assert all(name in text.stdout for name in rows)


def test_pull_installs_by_name(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("pull", "net")
    assert result.exit_code == 0, result.output
    assert "installed now" in result.stdout
    assert (tmp_path / "models" / "net" / "net.onnx").read_bytes() == BODY
    again = answer(run("pull", "net", "--json"))
    assert again["models"] == [{"name": "net", "state": "installed", "fetched": False, "detail": ""}]


def test_pull_by_name_fails_if_one_cannot_be_had(run: Callable[..., Result]) -> None:
    said = answer(run("pull", "net", "gone", "--json"), code=1)
    assert [model["state"] for model in said["models"]] == ["installed", "missing"]
    assert "127.0.0.1 cannot be reached" in said["models"][1]["detail"]
    text = run("pull", "gone")
    assert text.exit_code == 1
    assert "127.0.0.1 cannot be reached" in text.stdout


def test_pull_of_a_contract_fails_if_it_is_not_complete(run: Callable[..., Result]) -> None:
    said = answer(run("pull", "--contract", "core", "--json"), code=1)
    assert [model["name"] for model in said["models"]][:2] == list(CORE)
    assert said["contract_in_use"] is None
    assert set(CORE) <= set(said["missing"]["core"])
    text = run("pull", "--contract", "core")
    assert text.exit_code == 1
    assert "Contract core is not available: it lacks centerface" in text.stdout
    assert "faces cannot be analysed" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["pull", "nett"], "There is no model 'nett'"),
        (["verify", "nett"], "There is no model 'nett'"),
        (["show", "nett"], "There is no model 'nett'"),
        (["pull", "--contract", "royal"], "There is no model contract 'royal'"),
        (["pull", "net", "--contract", "core"], "not both"),
    ],
)
def test_errors_are_one_plain_line_on_standard_error(
    run: Callable[..., Result], arguments: list[str], complaint: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_settings_are_a_plain_error_too(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNIZANCE_PORT", "many")
    result = run("list")
    assert result.exit_code == 1
    assert "port" in result.stderr


def test_verify_finds_a_changed_file(run: Callable[..., Result], tmp_path: Path) -> None:
    run("pull", "net")
    assert answer(run("verify", "net", "--json"))[0]["state"] == "installed"
    assert run("verify").exit_code == 0
    (tmp_path / "models" / "net" / "net.onnx").write_bytes(b"A" + BODY[1:])
    states = {model["name"]: model["state"] for model in answer(run("verify", "--json"), code=1)}
    assert states["net"] == "damaged"
    assert states["gone"] == "missing"
    text = run("verify", "net")
    assert text.exit_code == 1
    assert "recognizance models pull net" in " ".join(text.stdout.split())


def test_verify_of_a_named_model_fails_if_it_is_not_there(run: Callable[..., Result]) -> None:
    assert answer(run("verify", "gone", "--json"), code=1)[0]["state"] == "missing"
    assert run("verify").exit_code == 0


def test_show_tells_all_that_is_known(run: Callable[..., Result], tmp_path: Path) -> None:
    run("pull", "net")
    shown = answer(run("show", "net", "--json"))
    assert shown["paths"] == [str(tmp_path / "models" / "net" / "net.onnx")]
    assert shown["source"]["kind"] == "url"
    assert shown["files"][0]["sha256"] == hashlib.sha256(BODY).hexdigest()
    dlib = answer(run("show", "dlib_face_recognition_resnet_v1", "--json"))
    assert (dlib["licence"], dlib["conversion"], dlib["paths"]) == ("CC0-1.0", "dlib", [])
    text = run("show", "net").stdout
    assert "example.com" in text
    assert hashlib.sha256(BODY).hexdigest() in text


@pytest.mark.network
def test_pull_without_names_works_with_the_core_alone(tmp_path: Path, closed_port: int) -> None:
    """Where upstream cannot be reached, pull says so, says which contract is then in use, and does not fail."""
    fetch = f"""
from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore
raise SystemExit("; ".join(outcome.detail for outcome in ModelStore(Settings()).pull({CORE!r})).strip("; ") or None)
"""
    subprocess.run([sys.executable, "-c", fetch], check=True, timeout=600, env=ENVIRONMENT)
    store = ModelStore(Settings())
    for name in CORE:
        published = store.path(name).parent / store.manifest(name).files[0].name
        shutil.copy(published, tmp_path)
    proxy = f"http://127.0.0.1:{closed_port}"
    cut_off = {"HTTPS_PROXY": proxy, "PIP_NO_INDEX": "1", "RECOGNIZANCE_MODEL_MIRROR": str(tmp_path)}
    folders = ["--data", str(tmp_path), "--models", str(tmp_path / "models")]
    result = subprocess.run(
        [sys.executable, "-c", "from recognizance.cli.models import app; app()", "pull", "--json", *folders],
        env=os.environ
        | cut_off
        | {"RECOGNIZANCE_MODELS": str(tmp_path / "models"), "RECOGNIZANCE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["contract_in_use"] == "core"
    assert said["missing"] == {"standard": ["yunet", "mobilefacenet"], "core": []}
    details = {model["name"]: model["detail"] for model in said["models"]}
    assert "is behind a proxy that does not answer" in details["yunet"]


ENVIRONMENT = dict(os.environ)
"""The environment before fixtures take away what this machine says about pip."""
