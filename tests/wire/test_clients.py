"""AWS's own clients, by nothing but an endpoint: boto3, the command line and the JavaScript SDK."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from recognizance.core.errors import ThroughputExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AWS = Path(sys.executable).with_name("aws")
CREATED = datetime(2026, 11, 22, 7, 30, 15, 123000, UTC)


def environment(server: Any, home: Path) -> dict[str, str]:
    """Return a clean environment that says where the server is and who asks."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_REKOGNITION": server.url,
        "AWS_PAGER": "",
    }


def at_its_limit_twice() -> Callable[[Any], Any]:
    """Return an operation that is refused twice and then performed."""
    refusals = [ThroughputExceededError(), ThroughputExceededError()]

    def answer(_: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return {"Users": []}

    return answer


def test_boto3_creates_lists_describes_and_deletes(server: Any) -> None:
    client = server.boto()
    created = client.create_collection(CollectionId="from-boto3", Tags={"team": "gate"})
    assert created["CollectionArn"].endswith(":collection/from-boto3")
    assert uuid.UUID(created["ResponseMetadata"]["RequestId"]).version == 4
    assert "from-boto3" in client.list_collections()["CollectionIds"]
    assert client.describe_collection(CollectionId="from-boto3")["CreationTimestamp"] == CREATED
    assert client.delete_collection(CollectionId="from-boto3")["StatusCode"] == 200


def test_boto3_uploads_a_picture(server: Any) -> None:
    found = server.boto().detect_faces(Image={"Bytes": b"\xff" * 300_000})
    assert found["FaceDetails"][0]["BoundingBox"]["Height"] == 300_000


def test_boto3_raises_the_modelled_exception(server: Any) -> None:
    client = server.boto()
    with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
        client.describe_collection(CollectionId="nobody")
    assert caught.value.response["Error"]["Message"] == "The collection id: nobody does not exist"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_boto3_raises_a_client_error_for_what_the_model_does_not_name(server: Any) -> None:
    with pytest.raises(ClientError) as caught:
        server.boto().describe_projects(MaxResults=101)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_boto3_tries_again_when_the_server_is_at_its_limit(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | dict[str, Any]] = [ThroughputExceededError(), RuntimeError("once"), {"Users": []}]

    def answer(_: Any) -> Any:
        result = answers.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setitem(server.backend.handlers, "ListUsers", answer)
    assert server.boto(config=None).list_users(CollectionId="c")["Users"] == []
    assert answers == []


def test_boto3_without_any_option_checks_what_it_knows(server: Any) -> None:
    with pytest.raises(ParamValidationError):
        server.boto(config=None).create_collection()


def test_boto3_pages_until_there_is_no_token(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {None: {"CollectionIds": ["a", "b"], "NextToken": "2"}, "2": {"CollectionIds": ["c"], "NextToken": None}}
    monkeypatch.setitem(server.backend.handlers, "ListCollections", lambda request: pages[request.get("NextToken")])
    paginator = server.boto().get_paginator("list_collections")
    assert paginator.paginate().build_full_result()["CollectionIds"] == ["a", "b", "c"]


@pytest.fixture
def aws(server: Any, tmp_path: Path) -> Any:
    """Run the AWS command line and return what it printed, decoded; or, if it must fail, its error."""

    def run(*arguments: str, fails: bool = False) -> Any:
        done = subprocess.run(
            [AWS, "rekognition", *arguments, "--output", "json"],
            env=environment(server, tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    if not AWS.is_file():
        pytest.skip("the AWS command line is not installed")
    return run


def test_the_command_line_creates_lists_describes_and_deletes(aws: Any) -> None:
    assert aws("create-collection", "--collection-id", "from-cli", "--tags", "team=gate")["StatusCode"] == 200
    assert "from-cli" in aws("list-collections", "--max-results", "10")["CollectionIds"]
    assert aws("describe-collection", "--collection-id", "from-cli")["CreationTimestamp"] == CREATED.timestamp()
    assert aws("delete-collection", "--collection-id", "from-cli") == {"StatusCode": 200}


def test_the_command_line_uploads_a_picture(aws: Any, tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"\xff" * 100_000)
    found = aws("detect-faces", "--image-bytes", f"fileb://{picture}")
    assert found["FaceDetails"][0]["BoundingBox"]["Height"] == 100_000


def test_the_command_line_tries_again_when_the_server_is_at_its_limit(
    aws: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server.backend.handlers, "ListUsers", at_its_limit_twice())
    assert aws("list-users", "--collection-id", "c") == {"Users": []}


def test_the_command_line_shows_the_error(aws: Any) -> None:
    error = aws("describe-collection", "--collection-id", "nobody", fails=True)
    assert "(ResourceNotFoundException) when calling the DescribeCollection operation" in error
    assert "The collection id: nobody does not exist" in error


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JavaScript SDK and the program that uses it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    command = [npm, "install", "--no-audit", "--no-fund", "--silent", "@aws-sdk/client-rekognition@3"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the JavaScript SDK could not be fetched in time")
    if done.returncode:
        pytest.skip(f"the JavaScript SDK could not be fetched: {done.stderr[-300:]}")
    shutil.copy(Path(__file__).with_name("client.mjs"), folder)
    return folder


@pytest.mark.network
def test_the_javascript_sdk_works_by_endpoint_alone(
    server: Any, javascript: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server.backend.handlers, "ListUsers", at_its_limit_twice())
    done = subprocess.run(
        ["node", "client.mjs"],
        cwd=javascript,
        env=environment(server, javascript),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["arn"].endswith(":collection/from-javascript")
    assert uuid.UUID(seen["requestId"]).version == 4
    assert seen["listed"] is True
    assert seen["createdAt"] == "2026-11-22T07:30:15.123Z"
    assert seen["attempts"] == 3
    assert (seen["box"]["Width"], seen["box"]["Height"]) == (255, 100_000)
    assert uuid.UUID(seen["failed"].pop("requestId")).version == 4
    assert seen["failed"] == {
        "name": "ResourceNotFoundException",
        "message": "The collection id: from-javascript does not exist",
        "isClass": "ResourceNotFoundException",
        "status": 400,
    }
