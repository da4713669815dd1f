"""The value object that every detector and embedder meets in."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one picture, as arrays with one row a face.

    Attributes:
        image_size: Width and height of the upright picture in pixels.
        boxes: (n, 4) float32, pixels ``x1, y1, x2, y2`` of the upright picture; may reach beyond its edges.
        scores: (n,) float32, the detector's confidence, 0 to 1.
        landmarks: (n, 5, 2) float32 pixels: left eye, right eye, nose, left and right mouth corner, where
            left is the smaller x of an upright frontal face.
        pose: (n, 3) float32 degrees: roll, yaw, pitch, in Rekognition's signs.
        brightness: (n,) float32, 0 (dark) to 100 (bright).
        sharpness: (n,) float32, 0 (blurred) to 100 (sharp).
        quality: (n,) float32, 0 to 100: how fit the face is for recognition, all causes together.
        embeddings: (n, d) float32 of unit length, or None before they are computed.
        impostor_levels: (n,) float32: the mean cosine to the most similar other people, predicted; None likewise.

    Raises:
        ValueError: Rows or shapes that do not fit together, or values that are not finite.
    """

    image_size: tuple[int, int]
    boxes: FloatArray
    scores: FloatArray
    landmarks: FloatArray
    pose: FloatArray
    brightness: FloatArray
    sharpness: FloatArray
    quality: FloatArray
    embeddings: FloatArray | None = None
    impostor_levels: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        shapes: dict[str, tuple[int, ...]] = {
            "boxes": (n, 4),
            "scores": (n,),
            "landmarks": (n, 5, 2),
            "pose": (n, 3),
            "brightness": (n,),
            "sharpness": (n,),
            "quality": (n,),
            "impostor_levels": (n,),
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "image_size" or value is None:
                continue
            if value.dtype != np.float32 or not np.isfinite(value).all():
                raise ValueError(f"{field.name} must be finite float32, got {value.dtype}")
            shape = shapes.get(field.name, (n, value.shape[-1]))
            if value.shape != shape:
                raise ValueError(f"{field.name} has shape {value.shape}, not {shape}")
        if (self.embeddings is None) != (self.impostor_levels is None):
            raise ValueError("embeddings and impostor_levels come together")

    @classmethod
    def detected(
        cls, image_size: tuple[int, int], boxes: FloatArray, scores: FloatArray, landmarks: FloatArray
    ) -> Self:
        """Build faces as a detector leaves them: pose and quality not yet measured, and zero."""
        n = len(boxes)
        zeros = np.zeros(n, np.float32)
        return cls(image_size, boxes, scores, landmarks, np.zeros((n, 3), np.float32), zeros, zeros, zeros)

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Self]:
        return (self[i : i + 1] for i in range(len(self)))

    def __getitem__(self, rows: slice | NDArray[np.intp] | NDArray[np.bool_] | list[int]) -> Self:
        """Return the faces of these rows, in this order."""
        chosen: dict[str, Any] = {
            field.name: None if (value := getattr(self, field.name)) is None else value[rows]
            for field in fields(self)
            if field.name != "image_size"
        }
        return replace(self, **chosen)

    @property
    def areas(self) -> FloatArray:
        """Return the (n,) areas of the boxes in square pixels."""
        sides = np.maximum(self.boxes[:, 2:] - self.boxes[:, :2], 0)
        return np.asarray(sides[:, 0] * sides[:, 1], np.float32)

    @property
    def box_ratios(self) -> FloatArray:
        """Return the (n, 4) boxes as Rekognition gives them: left, top, width, height as ratios of the picture."""
        width, height = self.image_size
        scale = np.array([width, height], np.float32)
        return np.concatenate([self.boxes[:, :2] / scale, (self.boxes[:, 2:] - self.boxes[:, :2]) / scale], axis=1)

    def most_prominent(self) -> Self:
        """Return the one face that a portrait is of: large and near the middle; none of no faces.

        The area less twice the squared distance of the box's middle from the picture's, as the tools of FaceNet choose
        it (https://github.com/davidsandberg/facenet, align_dataset_mtcnn.py): in press photos the largest face is
        often a bystander's.
        """
        if not len(self):
            return self
        offsets = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2 - np.array(self.image_size, np.float32) / 2
        best = int(np.argmax(self.areas - 2 * (offsets**2).sum(axis=1)))
        return self[best : best + 1]
