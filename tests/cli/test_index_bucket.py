"""``recognizance index s3://...``, ``jobs`` and the dry run, on real pictures."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from recognizance.cli._session import open_session
from recognizance.core.settings import load_settings
from recognizance.storage.repositories import bulk_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Cli, Program


@pytest.fixture
def photos(portraits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local folder that serves as the bucket ``photos``."""
    folder = tmp_path / "buckets" / "photos"
    (folder / "Joe Biden").mkdir(parents=True)
    shutil.copy(portraits / "biden.jpg", folder / "Joe Biden" / "1.jpg")
    shutil.copy(portraits / "obama.jpg", folder / "obama.jpg")
    (folder / "bad.jpg").write_text("not a picture")
    (folder / "notes.txt").write_text("not a picture")
    monkeypatch.setenv("RECOGNIZANCE_BUCKETS_FOLDER", str(folder.parent))
    return folder


def external_ids(data: Path, **settings: Any) -> list[str]:
    with open_session(load_settings(data=data, **settings)) as session:
        faces = session.call("ListFaces", CollectionId="people")["Faces"]
    return sorted(face["ExternalImageId"] for face in faces)


def test_a_bucket_is_indexed_and_what_is_new_later(cli: Cli, photos: Path, portraits: Path) -> None:
    done = cli.json("index", "s3://photos", "--collection", "people", "--create", "--external-id", "stem")
    assert (done["state"], done["job"], done["run"]) == ("finished", "s3://photos/", 1)
    assert (done["objects"], done["objects_done"], done["pictures_indexed"], done["faces_added"]) == (4, 4, 2, 2)
    assert (done["other_objects"], done["refused"]) == (1, {"InvalidImageFormatException": 1})
    assert external_ids(cli.data) == ["1", "obama"]

    shutil.copy(portraits / "obama2.jpg", photos / "new.jpg")
    again = cli.json("index", "s3://photos", "--collection", "people", "--external-id", "stem")
    assert (again["run"], again["objects_skipped"], again["pictures_indexed"]) == (2, 4, 1)
    assert external_ids(cli.data) == ["1", "new", "obama"]


def test_only_keys_with_the_prefix_are_indexed(cli: Cli, photos: Path) -> None:
    assert photos.is_dir()
    done = cli.json("index", "s3://photos/Joe", "-c", "people", "--create", "--external-id", "folder")
    assert done["objects"] == 1
    assert external_ids(cli.data) == ["Joe_Biden"]


