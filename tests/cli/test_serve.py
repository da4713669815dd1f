"""``recognizance serve``, as a program that boto3 talks to."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli, Program

pytestmark = pytest.mark.usefixtures("portraits", "either_database")


def _document(stream: IO[str] | None) -> dict[str, Any]:
    text = ""
    for line in stream or ():
        text += line
        if line.startswith("}"):
            break
    document: dict[str, Any] = json.loads(text)
    return document


@contextmanager
def serving(program: Program, data: Path, *options: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """Serve on a free port; the server is told to stop at the end and must do so without a fault."""
    with program.start("serve", "--data", data, "--port", "0", "--json", *options) as process:
        try:
            yield _document(process.stdout), process
            process.send_signal(signal.SIGTERM)
            rest, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert rest == "", "standard output holds one document"
    assert "Traceback" not in said


def client(endpoint: str, access_key_id: str, secret_access_key: str) -> Any:
    """Return boto3's client of a server."""
    return boto3.client(
        "rekognition",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def test_the_first_start_makes_a_key_that_works_and_the_second_does_not(
    program: Program, cli: Cli, portraits: Path
) -> None:
    with serving(program, cli.data) as (started, _):
        first = client(started["Endpoint"], started["AccessKeyId"], started["SecretAccessKey"])
        first.create_collection(CollectionId="people")
        first.index_faces(CollectionId="people", Image={"Bytes": (portraits / "obama.jpg").read_bytes()})
    with serving(program, cli.data) as (again, _):
        assert "AccessKeyId" not in again
        second = client(again["Endpoint"], started["AccessKeyId"], started["SecretAccessKey"])
        assert second.describe_collection(CollectionId="people")["FaceCount"] == 1
    assert len(cli.json("keys", "list")) == 1


def test_keys_made_and_disabled_beside_a_running_server_count_at_once(program: Program, cli: Cli) -> None:
    with serving(program, cli.data) as (started, _):
        made = cli.json("keys", "create", "--role", "reader")
        reader = client(started["Endpoint"], made["AccessKeyId"], made["SecretAccessKey"])
        assert reader.list_collections()["CollectionIds"] == []
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.create_collection(CollectionId="people")


@pytest.mark.sqlite
def test_the_first_start_shows_people_how_to_go_on(program: Program, cli: Cli) -> None:
    with program.start("serve", "--data", cli.data, "--port", "0") as process:
        try:
            said = ""
            for line in process.stderr or ():
                said += line
                if "Serving the Rekognition API at" in line:
                    break
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert rest == ""
    endpoint = said.rpartition("Serving the Rekognition API at ")[2].split()[0].rstrip(".")
    (key,) = cli.json("keys", "list")
    for line in (
        f"export AWS_ENDPOINT_URL_REKOGNITION={endpoint}",
        "export AWS_DEFAULT_REGION=us-east-1",
        f"export AWS_ACCESS_KEY_ID={key['AccessKeyId']}",
        "export AWS_SECRET_ACCESS_KEY=",
    ):
        assert line in said


@pytest.mark.sqlite
def test_a_port_that_is_taken_is_named_and_no_key_is_lost(program: Program, cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = program("serve", "--data", cli.data, "--port", port)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert cli.json("keys", "list") == []


def test_without_models_the_server_does_not_start_and_names_the_cure(cli: Cli, tmp_path: Path) -> None:
    assert "recognizance models pull" in cli.refused("serve", "--models", tmp_path / "none")
