"""How fit a face is for recognition, and which bar of the QualityFilter it misses.

Brightness and sharpness run from 0 to 100, higher is brighter or sharper, as in Rekognition's ImageQuality
(https://docs.aws.amazon.com/rekognition/latest/APIReference/API_ImageQuality.html). Face quality is ours: the
probability, in percent, that this face is found by a search at similarity 80 where a good picture of the same person
is in the gallery, predicted by a logistic regression of each model contract (training/quality.py).
"""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizance.vision.align import chips
from recognizance.vision.faces import Faces, FloatArray

Filter = Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"]

CHIP_SIDE = 96
# Landmark positions in a chip that holds the face from brows to chin and little else.
CHIP_TEMPLATE = np.array([[30, 34], [66, 34], [48, 56], [33, 74], [63, 74]], np.float32)
# The deviation of the Laplacian at which sharpness is 63; in-focus portraits reach about twice that.
SHARP_DEVIATION = 14.0


@dataclass(frozen=True, slots=True)
class Bar:
    """The least a face must have to pass a QualityFilter; units as in :class:`recognizance.vision.faces.Faces`."""

    score: float
    width: float
    brightness: float
    sharpness: float
    turn: float
    quality: float


# AUTO keeps what a person could still use as a lead; each further bar about halves the share that a search misses.
BARS: dict[Filter, Bar] = {
    "LOW": Bar(score=0.50, width=16, brightness=8, sharpness=5, turn=80, quality=10),
    "AUTO": Bar(score=0.55, width=20, brightness=12, sharpness=8, turn=70, quality=25),
    "MEDIUM": Bar(score=0.60, width=32, brightness=15, sharpness=15, turn=55, quality=60),
    "HIGH": Bar(score=0.65, width=50, brightness=20, sharpness=25, turn=40, quality=85),
}


def measure(pixels: NDArray[np.uint8], faces: Faces, weights: FloatArray) -> Faces:
    """Fill brightness, sharpness and quality of faces whose pose is known.

    Args:
        pixels: The RGB picture.
        faces: Its faces.
        weights: (7,) logistic regression weights for the columns of :func:`features`.
    """
    if not len(faces):
        return faces
    rows = chips(pixels, faces.landmarks, CHIP_TEMPLATE, CHIP_SIDE)
    grey = [cv2.cvtColor(row, cv2.COLOR_RGB2GRAY) for row in rows]
    brightness = np.array([image.mean() / 2.55 for image in grey], np.float32)
    deviation = np.array([cv2.Laplacian(image, cv2.CV_32F).std() for image in grey], np.float32)
    sharpness = (100 * (1 - np.exp(-deviation / SHARP_DEVIATION))).astype(np.float32)
    measured = replace(faces, brightness=brightness, sharpness=sharpness)
    quality = 100 / (1 + np.exp(-features(measured) @ weights))
    return replace(measured, quality=quality.astype(np.float32))


def features(faces: Faces) -> FloatArray:
    """Return the (n, 7) inputs of the quality regression: constant, size, sharpness, light, yaw, pitch and score."""
    widths = np.clip(faces.boxes[:, 2] - faces.boxes[:, 0], 4, 128)
    turn = np.abs(faces.pose[:, 1:])
    columns = [
        np.ones(len(faces)),
        np.log2(widths / 64),
        faces.sharpness / 100,
        np.minimum(faces.brightness, 40) / 40,
        np.minimum(turn[:, 0], 90) / 90,
        np.minimum(turn[:, 1], 90) / 90,
        faces.scores,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def rejections(faces: Faces, chosen: Filter) -> list[list[str]]:
    """Return for each face the reasons why this QualityFilter drops it; an empty list for a face that passes.

    The reasons are the values of Rekognition's UnindexedFace.Reasons
    (https://docs.aws.amazon.com/rekognition/latest/APIReference/API_UnindexedFace.html).
    """
    if chosen == "NONE":
        return [[] for _ in range(len(faces))]
    bar = BARS[chosen]
    failed = {
        "EXTREME_POSE": np.abs(faces.pose[:, 1:]).max(axis=1, initial=0) > bar.turn,
        "LOW_BRIGHTNESS": faces.brightness < bar.brightness,
        "LOW_SHARPNESS": faces.sharpness < bar.sharpness,
        "LOW_CONFIDENCE": faces.scores < bar.score,
        "SMALL_BOUNDING_BOX": faces.boxes[:, 2] - faces.boxes[:, 0] < bar.width,
        "LOW_FACE_QUALITY": faces.quality < bar.quality,
    }
    return [[reason for reason, flags in failed.items() if flags[i]] for i in range(len(faces))]
