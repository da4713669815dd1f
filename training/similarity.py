"""Calibrate a contract's similarity: 80, 90 and 99 at false match rates 1e-3, 1e-4 and 1e-6.

    uv run --group training python training/similarity.py --data FOLDER --contract standard

The false match rate of a score is read off the non-mated pairs of Labeled Faces in the Wild, each face's impostor level
being predicted by a network that never saw the person. The few pairs that decide the rates from 1e-5 on are mostly
wrong labels and relatives, so that from there the curve is continued as the tail of a normal distribution, fitted where
there are pairs in plenty: the logarithm of the rate as a quadratic of the score.
"""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np

from faces import arguments, gallery
from impostor import halves, held_out_levels, threshold_at
from recognizance.vision.metrics import PairScores

CONTRACTS = Path(__file__).parents[1] / "src/recognizance/vision/contracts"
# Similarity by -log10 of the false match rate. The three named points are the promise; between and around them it is
# straight, from 0 where everybody matches to 100, which hardly anything but the same picture reaches.
ANCHORS = {
    0.0: 0.0,
    1.0: 50.0,
    2.0: 70.0,
    3.0: 80.0,
    4.0: 90.0,
    5.0: 95.0,
    6.0: 99.0,
    8.0: 99.9,
    10.0: 99.99,
    12.0: 100.0,
}
COUNTED = (0.3, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5)
FITTED = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
EXTRAPOLATED = (5.0, 5.5, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0)


def score_of(square: float, linear: float, constant: float, rate: float) -> float:
    """Return the score at which a rising parabola, open to the top, reaches this -log10 of a rate."""
    if square <= 0:
        raise SystemExit("the logarithm of the false match rate does not fall ever faster; no normal tail fits it")
    return float((-linear + np.sqrt(linear**2 - 4 * square * (constant - rate))) / (2 * square))


def main(options: Namespace) -> None:
    """Write the similarity table into the contract's file."""
    lfw, utk = gallery(options, "lfw"), gallery(options, "utkface")
    levels, _ = held_out_levels(options, lfw, utk)
    half = halves(lfw.people)
    parts = [PairScores.of_all_pairs(lfw.embeddings[rows], levels[rows], lfw.people[rows]) for rows in (half, ~half)]
    pairs = PairScores(parts[0].mated + parts[1].mated, parts[0].non_mated + parts[1].non_mated)
    rates = np.array(COUNTED)
    scores = [threshold_at(pairs, 10**-rate) for rate in COUNTED]
    fitted = [threshold_at(pairs, 10**-rate) for rate in FITTED]
    square, linear, constant = (float(value) for value in np.polyfit(fitted, FITTED, 2))
    tail = [score_of(square, linear, constant, rate) for rate in EXTRAPOLATED]
    rates = np.concatenate([[0.0], rates, EXTRAPOLATED])
    scores = [-1.5, *scores, *tail]
    table = {
        "pictures": len(lfw.names),
        "non_mated_pairs": int(pairs.non_mated.sum()),
        "false_match_rates": [float(f"{10**-rate:.3g}") for rate in rates],
        "scores": [round(float(score), 5) for score in scores],
        "similarities": np.interp(rates, list(ANCHORS), list(ANCHORS.values())).round(3).tolist(),
    }
    path = CONTRACTS / f"{options.contract}.json"
    contract = json.loads(path.read_text())
    contract["similarity_table"] = table
    path.write_text(json.dumps(contract, indent=1) + "\n")
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main(arguments(__doc__))
