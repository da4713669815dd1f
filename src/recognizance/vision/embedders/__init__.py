"""Embedders: aligned chips in, embeddings of unit length out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.faces import FloatArray


class Embedder(Protocol):
    """A face embedding network with its own alignment.

    Attributes:
        dimensions: Length of an embedding.
    """

    dimensions: int

    def __call__(self, pixels: NDArray[np.uint8], landmarks: FloatArray) -> FloatArray:
        """Return (n, dimensions) float32 embeddings of unit length of the faces with these (n, 5, 2) landmarks."""
        ...


def normalise(rows: FloatArray) -> FloatArray:
    """Scale each row to unit length."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
