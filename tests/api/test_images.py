"""Image members: bytes in the request, objects in buckets, and every way that either can be wrong."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.api.conftest import Api, Running

pytestmark = pytest.mark.sqlite

EITHER = "Requested image should either contain bytes or s3 object."
NO_OBJECT = "Unable to get object metadata from S3. Check object key, region and/or access permissions."
IMAGE_OPERATIONS = ["DetectFaces", "IndexFaces", "SearchFacesByImage", "SearchUsersByImage", "CompareFaces"]


@pytest.fixture(params=IMAGE_OPERATIONS)
def with_image(request: pytest.FixtureRequest, collection: str, photos: dict[str, bytes]) -> Any:
    """The name of an operation that takes a picture, and a function that makes its request from an Image member."""
    operation: str = request.param

    def members(image: dict[str, Any]) -> dict[str, Any]:
        if operation == "CompareFaces":
            return {"SourceImage": {"Bytes": photos["biden"]}, "TargetImage": image}
        return {"Image": image} | ({} if operation == "DetectFaces" else {"CollectionId": collection})

    return operation, members


WithImage = tuple[str, "Callable[[dict[str, Any]], dict[str, Any]]"]


@pytest.fixture(scope="module", autouse=True)
def objects(server: Running, photos: dict[str, bytes]) -> None:
    """Objects in the bucket folder of the server."""
    assert server.services.settings.buckets_folder is not None
    bucket = server.services.settings.buckets_folder / "photos"
    (bucket / "biden.jpg").write_bytes(photos["biden"])
    (bucket / "text.jpg").write_bytes(b"this is no picture")
    (bucket / "large.jpg").write_bytes(photos["biden"] + bytes(15 * 1024 * 1024))
    (bucket / "six megabytes.jpg").write_bytes(photos["biden"] + bytes(6 * 1024 * 1024))


def stored(key: str, **more: str) -> dict[str, Any]:
    return {"S3Object": {"Bucket": "photos", "Name": key} | more}


def test_an_object_and_its_bytes_give_the_same_answer(
    api: Api, with_image: WithImage, photos: dict[str, bytes]
) -> None:
    operation, members = with_image
    from_object = api.call(operation, **members(stored("biden.jpg")))
    from_bytes = api.call(operation, **members({"Bytes": photos["biden"]}))
    assert from_object == from_bytes


@pytest.mark.parametrize("both", [False, True])
def test_an_image_is_bytes_or_an_object(api: Api, with_image: WithImage, photos: dict[str, bytes], both: bool) -> None:
    operation, members = with_image
    image = {"Bytes": photos["biden"], **stored("biden.jpg")} if both else {}
    assert api.refused("InvalidParameterException", operation, **members(image)) == EITHER


@pytest.mark.parametrize(
    "image",
    [
        stored("missing.jpg"),
        stored("biden.jpg", Version="1"),
        stored("../photos/biden.jpg"),
        {"S3Object": {"Bucket": "elsewhere", "Name": "biden.jpg"}},
        {"S3Object": {"Name": "biden.jpg"}},
        {"S3Object": {"Bucket": "photos"}},
        {"S3Object": {}},
    ],
    ids=str,
)
def test_an_object_that_cannot_be_read_is_an_invalid_object(
    api: Api, with_image: WithImage, image: dict[str, Any]
) -> None:
    operation, members = with_image
    assert api.refused("InvalidS3ObjectException", operation, **members(image)) == NO_OBJECT


@pytest.mark.parametrize(
    "image",
    [stored("text.jpg"), {"Bytes": b"this is no picture"}, {"Bytes": b"\xff\xd8\xff"}],
    ids=["object", "bytes", "beginning of a JPEG"],
)
def test_what_is_no_picture_has_an_invalid_format(api: Api, with_image: WithImage, image: dict[str, Any]) -> None:
    operation, members = with_image
    message = api.refused("InvalidImageFormatException", operation, **members(image))
    assert message == "Request has invalid image format"


def test_a_picture_that_a_client_encoded_twice_has_an_invalid_format(
    api: Api, with_image: WithImage, photos: dict[str, bytes]
) -> None:
    operation, members = with_image
    twice = {"Bytes": base64.b64encode(photos["biden"])}
    api.refused("InvalidImageFormatException", operation, **members(twice))


def test_an_object_over_15_megabytes_is_too_large(api: Api, with_image: WithImage) -> None:
    operation, members = with_image
    message = api.refused("ImageTooLargeException", operation, **members(stored("large.jpg")))
    assert message == "Image size is too large"


def test_an_object_may_be_larger_than_bytes_may(api: Api, photos: dict[str, bytes]) -> None:
    answer = api.call("DetectFaces", Image=stored("six megabytes.jpg"))
    assert len(answer["FaceDetails"]) == 1
    padded = photos["biden"] + bytes(5_242_881 - len(photos["biden"]))
    api.refused("InvalidParameterException", "DetectFaces", Image={"Bytes": padded})
    assert len(api.call("DetectFaces", Image={"Bytes": padded[:-1]})["FaceDetails"]) == 1


@pytest.fixture(scope="module")
def store_endpoint(photos: dict[str, bytes]) -> Iterator[str]:
    """The address of an S3 server with two versions of an object."""
    moto = ThreadedMotoServer("127.0.0.1", 0)
    moto.start()
    host, port = moto.get_host_and_port()
    url = f"http://{host}:{port}"
    client = s3_client(url)
    client.create_bucket(Bucket="pictures")
    client.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket="pictures", Key="a/face 1.jpg", Body=photos["both"])
    client.put_object(Bucket="pictures", Key="a/face 1.jpg", Body=photos["biden"])
    yield url
    moto.stop()


def s3_client(url: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )


def test_pictures_are_read_from_an_s3_store_by_version(
    store_endpoint: str, serve: Callable[[Settings], Running], tmp_path: Any
) -> None:
    settings = Settings(
        data=tmp_path,
        contract="core",
        s3_endpoint_url=store_endpoint,
        s3_access_key_id="k",
        s3_secret_access_key=SecretStr("s"),
    )
    api = serve(settings).api()
    versions = s3_client(store_endpoint).list_object_versions(Bucket="pictures")["Versions"]
    oldest = next(version["VersionId"] for version in versions if not version["IsLatest"])
    named = {"Bucket": "pictures", "Name": "a/face 1.jpg"}
    assert len(api.call("DetectFaces", Image={"S3Object": named})["FaceDetails"]) == 1
    assert len(api.call("DetectFaces", Image={"S3Object": named | {"Version": oldest}})["FaceDetails"]) == 2
    message = api.refused("InvalidS3ObjectException", "DetectFaces", Image={"S3Object": named | {"Name": "b"}})
    assert message == NO_OBJECT


def test_a_server_without_a_store_names_the_settings_that_would_give_it_one(
    serve: Callable[[Settings], Running], tmp_path: Any
) -> None:
    api = serve(Settings(data=tmp_path, contract="core")).api()
    message = api.refused("InvalidS3ObjectException", "DetectFaces", Image=stored("biden.jpg"))
    assert "RECOGNIZANCE_BUCKETS_FOLDER" in message
