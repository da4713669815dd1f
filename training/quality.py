"""Fit the quality regression of a contract: what a face must look like to be found again.

    uv run --group training python training/quality.py --data FOLDER --contract standard

Pictures of people with several pictures are spoilt as cameras spoil them (shrunk, blurred, darkened, noisy, compressed)
and scored against another, unspoilt picture of the same person. The regression predicts from size, sharpness,
brightness, pose and the detector's score whether the pair reaches similarity 80.
"""

import json
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from faces import analyser, arguments
from recognizance.vision.image import Picture, decode
from recognizance.vision.quality import features

CONTRACTS = Path(__file__).parents[1] / "src/recognizance/vision/contracts"
PEOPLE = 700
SPOILT_EACH = 6


def spoil(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture as a worse camera would have taken it; now and then untouched."""
    image = pixels
    if rng.random() < 0.6:
        factor = float(np.exp(rng.uniform(np.log(0.08), 0)))
        image = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.4:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 5)), np.uint8)
    if rng.random() < 0.4:
        dark = image.astype(np.float32) * np.exp(rng.uniform(np.log(0.03), 0)) + rng.normal(0, 3, image.shape)
        image = np.clip(dark, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        image = np.clip(image + rng.normal(0, rng.uniform(2, 30), image.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(5, 60))])[1]
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return np.ascontiguousarray(image)


def samples(options: Namespace) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.intp]]:
    """Return regression inputs, whether each pair reached similarity 80, and the person of each."""
    network, rng = analyser(options.contract), np.random.default_rng(0)
    least = network.contract.score(80)
    folders = sorted(path for path in (options.data / "lfw").iterdir() if path.is_dir())
    folders = [path for path in folders if len(list(path.glob("*.jpg"))) > 1]
    rows, found, people = [], [], []
    for person in rng.permutation(len(folders))[:PEOPLE]:
        first, second = (decode(path.read_bytes()) for path in sorted(folders[person].glob("*.jpg"))[:2])
        good = network.embed(second, network.detect(second).most_prominent())
        for _ in range(SPOILT_EACH):
            picture = Picture(spoil(first.pixels, rng), first.digest)
            faces = network.embed(picture, network.detect(picture).most_prominent())
            if not len(faces):
                continue
            assert faces.embeddings is not None and good.embeddings is not None  # noqa: S101,PT018 - narrows types
            assert faces.impostor_levels is not None and good.impostor_levels is not None  # noqa: S101,PT018
            cosine = float(faces.embeddings[0] @ good.embeddings[0])
            score = cosine - float(faces.impostor_levels[0] + good.impostor_levels[0]) / 2
            rows.append(features(faces)[0])
            found.append(score >= least)
            people.append(person)
    return np.array(rows), np.array(found), np.array(people)


def main(options: Namespace) -> None:
    """Measure with people held out, then write the weights into the contract's file."""
    inputs, found, people = samples(options)
    held_out = people % 4 == 0
    regression = LogisticRegression(C=10, fit_intercept=False, max_iter=1000)
    regression.fit(inputs[~held_out], found[~held_out])
    chance = regression.predict_proba(inputs[held_out])[:, 1]
    bins = np.clip((chance * 5).astype(int), 0, 4)
    quality = {
        "samples": len(found),
        "found": round(float(found.mean()), 4),
        "held_out_auc": round(float(roc_auc_score(found[held_out], chance)), 4),
        "held_out_reliability": {
            f"{20 * i}-{20 * i + 20}": round(float(found[held_out][bins == i].mean()), 3)
            for i in range(5)
            if (bins == i).any()
        },
        "weights": [round(float(w), 4) for w in regression.fit(inputs, found).coef_[0]],
    }
    path = CONTRACTS / f"{options.contract}.json"
    contract = json.loads(path.read_text())
    contract["quality"] = quality
    path.write_text(json.dumps(contract, indent=1) + "\n")
    print(json.dumps(quality, indent=1))


if __name__ == "__main__":
    main(arguments(__doc__))
