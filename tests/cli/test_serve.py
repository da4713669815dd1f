"""``recognizance serve``, as a program that boto3 talks to."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
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


def ask_for_a_minute(rekognition: Any) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        rekognition.list_collections()


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


@pytest.mark.postgresql
@pytest.mark.timeout(600)  # processes take seconds to start where the machine is busy
def test_two_servers_on_one_database_are_one_service(
    program: Program, cli: Cli, portraits: Path, tmp_path: Path
) -> None:
    """Each has a data folder of its own, with the same key file; what one acknowledges counts at the other at once."""
    made = cli.json("keys", "create", "--role", "administrator")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    for name in ("secret.key", "recognizance.toml"):
        shutil.copy(cli.data / name, other / name)
    with serving(program, cli.data) as (first, _), serving(program, other) as (second, _):
        one, two = (
            client(started["Endpoint"], made["AccessKeyId"], made["SecretAccessKey"]) for started in (first, second)
        )
        one.create_collection(CollectionId="people")
        picture = {"Bytes": (portraits / "obama.jpg").read_bytes()}
        for writer, reader in ((one, two), (two, one)):
            assert reader.search_faces_by_image(CollectionId="people", Image=picture)["FaceMatches"] == []
            answer = writer.index_faces(CollectionId="people", Image=picture, MaxFaces=1)
            face_id = answer["FaceRecords"][0]["Face"]["FaceId"]
            (match,) = reader.search_faces_by_image(CollectionId="people", Image=picture)["FaceMatches"]
            assert match["Face"]["FaceId"] == face_id
            reader.delete_faces(CollectionId="people", FaceIds=[face_id])
            assert writer.search_faces_by_image(CollectionId="people", Image=picture)["FaceMatches"] == []
        cli("keys", "disable", made["AccessKeyId"])
        for node in (one, two):
            with pytest.raises(ClientError, match="UnrecognizedClientException"):
                ask_for_a_minute(node)
