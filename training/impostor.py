"""Train the impostor-level network of a model contract, and measure what it does, by person held out.

    uv run --group training python training/impostor.py --data FOLDER --contract standard

The impostor level m(x) of a face is its mean cosine to the most similar faces of a large and diverse cohort of other
people. Taking half of both faces' levels off a pair's cosine makes one threshold mean the same for different groups and
cameras (adaptive score normalisation of speaker recognition: Matejka et al., Interspeech 2017; for faces, compare
FairCal: Salvador et al., ICLR 2022). A small network predicts the level from the embedding, so that no cohort, which
would be other people's templates, has to be shipped.
"""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from faces import Gallery, arguments, gallery
from network import save_mlp
from recognizance.vision.faces import FloatArray
from recognizance.vision.metrics import PairScores

BUNDLED = Path(__file__).parents[1] / "src/recognizance/vision/models/bundled"
# The nearest part of the cohort, so that a smaller one, as when people are held out, gives the same level.
NEAREST_SHARE = 1 / 200
# UTKFace repeats some people without naming them: the most similar few of its faces may be the same person.
SKIPPED = 3
HIDDEN = (256, 256)
LEAST_AGE = 11
ADULT = 16
GROUP_NAMES = {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "Other"}


def levels(
    faces: FloatArray,
    cohort: FloatArray,
    *,
    skipped: int = 0,
    people: NDArray[np.intp] | None = None,
    cohort_people: NDArray[np.intp] | None = None,
) -> FloatArray:
    """Return each face's mean cosine to its nearest faces of the cohort, other people's only.

    Args:
        faces: (n, d) embeddings.
        cohort: (k, d) embeddings.
        skipped: How many of the nearest to leave out, where people are not known.
        people: (n,) person of each face, where known.
        cohort_people: (k,) person of each cohort face, negative where unknown.
    """
    result, nearest_count = np.empty(len(faces), np.float32), round(len(cohort) * NEAREST_SHARE)
    for start in range(0, len(faces), 1000):
        cosines = faces[start : start + 1000] @ cohort.T
        if people is not None and cohort_people is not None:
            cosines[people[start : start + 1000, None] == cohort_people[None, :]] = -1
        nearest = np.partition(cosines, -nearest_count - skipped, axis=1)[:, -nearest_count - skipped :]
        result[start : start + 1000] = np.sort(nearest, axis=1)[:, :nearest_count].mean(axis=1)
    return result


class LevelPredictor:
    """A fitted network from embeddings to impostor levels."""

    def __init__(self, faces: FloatArray, targets: FloatArray) -> None:
        self.shift, self.scale = float(targets.mean()), float(targets.std())
        self._net = MLPRegressor(
            hidden_layer_sizes=HIDDEN, alpha=1e-4, batch_size=512, early_stopping=True, max_iter=80, random_state=0
        )
        # Matrices this small are multiplied faster by one thread than by several that wait for each other.
        with threadpool_limits(1):
            self._net.fit(faces, (targets - self.shift) / self.scale)

    def __call__(self, faces: FloatArray) -> FloatArray:
        """Return (n,) levels of (n, d) embeddings."""
        return np.asarray(self._net.predict(faces) * self.scale + self.shift, np.float32)

    def save(self, path: Path) -> None:
        """Write the network as ONNX."""
        layers = list(zip(self._net.coefs_, self._net.intercepts_, strict=True))
        save_mlp(path, layers, scale=self.scale, shift=self.shift)


def fit(lfw: Gallery, utk: Gallery, lfw_rows: NDArray[np.bool_], utk_rows: NDArray[np.bool_]) -> LevelPredictor:
    """Fit a predictor on the chosen rows of both sets, with the chosen rows as the cohort."""
    people = lfw.people
    first = np.zeros(len(people), np.bool_)
    first[np.unique(people, return_index=True)[1]] = True
    grown = utk.fields(0).astype(int) >= LEAST_AGE
    cohort = np.concatenate([lfw.embeddings[first & lfw_rows], utk.embeddings[grown & utk_rows]])
    cohort_people = np.concatenate([people[first & lfw_rows], np.full((grown & utk_rows).sum(), -1)])
    lfw_faces, utk_faces = lfw.embeddings[lfw_rows], utk.embeddings[utk_rows]
    targets = [
        levels(lfw_faces, cohort, people=people[lfw_rows], cohort_people=cohort_people),
        levels(utk_faces, cohort, skipped=SKIPPED),
    ]
    return LevelPredictor(np.concatenate([lfw_faces, utk_faces]), np.concatenate(targets))


