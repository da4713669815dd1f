"""Alignment: five landmarks to the chip that an embedding network was trained on."""

import cv2
import numpy as np
from numpy.typing import NDArray

from recognizance.vision.faces import FloatArray


def similarity_transforms(landmarks: FloatArray, template: FloatArray) -> FloatArray:
    """Return the (n, 2, 3) similarity transforms that best map (n, 5, 2) landmarks onto a (5, 2) template.

    Least squares over rotation, scale and shift (Umeyama, PAMI 13(4), 1991), which in the plane is a linear problem
    in complex numbers: minimise the sum of |a z + b - w|^2.
    """
    z = landmarks[..., 0] + 1j * landmarks[..., 1]
    w = template[:, 0] + 1j * template[:, 1]
    z_mean, w_mean = z.mean(axis=1, keepdims=True), w.mean()
    centred = z - z_mean
    spread = np.maximum((np.abs(centred) ** 2).sum(axis=1), 1e-6)
    a = (centred.conj() * (w - w_mean)).sum(axis=1) / spread
    b = w_mean - a * z_mean[:, 0]
    rows = np.stack([a.real, -a.imag, b.real, a.imag, a.real, b.imag], axis=1)
    return rows.reshape(-1, 2, 3).astype(np.float32)


def chips(pixels: NDArray[np.uint8], landmarks: FloatArray, template: FloatArray, side: int) -> NDArray[np.uint8]:
    """Cut (n, side, side, 3) uint8 RGB chips of the faces with these landmarks out of an RGB picture."""
    result = np.empty((len(landmarks), side, side, 3), np.uint8)
    for i, transform in enumerate(similarity_transforms(landmarks, template)):
        result[i] = warp(pixels, transform, side)
    return result


def warp(pixels: NDArray[np.uint8], transform: FloatArray, side: int) -> NDArray[np.uint8]:
    """Return the (side, side, 3) part of a picture that a (2, 3) similarity transform maps onto it.

    A face much larger than the result is shrunk by area averaging first: a bilinear warp alone would skip pixels and
    alias. What lies beyond the picture's edge repeats the edge.
    """
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if scale < 0.5:
        pixels, transform = _shrunk_region(pixels, transform, side, scale)
    chip = cv2.warpAffine(pixels, transform, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(chip, np.uint8)


def _shrunk_region(
    pixels: NDArray[np.uint8], transform: FloatArray, side: int, scale: float
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Return the part of the picture that the chip shows, shrunk by a whole factor, and the transform from it."""
    factor = int(1 / scale)
    inverse = cv2.invertAffineTransform(transform)
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float32) @ inverse[:, :2].T + inverse[:, 2]
    height, width = pixels.shape[:2]
    x1, y1 = np.clip(np.floor(corners.min(axis=0)) - factor, 0, [width - 1, height - 1]).astype(int)
    x2, y2 = np.clip(np.ceil(corners.max(axis=0)) + factor, [x1 + 1, y1 + 1], [width, height]).astype(int)
    wide, high = max(1, (x2 - x1) // factor), max(1, (y2 - y1) // factor)
    small = cv2.resize(pixels[y1:y2, x1:x2], (wide, high), interpolation=cv2.INTER_AREA)
    # cv2.resize keeps pixel areas, not pixel centres: centre c of the small picture lies at (c + 0.5) * f - 0.5.
    fx, fy = (x2 - x1) / wide, (y2 - y1) / high
    to_picture = np.array([[fx, 0, x1 + fx / 2 - 0.5], [0, fy, y1 + fy / 2 - 0.5], [0, 0, 1]], np.float64)
    return np.asarray(small, np.uint8), (transform.astype(np.float64) @ to_picture).astype(np.float32)
