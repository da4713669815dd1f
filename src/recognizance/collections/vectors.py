"""The form in which embeddings are stored and searched.

The score of a pair of faces is the cosine of their embeddings ``g`` and ``q`` minus half of each one's impostor level
``m``. Stored as ``[g, -m(g)/2]`` and asked as ``[q, 1]``, a dot product gives all of it but ``m(q)/2``, which is the
same for every stored face. So any index of inner products searches by score.
"""

import numpy as np
from numpy.typing import NDArray

from recognizance.vision.faces import FloatArray

STORED = np.dtype("<f2")


def stored(embeddings: FloatArray, impostor_levels: FloatArray) -> NDArray[np.float16]:
    """Return the (n, d + 1) vectors to store, from (n, d) embeddings and (n,) impostor levels."""
    return np.concatenate([embeddings, -impostor_levels[:, None] / 2], axis=1).astype(STORED)


def probes(embeddings: FloatArray) -> FloatArray:
    """Return the (k, d + 1) vectors to search with, from (k, d) embeddings."""
    return np.concatenate([embeddings, np.ones((len(embeddings), 1), np.float32)], axis=1)


def embedding_and_level(vectors: NDArray[np.float16]) -> tuple[FloatArray, FloatArray]:
    """Return the (n, d) embeddings and (n,) impostor levels of stored vectors."""
    wide = vectors.astype(np.float32)
    return wide[:, :-1], -2 * wide[:, -1]


def from_rows(rows: list[bytes]) -> NDArray[np.float16]:
    """Return the (n, d + 1) vectors of at least one row's bytes."""
    return np.frombuffer(b"".join(rows), STORED).reshape(len(rows), -1)


def aggregate(vectors: NDArray[np.float16]) -> NDArray[np.float16]:
    """Return the stored vector of a user, (d + 1,), from those of its faces, (n, d + 1) with n at least 1.

    The embedding is the faces' mean, brought back to unit length. Against a stranger the mean's cosine is the mean of
    the faces' cosines, divided by the mean's length; an impostor level is an expected cosine, so it scales likewise.
    Faces whose mean vanishes (opposite embeddings) have no common direction: the first one stands for the user.
    """
    embeddings, levels = embedding_and_level(vectors)
    mean = embeddings.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < 1e-3:
        first: NDArray[np.float16] = vectors[0]
        return first
    whole: NDArray[np.float16] = stored(mean[None] / length, levels.mean(keepdims=True) / length)[0]
    return whole