def halves(gallery_people: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Deal people out into two halves, always in the same way; True is the first half."""
    return np.asarray(np.random.default_rng(0).integers(0, 2, int(gallery_people.max()) + 1) == 0)[gallery_people]


def held_out_levels(options: Namespace, lfw: Gallery, utk: Gallery) -> tuple[FloatArray, FloatArray]:
    """Return levels of every face, each predicted by a network that saw neither the face nor the person; cached."""
    kept = options.cache / f"levels-{options.contract}.npz"
    if kept.is_file():
        data = np.load(kept)
        return data["lfw"], data["utkface"]
    lfw_levels, utk_levels = np.empty(len(lfw.names), np.float32), np.empty(len(utk.names), np.float32)
    lfw_half, utk_half = halves(lfw.people), halves(np.arange(len(utk.names)))
    for side in (True, False):
        predictor = fit(lfw, utk, lfw_half != side, utk_half != side)
        lfw_levels[lfw_half == side] = predictor(lfw.embeddings[lfw_half == side])
        utk_levels[utk_half == side] = predictor(utk.embeddings[utk_half == side])
    np.savez(kept, lfw=lfw_levels, utkface=utk_levels)
    return lfw_levels, utk_levels


def threshold_at(scores: PairScores, fmr: float) -> float:
    """Return the lowest score whose false match rate is at most ``fmr``, by bisection of a falling function."""
    low, high = -1.5, 1.5
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if (scores.fmr_at(middle) or 0) <= fmr else (middle, high)
    return high


def figures(lfw: Gallery, utk: Gallery, lfw_levels: FloatArray, utk_levels: FloatArray) -> dict[str, object]:
    """Measure error rates on LFW, and false match rates within each UTKFace group at LFW's threshold for 1e-3."""
    half = halves(lfw.people)
    parts = [
        PairScores.of_all_pairs(lfw.embeddings[rows], lfw_levels[rows], lfw.people[rows]) for rows in (half, ~half)
    ]
    both = PairScores(parts[0].mated + parts[1].mated, parts[0].non_mated + parts[1].non_mated)
    at = threshold_at(both, 1e-3)
    groups: dict[str, float] = {}
    grown = utk.fields(0).astype(int) >= ADULT
    for race, race_name in GROUP_NAMES.items():
        for gender, gender_name in (("0", "men"), ("1", "women")):
            rows = grown & (utk.fields(2) == race) & (utk.fields(1) == gender)
            if rows.sum() < 150:
                continue
            inside = PairScores.of_all_pairs(utk.embeddings[rows], utk_levels[rows], np.arange(rows.sum()))
            groups[f"{race_name} {gender_name}"] = inside.fmr_at(at) or 0.0
    return {
        "tar_at_fmr": {f"{rate:.0e}": both.tar_at_fmr(rate) for rate in (1e-3, 1e-4, 1e-5, 1e-6)},
        "group_fmr": groups,
        "worst_to_best": max(groups.values()) / max(min(groups.values()), 1e-9),
    }


def main(options: Namespace) -> None:
    """Measure with people held out, then fit on everything and write the network and its card."""
    lfw, utk = gallery(options, "lfw"), gallery(options, "utkface")
    nothing = np.zeros(len(lfw.names), np.float32), np.zeros(len(utk.names), np.float32)
    card = {
        "contract": options.contract,
        "trained_on": {"lfw": len(lfw.names), "utkface": len(utk.names)},
        "cosine": figures(lfw, utk, *nothing),
        "normalised": figures(lfw, utk, *held_out_levels(options, lfw, utk)),
    }
    everything = np.ones(len(lfw.names), np.bool_), np.ones(len(utk.names), np.bool_)
    fit(lfw, utk, *everything).save(BUNDLED / f"impostor_{options.contract}.onnx")
    print(json.dumps(card, indent=1))
    (Path(__file__).parent / f"impostor_{options.contract}.json").write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main(arguments(__doc__))
