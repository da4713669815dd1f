"""The value object of faces, and the alignment and pose that stand on its landmarks."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizance.vision.align import chips, similarity_transforms
from recognizance.vision.embedders.chips import MOBILEFACENET
from recognizance.vision.faces import Faces
from recognizance.vision.pose import HEAD, head_pose
from recognizance.vision.quality import BARS, rejections

RNG = np.random.default_rng(1)


def some(n: int) -> Faces:
    boxes = np.array([[10, 20, 60 + i, 90] for i in range(n)], np.float32).reshape(n, 4)
    landmarks = np.tile(MOBILEFACENET.template, (n, 1, 1)).astype(np.float32)
    scores = np.full(n, 0.9, np.float32)
    faces = Faces.detected((200, 100), boxes, scores, landmarks)
    full = np.full(n, 95, np.float32)
    return replace(faces, brightness=full, sharpness=full, quality=full)


def test_rows_can_be_chosen_and_walked() -> None:
    faces = some(3)
    assert len(faces[[2, 0]]) == 2
    assert faces[[2, 0]].boxes[0, 2] == 62
    assert [len(face) for face in faces] == [1, 1, 1]
    assert len(faces[faces.areas > 1e9]) == 0


def test_the_prominent_face_is_the_one_in_the_middle_and_not_a_larger_bystander() -> None:
    faces = some(2)
    boxes = np.array([[0, 0, 60, 60], [75, 25, 125, 75]], np.float32)
    assert replace(faces, boxes=boxes).most_prominent().boxes[0, 0] == 75
    assert len(some(0).most_prominent()) == 0


def test_boxes_are_given_as_ratios() -> None:
    np.testing.assert_allclose(some(1).box_ratios[0], [0.05, 0.2, 0.25, 0.7], rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scores": np.zeros(2, np.float32)},
        {"landmarks": np.zeros((1, 4, 2), np.float32)},
        {"boxes": np.full((1, 4), np.nan, np.float32)},
        {"scores": np.zeros(1, np.float64)},
        {"embeddings": np.zeros((1, 128), np.float32)},
        {"embeddings": np.zeros((2, 8), np.float32), "impostor_levels": np.zeros(1, np.float32)},
    ],
)
def test_what_does_not_fit_together_is_refused(
    wrong: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
) -> None:
    with pytest.raises(ValueError, match=r"must be|has shape|come together"):
        replace(some(1), **wrong)  # type: ignore[arg-type]


@given(
    angle=st.floats(-3, 3),
    scale=st.floats(0.05, 20),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_alignment_undoes_any_similarity(angle: float, scale: float, x: float, y: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (MOBILEFACENET.template @ turn.T + [x, y]).astype(np.float32)
    transform = similarity_transforms(moved[None], MOBILEFACENET.template)[0]
    back = moved @ transform[:, :2].T + transform[:, 2]
    np.testing.assert_allclose(back, MOBILEFACENET.template, atol=max(0.05, 0.05 / scale))


@pytest.mark.parametrize("scale", [0.7, 1.0, 3.0, 9.0])
def test_a_chip_shows_the_same_at_any_size(scale: float) -> None:
    """A smooth picture enlarged gives the chip of the original, whether it was warped at once or shrunk first."""
    import cv2

    small = cv2.GaussianBlur(RNG.integers(0, 255, (150, 150, 3), np.uint8), (0, 0), 6)
    large = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    landmarks = (MOBILEFACENET.template + 15)[None].astype(np.float32)
    expected = chips(np.asarray(small), landmarks, MOBILEFACENET.template, 112).astype(int)
    there = ((landmarks + 0.5) * scale - 0.5).astype(np.float32)
    found = chips(np.asarray(large), there, MOBILEFACENET.template, 112).astype(int)
    assert np.abs(expected - found).mean() < 1.5


def test_a_face_at_the_edge_still_gives_a_chip() -> None:
    landmarks = (MOBILEFACENET.template * 8 - 300)[None].astype(np.float32)
    assert chips(np.zeros((100, 100, 3), np.uint8), landmarks, MOBILEFACENET.template, 112).shape == (1, 112, 112, 3)


@pytest.mark.parametrize(
    ("roll", "yaw", "pitch"), [(0, 0, 0), (20, 0, 0), (0, 35, 0), (0, -35, 0), (0, 0, 25), (0, 0, -25)]
)
def test_pose_is_read_off_a_turned_head(roll: float, yaw: float, pitch: float) -> None:
    r, y, p = np.radians([roll, yaw, pitch])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = (HEAD @ (about_z @ about_y @ about_x).T)[:, :2].astype(np.float32)
    np.testing.assert_allclose(head_pose(points[None])[0], [roll, yaw, pitch], atol=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pose": np.array([[0, 85, 0]], np.float32)}, "EXTREME_POSE"),
        ({"brightness": np.array([1], np.float32)}, "LOW_BRIGHTNESS"),
        ({"sharpness": np.array([1], np.float32)}, "LOW_SHARPNESS"),
        ({"scores": np.array([0.2], np.float32)}, "LOW_CONFIDENCE"),
        ({"boxes": np.array([[0, 0, 9, 9]], np.float32)}, "SMALL_BOUNDING_BOX"),
        ({"quality": np.array([1], np.float32)}, "LOW_FACE_QUALITY"),
    ],
)
def test_each_flaw_has_its_reason(
    change: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]], reason: str
) -> None:
    face = replace(some(1), **change)  # type: ignore[arg-type]
    for bar in BARS:
        assert rejections(face, bar) == [[reason]]
    assert rejections(face, "NONE") == [[]]


def test_a_good_face_passes_every_bar() -> None:
    assert all(rejections(some(2), bar) == [[], []] for bar in BARS)


def test_each_bar_asks_for_more_than_the_one_before() -> None:
    bars = [BARS["LOW"], BARS["AUTO"], BARS["MEDIUM"], BARS["HIGH"]]
    for lower, higher in pairwise(bars):
        assert lower.quality < higher.quality
        assert lower.width < higher.width
        assert lower.turn > higher.turn
