"""Finding every face of a picture: small first, enlarged where that may show more."""

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.detectors import Detections, Detector, suppress

# Long sides, in network pixels, that a picture is tried at, in this order, and never beyond its own size.
SIDES = (640, 1280, 1920)
MOST_FACES = 100
# A second look for pictures that seem empty: enlarged for faces too small, shrunk for faces that fill the frame.
RETRY_SIDES = (512, 128)
NOTHING = Detections(*(np.zeros(shape, np.float32) for shape in ((0, 4), (0,), (0, 5, 2))))


def find_faces(detector: Detector, pixels: NDArray[np.uint8]) -> Detections:
    """Find the faces of an RGB picture; the 100 largest, largest area first.

    The picture is enlarged to the next side while the faces found are so small that others nearby may have been
    missed, or while there are none: most pictures hold one large face and are done after the cheapest pass.
    """
    size = max(pixels.shape[:2])
    found = NOTHING
    for side in SIDES:
        scale = min(1.0, side / size)
        found = suppress(_joined(detector(pixels, scale), found), overlap=0.4)
        if scale == 1.0 or not _may_hide_smaller(found, detector.reliable_width / scale):
            break
    for side in RETRY_SIDES:
        if not len(found.scores):
            found = detector(pixels, side / size)
    return _largest(found)


def _may_hide_smaller(found: Detections, reliable_width: float) -> bool:
    if not len(found.scores):
        return True
    widths = found.boxes[:, 2] - found.boxes[:, 0]
    return bool(widths.min() < 2 * reliable_width)


def _joined(first: Detections, second: Detections) -> Detections:
    return Detections(*(np.concatenate(parts) for parts in zip(first, second, strict=True)))


def _largest(found: Detections) -> Detections:
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    order = np.argsort(-sides[:, 0] * sides[:, 1], kind="stable")
    return found.take(order[:MOST_FACES])
