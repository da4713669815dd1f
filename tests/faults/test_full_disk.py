"""A disk that is full, a real one of few megabytes: what cannot be written is told, nothing is half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.conftest import Child, Starter

# Processes take seconds to start where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.sqlite]

_DISK = 'mount -t tmpfs -o size="$0",mode=700 tmpfs "$1" && shift && exec "$@"'


def on_disk(folder: Path, size: str) -> list[str]:
    """Return the beginning of a command that sees a small disk of its own in the place of a folder.

    The disk is in a namespace of that process and goes with it; nobody needs to be root.
    """
    folder.mkdir(parents=True)
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _DISK, size, str(folder)]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"this system lets nobody mount a small disk: {error}")
    return command


def ready(child: Child) -> Child:
    assert child.hear() == "ready"
    return child


def test_segments_that_cannot_be_written_are_searched_in_memory(start: Starter, data: Path) -> None:
    cache = data / "cache"
    child = ready(start("few", within=on_disk(cache, "512k")))
    child.do("make")
    child.do("grow", 0, 6)
    child.do("fill_disk", str(cache))
    assert child.do("check") == []
    assert child.do("until", {"tail": 0})["segments"]
    child.do("grow", 1000, 6)
    child.do("delete", *child.do("faces")[:7])
    assert child.do("check") == []
    state = child.do("until", {"tail": 0})
    assert state["in memory"] == state["segments"] > 0
    said = child.do("said")
    assert len(said) == 1, "once"
    assert "the cache cannot be written" in said[0]
    assert child.do("attempt", "compact").startswith("SetupError: The cache")
    child.do("free_disk", str(cache))
    state = child.do("until", {"in memory": 0, "left over": 0})
    assert (state["in memory"], state["left over"]) == (0, 0)
    assert state["segments"]
    assert child.do("check") == []
    # And again with files there.
    child.do("fill_disk", str(cache))
    child.do("grow", 2000, 6)
    child.do("delete", *child.do("faces")[:7])
    assert child.do("check") == []
    child.do("free_disk", str(cache))
    child.do("until", {"in memory": 0, "left over": 0, "tail": 0})
    child.do("reopen")
    assert child.do("check") == []
    assert child.do("state")["segments"]
    assert not [line for line in child.do("said") if "built anew" in line]


def test_a_write_that_the_database_has_no_room_for_fails_as_a_whole(start: Starter, data: Path) -> None:
    child = ready(start("few", within=on_disk(data, "4m")))
    child.do("make")
    child.do("grow", 0, 4)
    child.do("user", "u", *child.do("faces")[:2])
    assert child.do("check") == []
    before = child.do("faces")
    child.do("fill_disk", str(data))
    for number in range(1, 4):
        assert "full" in child.do("attempt", "grow", 1000 * number, 10, 20)
        stored = child.do("faces")
        assert len(stored) % 10 in {0, 4 * 10 % 10}, "whole pictures"
        assert child.do("check") == []
        assert child.do("sound") == []
    assert child.do("faces") == before
    child.do("free_disk", str(data))
    assert len(child.do("grow", 1000, 10, 20)) == 200
    assert child.do("check") == []
    assert child.do("sound") == []


# The whole server


@contextmanager
def served(data: Path, size: str) -> Iterator[tuple[Any, Path]]:
    """A server whose data folder is on a small disk; give its client, and the folder as it is seen from here."""
    command = [*on_disk(data, size), sys.executable, "-m", "recognizance", "serve", "--port", "0", "--json"]
    process = subprocess.Popen([*command, "--data", str(data)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        started = json.loads(text)
        client = boto3.client(
            "rekognition",
            endpoint_url=started["Endpoint"],
            region_name="us-east-1",
            aws_access_key_id=started["AccessKeyId"],
            aws_secret_access_key=started["SecretAccessKey"],
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        yield client, Path(f"/proc/{process.pid}/root{data}")
    finally:
        process.kill()
        process.communicate()


def test_the_api_answers_a_write_without_room_with_a_clean_error(
    data: Path, photos: dict[str, bytes], contracts: list[str]
) -> None:
    assert contracts
    picture = {"Bytes": photos["obama"]}
    with served(data, "4m") as (client, folder):
        client.create_collection(CollectionId="c")
        client.index_faces(CollectionId="c", Image=picture, ExternalImageId="first")
        filler = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(filler, bytes(4096)):
                pass
        except OSError:
            pass
        errors = []
        for number in range(20):  # there may be room left in pages that the database has already
            try:
                client.index_faces(CollectionId="c", Image=picture, ExternalImageId=f"{number}" * 100)
            except ClientError as error:
                errors.append(error)
        assert errors
        assert {error.response["Error"]["Code"] for error in errors} == {"InternalServerError"}
        assert {error.response["ResponseMetadata"]["HTTPStatusCode"] for error in errors} == {500}
        assert "disk" not in str(errors), "the log has what the client need not know"
        stored = len(client.list_faces(CollectionId="c")["Faces"])
        assert stored == client.describe_collection(CollectionId="c")["FaceCount"] == 21 - len(errors)
        found = client.search_faces_by_image(CollectionId="c", Image=picture, MaxFaces=100)["FaceMatches"]
        assert len(found) == stored
        os.ftruncate(filler, 0)
        os.close(filler)
        client.index_faces(CollectionId="c", Image=picture, ExternalImageId="last")
        assert len(client.list_faces(CollectionId="c")["Faces"]) == stored + 1
