"""The verification test: how well a model contract tells people apart on pictures of the operator's own."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognizance.core.errors import ServiceError, SetupError
from recognizance.vision.analyser import FaceAnalyser
from recognizance.vision.faces import FloatArray
from recognizance.vision.image import decode
from recognizance.vision.metrics import (
    PairScores,
    auc,
    cross_validated_accuracy,
    equal_error_rate,
    tar_of_pairs,
)

SUFFIXES = {".jpg", ".jpeg", ".png"}
FALSE_MATCH_RATES = ("1e-2", "1e-3", "1e-4", "1e-5")
SIMILARITIES = (80, 90, 99)
# One more than the cores usually at hand, so that decoding hides behind the networks.
WORKERS = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, by path below the pictures' folder, and whether they show one person."""

    first: str
    second: str
    same: bool


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What the verification test measured; the names are those of the JSON output.

    Attributes:
        contract: Name of the model contract.
        face_model_version: Its version.
        pictures: Pictures read.
        failures_to_detect: Paths of the pictures in which no face was found, or that did not decode. Their pairs
            count as never matching.
        pairs: Listed pairs.
        mated_pairs: All pairs of two pictures of one person, the person being the picture's folder.
        non_mated_pairs: All pairs of pictures of two people.
        accuracy: Listed pairs told apart, cross-validated in ten folds.
        auc: Area under the listed pairs' ROC curve.
        eer: Equal error rate of the listed pairs.
        pairs_tar_at_fmr: Share of the listed mated pairs found, by false match rate among the listed pairs.
        tar_at_fmr: The same over all pairs.
        fmr_at_similarity: False match rate over all pairs, by similarity threshold.
        fnmr_at_similarity: False non-match rate over all pairs, by similarity threshold.
    """

    contract: str
    face_model_version: str
    pictures: int
    failures_to_detect: list[str]
    pairs: int
    mated_pairs: int
    non_mated_pairs: int
    accuracy: float
    auc: float
    eer: float
    pairs_tar_at_fmr: dict[str, float]
    tar_at_fmr: dict[str, float | None]
    fmr_at_similarity: dict[str, float | None]
    fnmr_at_similarity: dict[str, float | None]


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """The most prominent face of each picture: rows by path, and the paths of those without a face."""

    rows: dict[str, int]
    embeddings: FloatArray
    levels: FloatArray
    failures: list[str]

    def scores(self, pairs: list[Pair]) -> NDArray[np.float64]:
        """Score the listed pairs; a pair with a picture without a face scores minus infinity."""
        result = np.full(len(pairs), -np.inf)
        for i, pair in enumerate(pairs):
            if pair.first in self.rows and pair.second in self.rows:
                a, b = self.rows[pair.first], self.rows[pair.second]
                result[i] = self.embeddings[a] @ self.embeddings[b] - (self.levels[a] + self.levels[b]) / 2
        return result


def read_pairs(path: Path) -> list[Pair]:
    """Read a CSV file with the columns ``first``, ``second`` and ``same`` (1 or 0).

    Raises:
        SetupError: The file cannot be read or has other columns, or lacks pairs of one of the two kinds.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            pairs = [Pair(row["first"], row["second"], row["same"] == "1") for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"{path} cannot be read: {error}") from error
    except KeyError as error:
        raise SetupError(f"{path} has no column {error}; it needs: first, second, same.") from error
    if {pair.same for pair in pairs} != {True, False}:
        raise SetupError(f"{path} needs pairs of one person (same = 1) and of two (same = 0).")
    return pairs


def evaluate_verification(
    analyser: FaceAnalyser, images: Path, pairs: list[Pair], progress: Callable[[int, int], None]
) -> VerificationReport:
    """Embed the most prominent face of every picture below a folder and measure error rates.

    Args:
        analyser: The model contract to measure.
        images: Folder of JPEG and PNG files, one sub-folder a person.
        pairs: The listed pairs.
        progress: Called with the number of pictures done and their total.

    Raises:
        SetupError: No pictures, or a listed picture is not there.
    """
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise SetupError(f"{images} holds no JPEG or PNG files.")
    names = {path.relative_to(images).as_posix() for path in paths}
    if missing := {name for pair in pairs for name in (pair.first, pair.second)} - names:
        raise SetupError(f"{len(missing)} listed pictures are not below {images}, the first is {min(missing)}.")
    embedded = _embed_all(analyser, images, paths, progress)
    every = PairScores.of_all_pairs(embedded.embeddings, embedded.levels, _people(embedded.rows))
    scores, same = embedded.scores(pairs), np.array([pair.same for pair in pairs])
    thresholds = {str(value): analyser.contract.score(value) for value in SIMILARITIES}
    return VerificationReport(
        contract=analyser.contract.name,
        face_model_version=analyser.contract.version,
        pictures=len(paths),
        failures_to_detect=embedded.failures,
        pairs=len(pairs),
        mated_pairs=int(every.mated.sum()),
        non_mated_pairs=int(every.non_mated.sum()),
        accuracy=cross_validated_accuracy(scores, same),
        auc=auc(scores, same),
        eer=equal_error_rate(scores, same),
        pairs_tar_at_fmr={rate: tar_of_pairs(scores, same, float(rate)) for rate in FALSE_MATCH_RATES[:2]},
        tar_at_fmr={rate: every.tar_at_fmr(float(rate)) for rate in FALSE_MATCH_RATES},
        fmr_at_similarity={name: every.fmr_at(score) for name, score in thresholds.items()},
        fnmr_at_similarity={name: every.fnmr_at(score) for name, score in thresholds.items()},
    )


def _embed_all(
    analyser: FaceAnalyser, images: Path, paths: list[Path], progress: Callable[[int, int], None]
) -> _Embedded:
    def embed(path: Path) -> tuple[FloatArray, FloatArray] | None:
        try:
            picture = decode(path.read_bytes())
        except (ServiceError, OSError):
            return None
        faces = analyser.embed(picture, analyser.detect(picture).most_prominent())
        if faces.embeddings is None or faces.impostor_levels is None or not len(faces):
            return None
        return faces.embeddings[0], faces.impostor_levels

    rows: dict[str, int] = {}
    embeddings: list[FloatArray] = []
    levels: list[FloatArray] = [np.zeros(0, np.float32)]
    failures: list[str] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for done, (path, result) in enumerate(zip(paths, pool.map(embed, paths), strict=True), start=1):
            name = path.relative_to(images).as_posix()
            if result is None:
                failures.append(name)
            else:
                rows[name] = len(embeddings)
                embeddings.append(result[0])
                levels.append(result[1])
            progress(done, len(paths))
    table = np.array(embeddings, np.float32).reshape(len(embeddings), analyser.contract.dimensions)
    return _Embedded(rows, table, np.concatenate(levels), failures)


def _people(rows: dict[str, int]) -> NDArray[np.intp]:
    """Number the people, who are the pictures' folders."""
    folders = [name.rpartition("/")[0] for name in rows]
    return np.unique(folders, return_inverse=True)[1] if folders else np.zeros(0, np.intp)
