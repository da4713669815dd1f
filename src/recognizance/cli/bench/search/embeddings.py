"""Real embeddings from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile

from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from recognizance.vision.faces import FloatArray

_LEAST = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Faces of people.

    Attributes:
        vectors: (n, d + 1) float32 stored vectors; see ``collections.vectors``.
        people: (n,) whose face each is.
    """

    vectors: FloatArray
    people: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of numpy's.

        It is an ``.npz`` with ``embeddings`` (n, d); where they are known ``levels`` (n,), the impostor levels; and
        ``people`` (n,), names or numbers, empty where unknown.

        Raises:
            SetupError: It is no such file, or has too few faces or nobody twice.
        """
        try:
            file = np.load(path, allow_pickle=False)
            if not isinstance(file, NpzFile):
                raise SetupError(f"{path} is not an .npz file of numpy's: it holds a single array.")
            with file:
                found = {name: file[name] for name in file.files}
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, EOFError, BadZipFile) as error:
            raise SetupError(f"{path} is not an .npz file of numpy's: {error}") from error
        return cls._of(path, found)

    @classmethod
    def _of(cls, path: Path, found: dict[str, NDArray[Any]]) -> Self:
        embeddings = found.get("embeddings")
        if embeddings is None or embeddings.ndim != 2 or len(embeddings) < _LEAST:
            raise SetupError(f"{path} has no array `embeddings` of {_LEAST:,} rows or more.")
        count = len(embeddings)
        levels, people = found.get("levels", np.zeros(count)), found.get("people", np.full(count, ""))
        if levels.shape != (count,) or people.shape != (count,):
            raise SetupError(f"In {path}, `levels` and `people` must have one entry for each of the embeddings.")
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        if not np.isfinite(embeddings).all() or not lengths.all() or not np.isfinite(levels).all():
            raise SetupError(f"{path} has embeddings that are zero, or numbers that are not finite.")
        vectors = np.concatenate([embeddings / lengths, -levels[:, None] / 2], axis=1).astype(np.float32)
        numbers = np.unique(people, return_inverse=True)[1].astype(np.int64)
        unknown = np.flatnonzero(people.astype(str) == "")
        numbers[unknown] = count + unknown  # somebody each
        made = cls(vectors, numbers)
        if not len(made.one_of_each_pair(np.random.default_rng(0))):
            raise SetupError(f"{path} has nobody with two faces or more; whose they are belongs into `people`.")
        return made

    def __len__(self) -> int:
        return len(self.vectors)

    def one_of_each_pair(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Return one row of everybody who has two or more, in random order."""
        order = random.permutation(len(self))
        _, first, counts = np.unique(self.people[order], return_index=True, return_counts=True)
        chosen: NDArray[np.int64] = random.permutation(order[first[counts > 1]])
        return chosen

    def one_each(self, random: np.random.Generator) -> FloatArray:
        """Return the vector of one face of everybody."""
        order = random.permutation(len(self))
        vectors: FloatArray = self.vectors[order[np.unique(self.people[order], return_index=True)[1]]]
        return vectors
