"""YuNet: a small anchor-free detector on three strides (Wu et al., 2023, https://doi.org/10.1007/s11633-023-1423-y)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizance.vision.detectors import Detections, network_input, suppress
from recognizance.vision.faces import FloatArray
from recognizance.vision.runtime import Network

STRIDES = (8, 16, 32)


class YuNet:
    """Finds faces from about 10 network pixels wide.

    Args:
        network: (1, 3, h, w) BGR 0..255 to class, objectness, box and landmark outputs on strides 8, 16 and 32.
        threshold: Least score that counts as a face.
    """

    reliable_width = 12.0

    def __init__(self, network: Network, threshold: float = 0.6) -> None:
        self._network, self._threshold = network, threshold

    def __call__(self, pixels: NDArray[np.uint8], scale: float) -> Detections:
        """Find faces at one scale; see :class:`recognizance.vision.detectors.Detector`."""
        blob = np.asarray(cv2.dnn.blobFromImage(network_input(pixels, scale), swapRB=True), np.float32)
        outputs = self._network(blob)
        columns = [blob.shape[3] // stride for stride in STRIDES]
        levels = [
            self._decode([output[0] for output in outputs[i::3]], stride, wide)
            for i, (stride, wide) in enumerate(zip(STRIDES, columns, strict=True))
        ]
        found = Detections(*(np.concatenate(parts) for parts in zip(*levels, strict=True)))
        return suppress(found, overlap=0.3).scaled(1 / scale)

    def _decode(self, outputs: list[FloatArray], stride: int, columns: int) -> Detections:
        """Decode one stride, as OpenCV's FaceDetectorYN does: the score is the geometric mean of both confidences."""
        classes, objectness, boxes, landmarks = outputs
        scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objectness[:, 0], 0, 1))
        cells = np.nonzero(scores > self._threshold)[0]
        anchors = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
        centres = (anchors + boxes[cells, :2]) * stride
        halves = np.exp(np.clip(boxes[cells, 2:], -8, 8)) * (stride / 2)
        points = (anchors[:, None] + landmarks[cells].reshape(-1, 5, 2)) * stride
        return Detections(
            np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32),
            scores[cells],
            points.astype(np.float32),
        )
