"""Which faces are worked on: the quality filter, MaxFaces, and the largest face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recognizance.operations.selection import largest_if_good, only_good, select_largest, select_to_index
from recognizance.vision.faces import Faces

if TYPE_CHECKING:
    from mypy_boto3_rekognition.literals import QualityFilterType

FILTERS: tuple[QualityFilterType, ...] = ("NONE", "LOW", "AUTO", "MEDIUM", "HIGH")


def faces(*sides_and_sharpness: tuple[float, float]) -> Faces:
    """Return faces of these sides in pixels and this sharpness, good in every other way."""
    n = len(sides_and_sharpness)
    table = np.array(sides_and_sharpness, np.float32).reshape(n, 2)
    side, zeros = table[:, 0], np.zeros(n, np.float32)
    return Faces(
        image_size=(2000, 2000),
        boxes=np.stack([zeros, zeros, side, side], axis=1),
        scores=np.ones(n, np.float32),
        landmarks=np.zeros((n, 5, 2), np.float32),
        pose=np.zeros((n, 3), np.float32),
        brightness=np.full(n, 60, np.float32),
        sharpness=table[:, 1].copy(),
        quality=np.full(n, 99, np.float32),
    )


GOOD, SOFT, BLURRED = 90.0, 20.0, 1.0  # passes HIGH; passes MEDIUM only; passes nothing


def test_without_a_limit_everything_good_is_kept_in_order() -> None:
    chosen = select_to_index(faces((300, GOOD), (200, SOFT), (100, GOOD)), "AUTO", None)
    assert chosen.kept == [0, 1, 2]
    assert chosen.reasons == {}


def test_the_filter_drops_before_the_limit_counts() -> None:
    """A rejected face keeps the filter's reason and takes no place."""
    chosen = select_to_index(faces((300, BLURRED), (200, GOOD), (100, GOOD)), "AUTO", 1)
    assert chosen.kept == [1]
    assert chosen.reasons == {0: ["LOW_SHARPNESS"], 2: ["EXCEEDS_MAX_FACES"]}


def test_among_equals_the_smallest_go() -> None:
    chosen = select_to_index(faces((300, GOOD), (200, GOOD), (100, GOOD), (90, GOOD)), "AUTO", 2)
    assert chosen.kept == [0, 1]
    assert chosen.reasons == {2: ["EXCEEDS_MAX_FACES"], 3: ["EXCEEDS_MAX_FACES"]}


def test_the_poorest_go_before_the_smallest() -> None:
    chosen = select_to_index(faces((300, BLURRED), (200, SOFT), (100, GOOD), (90, GOOD)), "NONE", 2)
    assert chosen.kept == [2, 3]
    chosen = select_to_index(faces((300, BLURRED), (200, SOFT), (100, GOOD), (90, GOOD)), "NONE", 3)
    assert chosen.kept == [1, 2, 3]
    assert chosen.reasons == {0: ["EXCEEDS_MAX_FACES"]}


@given(
    st.lists(st.tuples(st.floats(10, 500), st.floats(0, 100)), max_size=12),
    st.sampled_from(FILTERS),
    st.none() | st.integers(1, 200),
)
def test_every_face_is_kept_or_has_a_reason(
    sizes: list[tuple[float, float]], quality_filter: QualityFilterType, max_faces: int | None
) -> None:
    found = faces(*sizes)
    chosen = select_to_index(found, quality_filter, max_faces)
    assert sorted([*chosen.kept, *chosen.reasons]) == list(range(len(found)))
    assert chosen.kept == sorted(chosen.kept)
    assert all(chosen.reasons.values())
    assert max_faces is None or len(chosen.kept) <= max_faces


def test_the_largest_face_is_searched_with_and_the_others_say_so() -> None:
    chosen = select_largest(faces((300, GOOD), (200, GOOD), (100, BLURRED)), "NONE")
    assert chosen.kept == [0]
    assert chosen.reasons == {1: ["FACE_NOT_LARGEST"], 2: ["FACE_NOT_LARGEST"]}


def test_a_largest_face_that_is_filtered_is_not_replaced() -> None:
    found = faces((300, BLURRED), (200, GOOD), (100, BLURRED))
    chosen = select_largest(found, "AUTO")
    assert chosen.kept == []
    assert chosen.reasons == {0: ["LOW_SHARPNESS"], 1: ["FACE_NOT_LARGEST"], 2: ["LOW_SHARPNESS", "FACE_NOT_LARGEST"]}
    assert len(largest_if_good(found, "AUTO")) == 0
    assert len(largest_if_good(found, "NONE")) == 1


def test_no_faces_are_no_trouble() -> None:
    none = faces()
    for quality_filter in FILTERS:
        assert select_to_index(none, quality_filter, 1).kept == []
        assert select_largest(none, quality_filter).kept == []
        assert len(only_good(none, quality_filter)) == len(largest_if_good(none, quality_filter)) == 0
