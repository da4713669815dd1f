"""The faces that our small networks and tables are made from, embedded once and kept in a cache.

Labeled Faces in the Wild (people in folders, one picture a file) and UTKFace (``age_gender_race_time.jpg``). Only the
most prominent face of a picture counts. The pictures themselves never leave their folder, and nothing derived from a
single person's face is written into the project.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognizance.core.errors import ServiceError
from recognizance.core.settings import load_settings
from recognizance.vision.analyser import Analysers, FaceAnalyser
from recognizance.vision.faces import FloatArray
from recognizance.vision.image import Picture, decode


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Embedded pictures of one data set.

    Attributes:
        names: (n,) file names.
        embeddings: (n, d) float32 of unit length.
    """

    names: NDArray[np.str_]
    embeddings: FloatArray

    def fields(self, position: int) -> NDArray[np.str_]:
        """Return part ``position`` of each UTKFace file name: 0 is the age, 1 the gender, 2 the group."""
        return np.array([name.rsplit("/", 1)[-1].split("_")[position] for name in self.names])

    @property
    def people(self) -> NDArray[np.intp]:
        """Number the people of an LFW-like tree by their folder."""
        return np.unique([name.split("/")[0] for name in self.names], return_inverse=True)[1]


def arguments(description: str | None) -> argparse.Namespace:
    """Parse the options that every training script has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw/ and utkface/")
    parser.add_argument("--contract", choices=("core", "standard"), required=True)
    parser.add_argument("--cache", type=Path, default=Path("build/training"), help="folder for embeddings")
    return parser.parse_args()


def analyser(contract: str) -> FaceAnalyser:
    """Load the analyser of a contract with the user's own settings."""
    return Analysers(load_settings()).get(contract)


def pictures(root: Path, paths: list[Path]) -> Iterator[tuple[str, Picture]]:
    """Decode pictures, with their paths from the root; those that do not decode are passed over."""
    for path in paths:
        try:
            yield path.relative_to(root).as_posix(), decode(path.read_bytes())
        except ServiceError as error:
            print(f"{path}: {error}")


def gallery(options: argparse.Namespace, name: str) -> Gallery:
    """Embed every picture of ``lfw`` or ``utkface``, or read what an earlier run embedded."""
    kept = options.cache / f"{name}-{options.contract}.npz"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        root = options.data / name
        network = analyser(options.contract)
        names: list[str] = []
        rows: list[FloatArray] = []
        for path, picture in pictures(root, sorted(root.rglob("*.jpg"))):
            face = network.embed(picture, network.detect(picture).most_prominent())
            if face.embeddings is not None and len(face):
                names.append(path)
                rows.append(face.embeddings)
            if len(names) % 1000 == 0:
                print(f"{name}: {len(names)} faces", flush=True)
        np.savez(kept, names=np.array(names), embeddings=np.concatenate(rows))
    data = np.load(kept)
    return Gallery(data["names"], data["embeddings"])