def test_jobs_are_listed_shown_reported_and_deleted(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert photos.is_dir()
    assert cli.json("jobs", "list") == []
    assert "recognizance index s3://" in cli("jobs", "list").stderr
    cli("index", "s3://photos", "-c", "people", "--create", "--job", "nightly")
    (listed,) = cli.json("jobs", "list")
    assert (listed["job"], listed["collection"], listed["state"], listed["processes"]) == (
        "nightly",
        "people",
        "finished",
        [],
    )
    assert "nightly" in cli("jobs", "list").stdout
    assert re.search(r"Pictures indexed +2", cli("jobs", "show", "nightly").stdout)
    assert cli.json("jobs", "show", "nightly") == listed

    report = tmp_path / "refused.csv"
    cli("jobs", "show", "nightly", "--report", report)
    (row,) = csv.DictReader(io.StringIO(report.read_text()))
    assert (row["path"], row["code"]) == ("bad.jpg", "InvalidImageFormatException")

    assert "Its faces stay" in cli.refused("jobs", "delete", "nightly")
    cli("jobs", "delete", "nightly", "--yes")
    assert "There is no job nightly" in cli.refused("jobs", "show", "nightly")
    assert external_ids(cli.data) == ["1.jpg", "obama.jpg"]


def test_a_job_of_two_collections_has_to_be_named_with_its_collection(cli: Cli, photos: Path) -> None:
    assert photos.is_dir()
    for name in ("people", "others"):
        cli("index", "s3://photos/obama", "-c", name, "--create")
    assert "Say which with --collection" in cli.refused("jobs", "show", "s3://photos/obama")
    assert cli.json("jobs", "show", "s3://photos/obama", "-c", "others")["collection"] == "others"


def test_a_job_is_not_for_a_folder(cli: Cli, photos: Path) -> None:
    assert "every machine sees" in cli.refused("index", photos, "-c", "people", "--job", "nightly")


def test_a_bucket_that_is_not_there_is_named(cli: Cli, photos: Path) -> None:
    assert photos.is_dir()
    assert "The bucket nowhere" in cli.refused("index", "s3://nowhere", "-c", "people", "--create")
    (job,) = cli.json("jobs", "list")
    assert job["state"] == "interrupted"


def test_without_an_object_store_the_settings_are_named(cli: Cli, portraits: Path) -> None:
    assert portraits.is_dir()
    cli("collections", "create", "people")
    assert "BUCKETS_FOLDER" in cli.refused("index", "s3://photos", "-c", "people")


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_dry_run_tells_how_long_it_will_take_and_stores_nothing(cli: Cli, photos: Path, where: str) -> None:
    source = str(photos) if where == "folder" else "s3://photos"
    told = cli.json("index", source, "-c", "people", "--dry-run", "--seconds", "1")
    assert told["files"] == 4
    assert told["files_measured"] >= 4
    assert 0 < told["pictures_expected"] <= 4
    assert told["faces_expected"] >= told["pictures_expected"]
    assert told["faces_per_hour"] > 0
    expected = told["files"] * told["seconds_measured"] / told["files_measured"]
    assert told["seconds_needed"] == pytest.approx(expected, rel=0.1, abs=0.1)
    assert cli.json("collections", "list") == []
    shown = cli("index", source, "-c", "people", "--dry-run", "--seconds", "1").stdout
    assert re.search(r"Speed +[0-9.]+ files/s, [0-9,]+ faces an hour", shown)


def test_a_dry_run_counts_only_what_is_new(cli: Cli, photos: Path, portraits: Path) -> None:
    cli("index", photos, "-c", "people", "--create")
    assert "nothing to do" in cli.refused("index", photos, "-c", "people", "--dry-run")
    shutil.copy(portraits / "obama2.jpg", photos / "new.jpg")
    assert cli.json("index", photos, "-c", "people", "--dry-run", "--seconds", "1")["files"] == 1


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of a real S3 server."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.timeout(600)
def test_two_programs_share_a_bucket_of_an_s3_server_although_one_is_killed(
    program: Program, cli: Cli, portraits: Path, tmp_path: Path, s3: str, database_url: str
) -> None:
    settings = {
        "RECOGNIZANCE_S3_ENDPOINT_URL": s3,
        "RECOGNIZANCE_S3_ACCESS_KEY_ID": "key",
        "RECOGNIZANCE_S3_SECRET_ACCESS_KEY": "secret",
        "RECOGNIZANCE_DATABASE_URL": database_url,
        "RECOGNIZANCE_LEASE_SECONDS": "5",
    }
    client = boto3.client(
        "s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="photos")
    with Image.open(portraits / "obama.jpg") as image:
        picture = image.resize((273, 341))
    names = [f"{number:03}.jpg" for number in range(60)]
    for number, name in enumerate(names):
        picture.save(tmp_path / name, quality=60 + number % 30)
        client.put_object(Bucket="photos", Key=f"2026/{name}", Body=(tmp_path / name).read_bytes())
    command = ("index", "s3://photos/2026/", "-c", "people", "--create", "--chunk", "5", "--data", cli.data)

    def done() -> int:
        settings = load_settings(data=cli.data, database_url=database_url)
        with open_session(settings) as session, session.services.database.read() as connection:
            return sum(job.dealt_with for job in bulk_jobs.every(connection))

    with program.start(*command, **settings) as victim:
        try:
            while victim.poll() is None and not done():
                time.sleep(0.05)
            victim.send_signal(signal.SIGKILL)
        finally:
            victim.kill()
    assert 0 < done() < 60, "the first program was too quick for this test"
    survivors = [program.start(*command, "--json", **settings) for _ in range(2)]
    try:
        ended = [process.communicate(timeout=400) for process in survivors]
    finally:
        for process in survivors:
            process.kill()
    assert [process.returncode for process in survivors] == [0, 0], ended
    told = json.loads(ended[0][0])
    assert (told["objects"], told["objects_done"], told["pictures_indexed"]) == (60, 60, 60)
    assert (told["faces_added"], told["faces_already_there"]) == (60, 0)
    assert external_ids(cli.data, database_url=database_url) == names
