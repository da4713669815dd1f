"""Faces in the API's terms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizance.collections.model import FaceMatch, StoredFace, UnsuccessfulFace, User, UserMatch
from recognizance.operations import rendering
from recognizance.vision.faces import Faces

BOX = (0.1, 0.2, 0.3, 0.4)
STORED = StoredFace("face-id", "image-id", None, BOX, 99.5, "1.0", None)


def faces(box: tuple[float, float, float, float] = (20, 10, 60, 70), score: float = 0.875) -> Faces:
    """Return one face in a picture of 200 x 100 pixels."""
    marks = np.array([[[30, 30], [50, 32], [40, 45], [32, 55], [48, 57]]], np.float32)
    found = Faces.detected((200, 100), np.array([box], np.float32), np.array([score], np.float32), marks)
    return replace(
        found,
        pose=np.array([[1.5, -20, 7]], np.float32),
        brightness=np.array([60], np.float32),
        sharpness=np.array([80], np.float32),
    )


def test_boxes_and_landmarks_are_ratios_of_the_pictures_own_sides() -> None:
    detail = rendering.face_detail(faces(), 0)
    assert detail["BoundingBox"] == pytest.approx({"Left": 0.1, "Top": 0.1, "Width": 0.2, "Height": 0.6})
    marks = {mark["Type"]: (mark["X"], mark["Y"]) for mark in detail["Landmarks"]}
    assert marks["eyeLeft"] == pytest.approx((0.15, 0.3))
    assert marks["eyeRight"] == pytest.approx((0.25, 0.32))
    assert marks["nose"] == pytest.approx((0.2, 0.45))
    assert marks["mouthLeft"] == pytest.approx((0.16, 0.55))
    assert marks["mouthRight"] == pytest.approx((0.24, 0.57))


def test_pose_and_quality_are_named_in_their_own_order() -> None:
    detail = rendering.face_detail(faces(), 0)
    assert detail["Pose"] == {"Roll": 1.5, "Yaw": -20.0, "Pitch": 7.0}
    assert detail["Quality"] == {"Brightness": 60.0, "Sharpness": 80.0}
    assert detail["Confidence"] == 87.5


def test_a_box_beyond_the_edge_stays_beyond_it() -> None:
    assert rendering.bounding_box(faces((-20, 10, 60, 70)), 0)["Left"] == pytest.approx(-0.1)


def test_a_compared_face_has_what_a_detected_one_has() -> None:
    assert rendering.compared_face(faces(), 0) == rendering.face_detail(faces(), 0)


@given(st.floats(-1, 2, width=32))
def test_confidence_is_a_percentage(score: float) -> None:
    assert 0 <= rendering.confidence(faces(score=score), 0) <= 100


def test_what_a_stored_face_does_not_have_is_left_out() -> None:
    assert rendering.stored_face(STORED) == {
        "FaceId": "face-id",
        "ImageId": "image-id",
        "BoundingBox": {"Left": 0.1, "Top": 0.2, "Width": 0.3, "Height": 0.4},
        "Confidence": 99.5,
        "IndexFacesModelVersion": "1.0",
    }
    named = rendering.stored_face(replace(STORED, external_image_id="picture", user_id="user"))
    assert (named["ExternalImageId"], named["UserId"]) == ("picture", "user")


def test_matches_keep_their_order() -> None:
    matches = [FaceMatch(99.0, STORED), FaceMatch(81.0, replace(STORED, face_id="other"))]
    shown = rendering.face_matches(matches)
    assert [(match["Similarity"], match["Face"]["FaceId"]) for match in shown] == [(99.0, "face-id"), (81.0, "other")]
    assert rendering.user_matches([UserMatch(90.0, User("u", "ACTIVE"))]) == [
        {"Similarity": 90.0, "User": {"UserId": "u", "UserStatus": "ACTIVE"}}
    ]


def test_an_unsuccessful_face_says_only_what_is_known() -> None:
    assert rendering.unsuccessful(UnsuccessfulFace("f", ("FACE_NOT_FOUND",))) == {
        "FaceId": "f",
        "Reasons": ["FACE_NOT_FOUND"],
    }
    low = UnsuccessfulFace("f", ("LOW_MATCH_CONFIDENCE",), confidence=12.5)
    assert rendering.unsuccessful(low)["Confidence"] == 12.5
    taken = UnsuccessfulFace("f", ("ASSOCIATED_TO_A_DIFFERENT_USER",), user_id="u")
    assert rendering.unsuccessful(taken)["UserId"] == "u"
