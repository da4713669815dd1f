"""Embed the faces of folders of pictures, for ``search.py``: ``python benchmarks/embed.py faces.npz FOLDER...``."""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from recognizance.cli._output import messages
from recognizance.collections.model import Probes
from recognizance.core.errors import RecognizanceError, ServiceError
from recognizance.core.settings import load_settings
from recognizance.vision.analyser import Analysers, FaceAnalyser
from recognizance.vision.faces import FloatArray
from recognizance.vision.image import decode

_ENDINGS = {".jpg", ".jpeg", ".png"}
_WORKERS = 3
_SAME_PERSON = 99.0
"""Similarity from which two faces without a name are taken to be one person's, and one of them is left out."""


def main() -> None:
    """Write the largest face of every picture; a person is a sub-folder, and a picture outside of one is a stranger."""
    parser = argparse.ArgumentParser(description="Embed the faces of folders of pictures.")
    parser.add_argument("result", type=Path, help="the .npz file to write")
    parser.add_argument("folders", type=Path, nargs="+", help="folders of pictures, or of a sub-folder for each person")
    parser.add_argument(
        "--contract", choices=("core", "standard"), help="model contract; by default the best installed"
    )
    arguments = parser.parse_args()
    try:
        analyser = Analysers(load_settings(contract=arguments.contract)).default()
    except RecognizanceError as error:
        sys.exit(str(error))
    embeddings, levels, people = [], [], []
    for face, person in _faces(analyser, arguments.folders):
        embeddings.append(face.embeddings)
        levels.append(face.impostor_levels)
        people.append(person)
    if not people:
        sys.exit("No faces were found.")
    vectors, expected, names = np.concatenate(embeddings), np.concatenate(levels), np.array(people)
    kept = _without_doubles(analyser, vectors, expected, names)
    np.savez(arguments.result, embeddings=vectors[kept], levels=expected[kept], people=names[kept])
    named = len(np.unique(names[kept][names[kept] != ""]))
    messages().print(f"{kept.sum():,} faces, {named:,} people by name, written to {arguments.result}")


def _faces(analyser: FaceAnalyser, folders: list[Path]) -> Iterator[tuple[Probes, str]]:
    paths = [(path, folder) for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in _ENDINGS]

    def work(item: tuple[Path, Path]) -> tuple[Probes, str] | None:
        path, folder = item
        try:
            picture = decode(path.read_bytes())
        except ServiceError:
            return None
        face = analyser.detect(picture).most_prominent()
        if not len(face):
            return None
        probe = Probes.of(analyser.embed(picture, face), analyser.contract.version)
        return probe, "" if path.parent == folder else path.parent.name

    with ThreadPoolExecutor(_WORKERS) as pool:
        for found in track(pool.map(work, paths), "Faces", len(paths), console=messages(), transient=True):
            if found is not None:
                yield found


def _without_doubles(
    analyser: FaceAnalyser, vectors: FloatArray, levels: FloatArray, names: NDArray[np.str_]
) -> NDArray[np.bool_]:
    """Return which faces to keep: of two that look like one person's and do not bear one name, the first."""
    kept = np.ones(len(vectors), bool)
    least = analyser.contract.score(_SAME_PERSON)
    for row in range(1, len(vectors)):
        scores = vectors[:row] @ vectors[row] - (levels[:row] + levels[row]) / 2
        kept[row] = not ((scores > least) & kept[:row] & ((names[:row] != names[row]) | (names[row] == ""))).any()
    return kept


if __name__ == "__main__":
    main()
