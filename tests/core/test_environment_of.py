"""Passing settings on to another process."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from recognizance.core.settings import Settings, environment_of

_SHOW = """
from recognizance.core.settings import load_settings
settings = load_settings()
print(settings.model_dump_json(), settings.s3_secret_access_key.get_secret_value(), sep="\\n")
"""


def test_another_process_runs_under_the_very_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings without a value stay so, whatever this process's environment says."""
    settings = Settings(
        data=tmp_path,
        contract="core",
        accepted_terms=("one", "two words"),
        threads=3,
        body_timeout_seconds=1.5,
        s3_secret_access_key=SecretStr("a secret"),
    )
    monkeypatch.setenv("RECOGNIZANCE_DATABASE_URL", "sqlite:////somewhere/else.db")
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW], env=environment_of(settings), check=True, capture_output=True, text=True
    )
    assert shown.stdout.splitlines() == [settings.model_dump_json(), "a secret"]


def test_the_rest_of_the_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRELATED", "kept")
    monkeypatch.setenv("RECOGNIZANCE_NO_SUCH_SETTING", "dropped")
    environment = environment_of(Settings())
    assert environment["UNRELATED"] == "kept"
    assert "RECOGNIZANCE_NO_SUCH_SETTING" not in environment
