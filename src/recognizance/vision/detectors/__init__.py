"""Face detectors: each finds boxes, scores and five landmarks at one scale."""

from typing import NamedTuple, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizance.vision.faces import FloatArray

STRIDE = 32


class Detections(NamedTuple):
    """What a detector found: (n, 4) boxes, (n,) scores and (n, 5, 2) landmarks, float32, in picture pixels."""

    boxes: FloatArray
    scores: FloatArray
    landmarks: FloatArray

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return the detections of these rows."""
        return type(self)(self.boxes[rows], self.scores[rows], self.landmarks[rows])

    def scaled(self, factor: float) -> Self:
        """Return the detections with every coordinate multiplied."""
        scale = np.float32(factor)
        return type(self)(self.boxes * scale, self.scores, self.landmarks * scale)


class Detector(Protocol):
    """A face detector.

    Attributes:
        reliable_width: Width in network pixels from which faces are found as a rule; smaller ones want enlarging.
    """

    reliable_width: float

    def __call__(self, pixels: NDArray[np.uint8], scale: float) -> Detections:
        """Find faces in an RGB picture after resizing it by ``scale``; coordinates are those of the given picture."""
        ...


def network_input(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize an RGB picture and pad it right and below with black to whole strides of 32 pixels."""
    height, width = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
    if (height, width) != pixels.shape[:2]:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)
    below, right = -height % STRIDE, -width % STRIDE
    if below or right:
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT), np.uint8)
    return pixels


def suppress(found: Detections, overlap: float) -> Detections:
    """Keep the best of detections that overlap by more than this intersection over union; best score first."""
    if not len(found.scores):
        return found
    sides = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(sides.tolist(), found.scores.tolist(), 0.0, overlap)
    return found.take(np.asarray(kept, np.intp).reshape(-1))
