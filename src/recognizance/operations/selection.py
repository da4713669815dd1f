"""Which of a picture's faces an operation works on, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np

from recognizance.vision.quality import rejections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_rekognition.literals import QualityFilterType, ReasonType, UnsearchedFaceReasonType

    from recognizance.vision.faces import Faces

_LEVELS: tuple[QualityFilterType, ...] = ("LOW", "AUTO", "MEDIUM", "HIGH")


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Selection(Generic[R]):
    """The outcome of choosing among a picture's faces.

    Attributes:
        kept: Rows of the faces that were chosen, in their order.
        reasons: Why the others were not, by row.
    """

    kept: list[int]
    reasons: Mapping[int, list[R]]


def select_to_index(faces: Faces, quality_filter: QualityFilterType, max_faces: int | None) -> Selection[ReasonType]:
    """Choose the faces that IndexFaces stores, in the order of work that the API reference gives.

    Faces that the quality filter rejects go first. When more than ``max_faces`` are left, those of the lowest quality
    go (by how many of the filter's own bars they pass), and among equals the smallest.
    """
    rejected = cast("list[list[ReasonType]]", rejections(faces, quality_filter))
    reasons = {row: why for row, why in enumerate(rejected) if why}
    kept = [row for row in range(len(faces)) if row not in reasons]
    if max_faces is not None and len(kept) > max_faces:
        levels = _quality_levels(faces)
        areas = faces.areas
        best = sorted(kept, key=lambda row: (-levels[row], -areas[row]))[:max_faces]
        reasons |= {row: ["EXCEEDS_MAX_FACES"] for row in kept if row not in best}
        kept = sorted(best)
    return Selection(kept, reasons)


def _quality_levels(faces: Faces) -> list[int]:
    """Return for each face how many of the filter's bars it passes, 0 to 4."""
    passed = [[not why for why in rejections(faces, level)] for level in _LEVELS]
    return [sum(levels) for levels in zip(*passed, strict=True)]


def only_good(faces: Faces, quality_filter: QualityFilterType) -> Faces:
    """Return the faces that the quality filter lets pass."""
    return faces[np.array([not why for why in rejections(faces, quality_filter)], dtype=np.bool_)]


def select_largest(faces: Faces, quality_filter: QualityFilterType) -> Selection[UnsearchedFaceReasonType]:
    """Choose the largest face to search with, or none when the quality filter rejects it.

    A rejected face is not replaced by the next largest: the caller would be answered about somebody else.
    """
    rejected = cast("list[list[UnsearchedFaceReasonType]]", rejections(faces, quality_filter))
    for why in rejected[1:]:
        why.append("FACE_NOT_LARGEST")
    reasons = {row: why for row, why in enumerate(rejected) if why}
    return Selection([0] if len(faces) and not rejected[0] else [], reasons)


def largest_if_good(faces: Faces, quality_filter: QualityFilterType) -> Faces:
    """Return the largest face alone, or none when there is none or the quality filter rejects it.

    A rejected face is not replaced by the next largest: the caller would be answered about somebody else.
    """
    return only_good(faces[:1], quality_filter)
