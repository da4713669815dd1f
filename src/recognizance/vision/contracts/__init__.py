"""Model contracts: which networks work together, and what their scores mean.

A collection is pinned to the contract it was made with; embeddings of two contracts are never compared. The numbers
of each contract (similarity table, quality weights) are data, written by the scripts in training/ with a data card.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from recognizance.core.errors import SetupError
from recognizance.vision.faces import FloatArray

# Best first: what `auto` takes for new collections is the first that is installed.
NAMES = ("standard", "core")


@dataclass(frozen=True, slots=True, eq=False)
class Contract:
    """One way of finding and telling apart faces.

    Attributes:
        name: ``core`` or ``standard``.
        version: Digits and dots, the FaceModelVersion of the API. The first number names the contract, the second
            changes whenever an embedding, an impostor level or the meaning of a similarity does.
        detector: Model name of the detector.
        refiner: Model name of the network that places its landmarks better, if it needs one.
        embedder: Model name of the embedding network.
        impostor: Model name of the impostor-level network.
        dimensions: Length of an embedding.
        scores: (k,) ascending scores of the similarity table.
        similarities: (k,) ascending similarities, 0 to 100, of these scores.
        quality_weights: (7,) weights of the quality regression.
    """

    name: str
    version: str
    detector: str
    refiner: str | None
    embedder: str
    impostor: str
    dimensions: int
    scores: NDArray[np.float64]
    similarities: NDArray[np.float64]
    quality_weights: FloatArray

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that must be installed."""
        return tuple(name for name in (self.detector, self.refiner, self.embedder, self.impostor) if name)

    def similarity(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the similarities, 0 to 100, of scores: 80, 90 and 99 at false match rates 1e-3, 1e-4 and 1e-6.

        A score is the cosine of two embeddings minus the mean of the two faces' impostor levels.
        """
        return np.asarray(np.interp(np.asarray(scores, np.float64), self.scores, self.similarities), np.float64)

    def score(self, similarity: float) -> float:
        """Return the score from which pairs have this similarity; minus infinity for 0, which every pair reaches."""
        if similarity <= 0:
            return -np.inf
        return float(np.interp(similarity, self.similarities, self.scores))


@cache
def load_contract(name: str) -> Contract:
    """Load a contract by name.

    Raises:
        SetupError: There is none of this name.
    """
    if name not in NAMES:
        raise SetupError(f"There is no model contract {name!r}; choose one of: {', '.join(NAMES)}.")
    data = orjson.loads(resources.files(__name__).joinpath(f"{name}.json").read_bytes())
    return Contract(
        name=name,
        version=data["version"],
        detector=data["detector"],
        refiner=data["refiner"],
        embedder=data["embedder"],
        impostor=data["impostor"],
        dimensions=data["dimensions"],
        scores=np.array(data["similarity_table"]["scores"], np.float64),
        similarities=np.array(data["similarity_table"]["similarities"], np.float64),
        quality_weights=np.array(data["quality"]["weights"], np.float32),
    )


def contract_of_version(version: str) -> Contract:
    """Return the contract that a collection of this FaceModelVersion is pinned to.

    Raises:
        SetupError: This release has no such contract; the message names the cure.
    """
    for name in NAMES:
        if (contract := load_contract(name)).version == version:
            return contract
    known = ", ".join(f"{load_contract(name).version} ({name})" for name in NAMES)
    raise SetupError(
        f"The collection was made with face model {version}, which this release does not have; it has {known}. "
        "Use the release that made the collection, or index its pictures again into a new one."
    )
