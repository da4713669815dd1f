from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import orjson
import pytest
import structlog

from recognizance.core.log import configure
from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put back what the set-up changes for the whole process."""
    root = logging.getLogger()
    handlers, level, processors = root.handlers, root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**processors)


def fail(secret: str) -> None:
    """Fail with a secret among the local variables."""
    raise RuntimeError("the cause" if secret else "no cause")


def write(form: Literal["text", "json"], level: Literal["info", "warning"] = "info") -> None:
    """Set logging up and write one line of ours, one of a library, and one with a traceback."""
    configure(Settings(log_format=form, log_level=level))
    structlog.get_logger("recognizance.test").info("indexed", faces=3)
    logging.getLogger("uvicorn.error").info("Started %s", "server")
    logging.getLogger("botocore.auth").info("a line with a Signature=")
    try:
        fail("wJalrXUtnFEMI".lower())
    except RuntimeError:
        structlog.get_logger("recognizance.test").exception("failed")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write("json")
    ours, theirs, failure = map(orjson.loads, capsys.readouterr().err.splitlines())
    assert ours.keys() == {"event", "level", "logger", "timestamp", "faces"}
    assert (ours["event"], ours["level"], ours["logger"], ours["faces"]) == ("indexed", "info", "recognizance.test", 3)
    assert (theirs["event"], theirs["logger"]) == ("Started server", "uvicorn.error")
    assert failure["level"] == "error"
    assert "RuntimeError: the cause" in failure["exception"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    write("text")
    text = capsys.readouterr().err
    assert "indexed" in text
    assert "faces=3" in text
    assert "RuntimeError: the cause" in text


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_libraries_nor_tracebacks_give_secrets_away(
    capsys: pytest.CaptureFixture[str], form: Literal["text", "json"]
) -> None:
    write(form)
    text = capsys.readouterr().err
    assert "Signature=" not in text
    assert "wjalrxutnfemi" not in text


def test_the_level_is_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    write("json", "warning")
    (failure,) = map(orjson.loads, capsys.readouterr().err.splitlines())
    assert failure["event"] == "failed"


def test_setting_up_twice_does_not_write_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings())
    write("json")
    assert len(capsys.readouterr().err.splitlines()) == 3
