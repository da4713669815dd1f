"""``recognizance serve`` in a process of its own, for commands that need a real server to talk to."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from recognizance.core.errors import SetupError
from recognizance.core.settings import environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recognizance.core.settings import Settings

_STOP_SECONDS = 40


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server at work.

    Attributes:
        endpoint: Its URL.
        region: What its clients sign for.
        access_key_id: The administrator's key that it made; empty where it found one made.
        secret_access_key: The key's secret.
    """

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    def client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients' classes at run time
        """Return boto3's client of this server, which takes no way around over a proxy."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "rekognition",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )


@contextmanager
def running_server(settings: Settings) -> Iterator[RunningServer]:
    """Serve under these settings from another process, on a free port of this machine, until the end of the block.

    Raises:
        SetupError: The server does not start; the message has the reason that it gave.
    """
    local = settings.model_copy(update={"host": "127.0.0.1", "port": 0})
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "recognizance", "serve", "--json"],
            env=environment_of(local),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            document = _first_document(process.stdout)
            if document is None:
                said.seek(0)
                raise SetupError(f"The server did not start:\n{said.read().strip()}")
            key = (document.get("AccessKeyId", ""), document.get("SecretAccessKey", ""))
            yield RunningServer(document["Endpoint"], settings.region, *key)
        finally:
            _stop(process)


def _first_document(lines: IO[str] | None) -> dict[str, str] | None:
    text = ""
    for line in lines or ():
        text += line
        if line.startswith("}"):
            document: dict[str, str] = json.loads(text)
            return document
    return None


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
