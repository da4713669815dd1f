"""CenterFace: an anchor-free detector at stride 4 (Xu et al., 2019, https://arxiv.org/abs/1911.03599)."""

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.detectors import Detections, network_input, suppress
from recognizance.vision.faces import FloatArray
from recognizance.vision.runtime import Network

STRIDE = 4


class CenterFace:
    """Finds faces from about 20 network pixels wide.

    Args:
        network: (1, 3, h, w) RGB 0..255 to heat map, log sizes, offsets and landmarks at a quarter of the size.
        threshold: Least score that counts as a face.
    """

    reliable_width = 24.0

    def __init__(self, network: Network, threshold: float = 0.5) -> None:
        self._network, self._threshold = network, threshold

    def __call__(self, pixels: NDArray[np.uint8], scale: float) -> Detections:
        """Find faces at one scale; see :class:`recognizance.vision.detectors.Detector`."""
        (found,) = self.batch(network_input(pixels, scale)[None])
        return found.scaled(1 / scale)

    def batch(self, pictures: NDArray[np.uint8]) -> list[Detections]:
        """Find faces in each of (n, h, w, 3) RGB pictures whose sides are multiples of 32."""
        planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)
        outputs = self._network(planes)
        return [suppress(self._decode(heat[0], *rest), overlap=0.3) for heat, *rest in zip(*outputs, strict=True)]

    def _decode(
        self, heat: FloatArray, log_sizes: FloatArray, offsets: FloatArray, landmarks: FloatArray
    ) -> Detections:
        rows, columns = np.nonzero(heat > self._threshold)
        high, wide = np.exp(np.clip(log_sizes[:, rows, columns], -4, 8)) * STRIDE
        x1 = (columns + offsets[1, rows, columns] + 0.5) * STRIDE - wide / 2
        y1 = (rows + offsets[0, rows, columns] + 0.5) * STRIDE - high / 2
        points = landmarks[:, rows, columns].T.reshape(-1, 5, 2)[..., ::-1]  # stored as y, x in parts of the box
        corner, size = np.stack([x1, y1], axis=1), np.stack([wide, high], axis=1)
        boxes = np.concatenate([corner, corner + size], axis=1)
        return Detections(
            boxes.astype(np.float32),
            heat[rows, columns],
            # As in the authors' decoder, both coordinates of a landmark are scaled from the box's corner.
            (corner[:, None] + points * size[:, None]).astype(np.float32),
        )
