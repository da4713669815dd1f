"""The two embedding networks, which differ in template, chip size and input scaling alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.align import chips
from recognizance.vision.embedders import normalise
from recognizance.vision.faces import FloatArray
from recognizance.vision.runtime import Batcher, Network

# Faces per batch. Larger batches gain nothing on two cores and delay whoever waits.
BATCH = 16


@dataclass(frozen=True, slots=True)
class ChipFormat:
    """What an embedding network expects.

    Attributes:
        side: Width and height of a chip in pixels.
        template: (5, 2) landmark positions in the chip.
        mean: Subtracted from each RGB channel, 0..255.
        deviation: Divided by, per channel.
        mirrored: Whether a face is embedded as the mean of its chip and the chip's mirror image, which costs as much
            again and takes out part of what pose, light and loose landmarks do.
    """

    side: int
    template: FloatArray
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mirrored: bool = False


# Fitted on detector landmarks of chips that dlib's own aligner made; dlib's normalisation is inside the converted
# network.
DLIB = ChipFormat(
    150,
    np.array([[47.6, 47.2], [102.9, 46.1], [75.0, 79.0], [50.7, 104.6], [97.0, 103.8]], np.float32),
    mirrored=True,
)

# The template of InsightFace's ArcFace; mean and deviation of ImageNet, as in the authors' code. With refined landmarks
# the mirror image adds 0.3 points to what is found at FMR 1e-4, and is not worth half of the speed.
MOBILEFACENET = ChipFormat(
    112,
    np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
        np.float32,
    ),
    mean=(123.675, 116.28, 103.53),
    deviation=(58.395, 57.12, 57.375),
)


class ChipEmbedder:
    """Embeds faces from chips; threads share batches.

    Args:
        network: (n, 3, side, side) RGB to n embeddings, in whatever output shape.
        chip: What the network expects.
        dimensions: Length of an embedding.
    """

    def __init__(self, network: Network, chip: ChipFormat, dimensions: int) -> None:
        self._network, self._chip, self.dimensions = network, chip, dimensions
        self._mean = np.array(chip.mean, np.float32)
        self._deviation = np.array(chip.deviation, np.float32)
        self._batch = Batcher(self._embed, BATCH)

    def __call__(self, pixels: NDArray[np.uint8], landmarks: FloatArray) -> FloatArray:
        """Embed faces; see :class:`recognizance.vision.embedders.Embedder`."""
        if not len(landmarks):
            return np.zeros((0, self.dimensions), np.float32)
        return self._batch(chips(pixels, landmarks, self._chip.template, self._chip.side))

    def _embed(self, rows: NDArray[np.uint8]) -> FloatArray:
        planes = ((rows - self._mean) / self._deviation).transpose(0, 3, 1, 2)
        if self._chip.mirrored:
            planes = np.concatenate([planes, planes[..., ::-1]])
        batch = np.ascontiguousarray(planes, np.float32)
        # MobileFaceNet's own last reshape joins the rows of a batch, hence the reshape here.
        outputs = normalise(self._network(batch)[0].reshape(len(batch), self.dimensions))
        return normalise(outputs[: len(rows)] + outputs[len(rows) :]) if self._chip.mirrored else outputs
