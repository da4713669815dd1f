"""IndexFaces over the wire, with real photographs."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from recognizance.vision.contracts import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.api.conftest import Api, Running

VERSION = load_contract("core").version

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def area(detail: dict[str, Any]) -> float:
    return float(detail["BoundingBox"]["Width"] * detail["BoundingBox"]["Height"])


def test_a_portrait_gives_one_record_with_its_ids_and_its_detail(
    api: Api, collection: str, photos: dict[str, bytes]
) -> None:
    answer = api.call(
        "IndexFaces", CollectionId=collection, Image={"Bytes": photos["obama"]}, ExternalImageId="portrait:1"
    )
    (record,) = answer["FaceRecords"]
    face, detail = record["Face"], record["FaceDetail"]
    assert answer["FaceModelVersion"] == face["IndexFacesModelVersion"] == VERSION
    assert answer["UnindexedFaces"] == []
    assert UUID.fullmatch(face["FaceId"])
    assert UUID.fullmatch(face["ImageId"])
    assert face["FaceId"] != face["ImageId"]
    assert face["ExternalImageId"] == "portrait:1"
    assert "UserId" not in face
    assert face["Confidence"] == pytest.approx(detail["Confidence"], abs=0.01)
    assert face["BoundingBox"] == pytest.approx(detail["BoundingBox"], abs=1e-4)
    assert [mark["Type"] for mark in detail["Landmarks"]] == [
        "eyeLeft",
        "eyeRight",
        "mouthLeft",
        "mouthRight",
        "nose",
    ]
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 1


def test_records_come_largest_first_and_one_name_is_given_to_all(
    api: Api, collection: str, photos: dict[str, bytes]
) -> None:
    answer = api.call("IndexFaces", CollectionId=collection, Image={"Bytes": photos["both"]}, ExternalImageId="both")
    records = answer["FaceRecords"]
    assert len(records) == 2
    assert area(records[0]["FaceDetail"]) > area(records[1]["FaceDetail"])
    assert records[0]["FaceDetail"]["BoundingBox"]["Left"] < records[1]["FaceDetail"]["BoundingBox"]["Left"]
    assert {record["Face"]["ExternalImageId"] for record in records} == {"both"}
    assert len({record["Face"]["ImageId"] for record in records}) == 1


def test_the_same_picture_again_adds_nothing_and_gives_the_same_ids(
    api: Api, collection: str, photos: dict[str, bytes]
) -> None:
    request: dict[str, Any] = {
        "CollectionId": collection,
        "Image": {"Bytes": photos["both"]},
        "ExternalImageId": "x",
    }
    first, second = api.call("IndexFaces", **request), api.call("IndexFaces", **request)
    assert first == second
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 2


def test_another_name_for_the_same_picture_is_another_face(api: Api, collection: str, photos: dict[str, bytes]) -> None:
    ids = {
        api.call("IndexFaces", CollectionId=collection, Image={"Bytes": photos["biden"]}, **name)["FaceRecords"][0][
            "Face"
        ]["FaceId"]
        for name in ({}, {"ExternalImageId": "a"}, {"ExternalImageId": "b"})
    }
    assert len(ids) == 3
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 3


def test_a_face_deleted_and_indexed_again_is_back(api: Api, collection: str, photos: dict[str, bytes]) -> None:
    request: dict[str, Any] = {"CollectionId": collection, "Image": {"Bytes": photos["biden"]}}
    face_id = api.call("IndexFaces", **request)["FaceRecords"][0]["Face"]["FaceId"]
    api.call("DeleteFaces", CollectionId=collection, FaceIds=[face_id])
    assert api.call("IndexFaces", **request)["FaceRecords"][0]["Face"]["FaceId"] == face_id
    matches = api.call("SearchFacesByImage", CollectionId=collection, Image=request["Image"])["FaceMatches"]
    assert [match["Face"]["FaceId"] for match in matches] == [face_id]


def test_a_picture_without_a_face_is_no_error(api: Api, collection: str, empty: bytes) -> None:
    answer = api.call("IndexFaces", CollectionId=collection, Image={"Bytes": empty})
    assert answer == {"FaceRecords": [], "UnindexedFaces": [], "FaceModelVersion": VERSION}


def test_max_faces_keeps_the_larger_of_two_good_faces(api: Api, collection: str, photos: dict[str, bytes]) -> None:
    answer = api.call("IndexFaces", CollectionId=collection, Image={"Bytes": photos["both"]}, MaxFaces=1)
    (record,), (dropped,) = answer["FaceRecords"], answer["UnindexedFaces"]
    assert area(record["FaceDetail"]) > area(dropped["FaceDetail"])
    assert dropped["Reasons"] == ["EXCEEDS_MAX_FACES"]
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 1


def test_max_faces_drops_a_poor_face_before_a_small_one(
    api: Api, collection: str, photos: dict[str, bytes], blur_left: Callable[[bytes], bytes]
) -> None:
    """The left, larger face is out of focus: with room for one, the sharp one is stored."""
    answer = api.call(
        "IndexFaces",
        CollectionId=collection,
        Image={"Bytes": blur_left(photos["both"])},
        MaxFaces=1,
        QualityFilter="NONE",
    )
    (record,), (dropped,) = answer["FaceRecords"], answer["UnindexedFaces"]
    assert record["FaceDetail"]["BoundingBox"]["Left"] > dropped["FaceDetail"]["BoundingBox"]["Left"]
    assert dropped["Reasons"] == ["EXCEEDS_MAX_FACES"]


def test_more_than_a_hundred_faces_may_be_asked_for(api: Api, collection: str, photos: dict[str, bytes]) -> None:
    answer = api.call("IndexFaces", CollectionId=collection, Image={"Bytes": photos["both"]}, MaxFaces=5000)
    assert len(answer["FaceRecords"]) == 2


def test_the_quality_filter_drops_a_dark_face_and_says_why(api: Api, collection: str, photos: dict[str, bytes]) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(photos["obama"])).convert("RGB"))
    dark = jpeg(Image.fromarray((pixels * 0.12).astype(np.uint8)))
    kept = api.call("IndexFaces", CollectionId=collection, Image={"Bytes": dark}, QualityFilter="NONE")
    assert len(kept["FaceRecords"]) == 1
    dropped = api.call("IndexFaces", CollectionId=collection, Image={"Bytes": dark}, QualityFilter="HIGH")
    assert dropped["FaceRecords"] == []
    assert "LOW_BRIGHTNESS" in dropped["UnindexedFaces"][0]["Reasons"]


@pytest.mark.parametrize("attributes", [[], ["DEFAULT"], ["ALL"], ["DEFAULT", "ALL"], ["AGE_RANGE", "SMILE"]])
def test_attributes_that_are_not_built_are_not_made_up(
    api: Api, collection: str, photos: dict[str, bytes], attributes: list[str]
) -> None:
    answer = api.call(
        "IndexFaces", CollectionId=collection, Image={"Bytes": photos["biden"]}, DetectionAttributes=attributes
    )
    assert answer["FaceRecords"][0]["FaceDetail"].keys() == {
        "BoundingBox",
        "Confidence",
        "Landmarks",
        "Pose",
        "Quality",
    }


def test_no_picture_is_kept(server: Running, api: Api, collection: str, photos: dict[str, bytes]) -> None:
    api.call("IndexFaces", CollectionId=collection, Image={"Bytes": photos["obama3"]})
    inside = photos["obama3"][len(photos["obama3"]) // 2 :][:64]
    files = [path for path in folder_files(server.services.settings.data) if inside in path.read_bytes()]
    assert files == []


def folder_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_collection_comes_before_the_picture(api: Api) -> None:
    message = api.refused(
        "ResourceNotFoundException", "IndexFaces", CollectionId="no-such-collection", Image={"Bytes": b"no picture"}
    )
    assert message == "The collection id: no-such-collection does not exist"


@pytest.mark.parametrize(
    "members",
    [
        {"MaxFaces": 0},
        {"MaxFaces": -1},
        {"QualityFilter": "BEST"},
        {"DetectionAttributes": ["BEAUTY"]},
        {"ExternalImageId": ""},
        {"ExternalImageId": "a b"},
        {"ExternalImageId": "x" * 256},
    ],
    ids=str,
)
def test_members_out_of_range_are_refused(
    api: Api, collection: str, photos: dict[str, bytes], members: dict[str, Any]
) -> None:
    api.refused(
        "InvalidParameterException",
        "IndexFaces",
        CollectionId=collection,
        Image={"Bytes": photos["biden"]},
        **members,
    )
    assert api.call("DescribeCollection", CollectionId=collection)["FaceCount"] == 0
