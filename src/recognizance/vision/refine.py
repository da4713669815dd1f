"""Refining landmarks: a second look at each face, cut out at the size that the landmark network likes best.

YuNet finds faces in little time, but places their landmarks loosely; an embedding is only as good as its alignment.
CenterFace, run on nothing but a small crop of each face, places them far better (docs/adr/0007 has the figures).
"""

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.align import warp
from recognizance.vision.detectors.centerface import CenterFace
from recognizance.vision.faces import FloatArray
from recognizance.vision.runtime import Batcher

SIDE = 96
# The crop's side in parts of the face box's longer side.
MARGIN = 1.5
# How far, in parts of the crop, the face seen again may lie from its middle: beyond is a neighbour.
OFF_CENTRE = 1 / 6
BATCH = 16


class LandmarkRefiner:
    """Finds the five landmarks of known faces again, in crops of one size. Threads share batches.

    Args:
        network: What looks at the crops.
    """

    def __init__(self, network: CenterFace) -> None:
        self._network = network
        self._batch = Batcher(self._find, BATCH)

    def __call__(self, pixels: NDArray[np.uint8], boxes: FloatArray, landmarks: FloatArray) -> FloatArray:
        """Return (n, 5, 2) landmarks of the faces in these (n, 4) boxes; a face not seen again keeps its own."""
        if not len(boxes):
            return landmarks
        scales = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1) * (MARGIN / SIDE)
        corners = (boxes[:, :2] + boxes[:, 2:]) / 2 - scales[:, None] * (SIDE / 2)
        crops = np.empty((len(boxes), SIDE, SIDE, 3), np.uint8)
        for i, (scale, (x, y)) in enumerate(zip(scales, corners, strict=True)):
            crops[i] = warp(
                pixels, np.array([[1 / scale, 0, -x / scale], [0, 1 / scale, -y / scale]], np.float32), SIDE
            )
        found = self._batch(crops)
        seen = np.isfinite(found[:, :1, :1])
        return np.where(seen, found * scales[:, None, None] + corners[:, None], landmarks).astype(np.float32)

    def _find(self, crops: NDArray[np.uint8]) -> FloatArray:
        """Return the landmarks of the face in the middle of each (n, SIDE, SIDE, 3) crop; NaN where there is none."""
        result = np.full((len(crops), 5, 2), np.nan, np.float32)
        for i, seen in enumerate(self._network.batch(crops)):
            centres = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
            central = np.abs(centres - SIDE / 2).max(axis=1, initial=0) < SIDE * OFF_CENTRE
            if central.any():
                result[i] = seen.landmarks[int(np.argmax(np.where(central, seen.scores, 0)))]
        return result
