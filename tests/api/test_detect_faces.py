"""DetectFaces over the wire, with real photographs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.api.conftest import Api

pytestmark = pytest.mark.sqlite

DEFAULT = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}


def detect(api: Api, data: bytes, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("DetectFaces", Image={"Bytes": data}, **members)["FaceDetails"]
    return found


def points(detail: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {mark["Type"]: (mark["X"], mark["Y"]) for mark in detail["Landmarks"]}


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_a_frontal_face_has_its_features_where_faces_have_them(api: Api, photos: dict[str, bytes]) -> None:
    (detail,) = detect(api, photos["obama"])
    box, marks = detail["BoundingBox"], points(detail)
    assert marks.keys() == {"eyeLeft", "eyeRight", "mouthLeft", "mouthRight", "nose"}
    assert marks["eyeLeft"][0] < marks["nose"][0] < marks["eyeRight"][0]
    assert marks["mouthLeft"][0] < marks["mouthRight"][0]
    assert marks["eyeLeft"][1] < marks["nose"][1] < marks["mouthLeft"][1]
    assert all(box["Left"] < x < box["Left"] + box["Width"] for x, _ in marks.values())
    assert all(box["Top"] < y < box["Top"] + box["Height"] for _, y in marks.values())
    assert abs(detail["Pose"]["Roll"]) < 20
    assert detail["Confidence"] > 90
    assert detail["Quality"]["Brightness"] > 20
    assert detail["Quality"]["Sharpness"] > 20


def test_faces_come_largest_first(api: Api, photos: dict[str, bytes]) -> None:
    first, second = detect(api, photos["both"])
    assert first["BoundingBox"]["Width"] > second["BoundingBox"]["Width"]


def test_a_picture_without_a_face_has_an_empty_list(api: Api, empty: bytes) -> None:
    assert detect(api, empty) == []


@pytest.mark.parametrize("attributes", [[], ["DEFAULT"], ["ALL"], ["ALL", "DEFAULT"], ["GENDER"]])
def test_only_what_was_measured_is_returned(api: Api, photos: dict[str, bytes], attributes: list[str]) -> None:
    (detail,) = detect(api, photos["biden"], Attributes=attributes)
    assert detail.keys() == DEFAULT


def test_roll_is_positive_for_a_face_turned_clockwise(api: Api, photos: dict[str, bytes]) -> None:
    """Turning the picture by 25 degrees turns the roll by as much."""
    picture = Image.open(io.BytesIO(photos["obama"])).convert("RGB")
    upright = detect(api, photos["obama"])[0]["Pose"]["Roll"]
    turned = detect(api, encode(picture.rotate(-25, fillcolor="white"), "JPEG"))[0]["Pose"]["Roll"]
    assert turned - upright == pytest.approx(25, abs=8)


def test_a_face_cut_by_the_edge_may_reach_beyond_it(api: Api, photos: dict[str, bytes]) -> None:
    """Ratios are of the picture, and a box is not clipped to it."""
    picture = Image.open(io.BytesIO(photos["obama"])).convert("RGB")
    (whole,) = detect(api, photos["obama"])
    left = round((whole["BoundingBox"]["Left"] + whole["BoundingBox"]["Width"] * 0.2) * picture.width)
    details = detect(api, encode(picture.crop((left, 0, picture.width, picture.height)), "JPEG"))
    assert len(details) == 1
    assert details[0]["BoundingBox"]["Left"] < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_a_jpeg_upright(api: Api, photos: dict[str, bytes], orientation: int) -> None:
    """However the camera was held, the answer is about the upright picture."""
    upright = Image.open(io.BytesIO(photos["both"])).convert("RGB")
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = [detail["BoundingBox"] for detail in detect(api, photos["both"])]
    found = [detail["BoundingBox"] for detail in detect(api, encode(stored, "JPEG", quality=95, exif=exif))]
    assert len(found) == len(expected)
    for box, reference in zip(found, expected, strict=True):
        assert box == pytest.approx(reference, abs=0.02)


def test_exif_orientation_of_a_png_is_ignored(api: Api, photos: dict[str, bytes]) -> None:
    """Rekognition corrects JPEG files alone: here the larger face stays where the file has it, on the right."""
    mirrored = Image.open(io.BytesIO(photos["both"])).convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    exif = Image.Exif()
    exif[0x0112] = 2
    larger, smaller = detect(api, encode(mirrored, "PNG", exif=exif))
    assert larger["BoundingBox"]["Left"] > smaller["BoundingBox"]["Left"]


@pytest.mark.parametrize("members", [{}, {"Image": {}}, {"Image": {"Bytes": b"x"}, "Attributes": ["BEAUTY"]}], ids=str)
def test_members_out_of_range_are_refused(api: Api, members: dict[str, Any]) -> None:
    api.refused("InvalidParameterException", "DetectFaces", **members)
