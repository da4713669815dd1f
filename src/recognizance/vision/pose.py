"""Head pose from five landmarks."""

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.faces import FloatArray

# Eye centres, nose tip and mouth corners of an average adult head in millimetres: x right, y down, z towards the
# viewer, all as seen in the picture. Eye distance and heights are anthropometric means (Farkas, Anthropometry of the
# Head and Face, 1994); the depths were chosen so that yaw agrees with FSA-Net's on real portraits.
HEAD = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 38, 38], [-24.5, 68, 12], [24.5, 68, 12]], np.float64)


def head_pose(landmarks: FloatArray) -> FloatArray:
    """Estimate (n, 3) roll, yaw and pitch in degrees from (n, 5, 2) landmarks.

    A scaled orthographic camera is fitted to a rigid head by linear least squares (POS; DeMenthon and Davis, IJCV 15,
    1995). Roll is positive when the head leans clockwise in the picture, yaw when it turns to the picture's right,
    pitch when it looks up. Five points fix roll to a degree or two, yaw and pitch roughly.
    """
    model = HEAD - HEAD.mean(axis=0)
    points = landmarks.astype(np.float64) - landmarks.mean(axis=1, keepdims=True, dtype=np.float64)
    rows = np.einsum("ij,njk->nki", np.linalg.pinv(model), points)  # (n, 2, 3): scaled first two rows of R
    first, second = _unit(rows[:, 0]), rows[:, 1]
    second = _unit(second - (second * first).sum(axis=1, keepdims=True) * first)
    third = np.cross(first, second)
    # In x right, y down, z to the viewer, `third` is where the model's z axis, the way the nose points, would show.
    forward = np.stack([first[:, 2], second[:, 2], third[:, 2]], axis=1)
    yaw = np.arctan2(forward[:, 0], forward[:, 2])
    pitch = np.arcsin(np.clip(-forward[:, 1], -1, 1))
    eyes = landmarks[:, 1] - landmarks[:, 0]
    roll = np.arctan2(eyes[:, 1], eyes[:, 0])
    return np.asarray(np.degrees(np.stack([roll, yaw, pitch], axis=1)), np.float32)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float64)
