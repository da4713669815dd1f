"""CompareFaces over the wire, with real photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.conftest import Api

pytestmark = pytest.mark.sqlite

INVALID = "Request has invalid parameters"


def compare(api: Api, source: bytes, target: bytes, **members: Any) -> dict[str, Any]:
    return api.call("CompareFaces", SourceImage={"Bytes": source}, TargetImage={"Bytes": target}, **members)


def test_two_pictures_of_one_person_match(api: Api, photos: dict[str, bytes]) -> None:
    answer = compare(api, photos["obama"], photos["obama2"])
    (match,) = answer["FaceMatches"]
    assert match["Similarity"] >= 80
    assert answer["UnmatchedFaces"] == []
    assert answer["SourceImageFace"].keys() == {"BoundingBox", "Confidence"}


def test_two_people_do_not_match(api: Api, photos: dict[str, bytes]) -> None:
    answer = compare(api, photos["obama"], photos["biden"])
    assert answer["FaceMatches"] == []
    assert len(answer["UnmatchedFaces"]) == 1
    assert "Similarity" not in answer["UnmatchedFaces"][0]


def test_a_picture_is_like_itself_and_likeness_is_mutual(api: Api, photos: dict[str, bytes]) -> None:
    assert compare(api, photos["biden"], photos["biden"])["FaceMatches"][0]["Similarity"] > 99
    one = compare(api, photos["obama"], photos["obama3"], SimilarityThreshold=0)["FaceMatches"][0]["Similarity"]
    other = compare(api, photos["obama3"], photos["obama"], SimilarityThreshold=0)["FaceMatches"][0]["Similarity"]
    assert one == pytest.approx(other, abs=0.5)


def test_the_faces_of_the_target_are_told_apart(api: Api, photos: dict[str, bytes]) -> None:
    """In the target the one on the left is the source's, the one on the right is not."""
    answer = compare(api, photos["obama2"], photos["both"])
    (match,), (other,) = answer["FaceMatches"], answer["UnmatchedFaces"]
    assert match["Face"]["BoundingBox"]["Left"] < other["BoundingBox"]["Left"]
    answer = compare(api, photos["biden"], photos["both"])
    (match,), (other,) = answer["FaceMatches"], answer["UnmatchedFaces"]
    assert match["Face"]["BoundingBox"]["Left"] > other["BoundingBox"]["Left"]


def test_the_largest_face_of_the_source_is_compared(api: Api, photos: dict[str, bytes]) -> None:
    assert len(compare(api, photos["both"], photos["obama3"])["FaceMatches"]) == 1
    assert compare(api, photos["both"], photos["biden"])["FaceMatches"] == []


def test_without_a_threshold_every_face_matches_most_similar_first(api: Api, photos: dict[str, bytes]) -> None:
    answer = compare(api, photos["biden"], photos["both"], SimilarityThreshold=0)
    similarities = [match["Similarity"] for match in answer["FaceMatches"]]
    assert len(similarities) == 2
    assert similarities == sorted(similarities, reverse=True)
    assert answer["UnmatchedFaces"] == []


def test_a_picture_without_a_face_is_an_invalid_parameter_on_either_side(
    api: Api, photos: dict[str, bytes], empty: bytes
) -> None:
    for source, target in [(photos["obama"], empty), (empty, photos["obama"])]:
        message = api.refused(
            "InvalidParameterException",
            "CompareFaces",
            SourceImage={"Bytes": source},
            TargetImage={"Bytes": target},
        )
        assert message == INVALID


def test_filtered_faces_are_not_compared(
    api: Api, photos: dict[str, bytes], blur_left: Callable[[bytes], bytes]
) -> None:
    blurred = blur_left(photos["both"])
    everything = compare(api, photos["biden"], blurred)
    assert len(everything["FaceMatches"]) == len(everything["UnmatchedFaces"]) == 1
    filtered = compare(api, photos["biden"], blurred, QualityFilter="MEDIUM")
    assert len(filtered["FaceMatches"]) == 1
    assert filtered["UnmatchedFaces"] == []
    message = api.refused(
        "InvalidParameterException",
        "CompareFaces",
        SourceImage={"Bytes": blurred},
        TargetImage={"Bytes": photos["biden"]},
        QualityFilter="MEDIUM",
    )
    assert message == INVALID


@pytest.mark.parametrize(
    "members",
    [
        {"SourceImage": {"Bytes": b"x"}},
        {"TargetImage": {"Bytes": b"x"}},
        {"SourceImage": {}, "TargetImage": {"Bytes": b"x"}},
        {"SourceImage": {"Bytes": b"x"}, "TargetImage": {"Bytes": b"x"}, "SimilarityThreshold": 101},
        {"SourceImage": {"Bytes": b"x"}, "TargetImage": {"Bytes": b"x"}, "QualityFilter": "BEST"},
    ],
    ids=str,
)
def test_members_out_of_range_are_refused(api: Api, members: dict[str, Any]) -> None:
    api.refused("InvalidParameterException", "CompareFaces", **members)
