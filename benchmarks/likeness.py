"""Compare made-up people with the real ones they are made from: ``python benchmarks/likeness.py FILE``.

Half of the people are a gallery; made-up people are fitted to it, and are another gallery of the same size. The other
half are strangers to both. How much their nearest faces resemble them should be alike.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognizance.cli._output import messages
from recognizance.cli.bench.search.distractors import Distractors
from recognizance.cli.bench.search.embeddings import Embeddings
from recognizance.core import clock
from recognizance.core.errors import RecognizanceError

_RESULT = Path(__file__).parent / "results" / "search-likeness.json"
_PERCENTILES = (5, 25, 50, 75, 95, 99)
_STRANGERS = 3000


def main() -> None:
    """Compare, and write ``results/search-likeness.json``."""
    parser = argparse.ArgumentParser(description="Compare made-up people with the real ones they are made from.")
    parser.add_argument("embeddings", type=Path, help="real embeddings, see embed.py")
    try:
        real = Embeddings.read(parser.parse_args().embeddings)
    except RecognizanceError as error:
        sys.exit(str(error))
    random = np.random.default_rng(1)
    vectors = random.permutation(real.one_each(random))
    gallery, strangers = vectors[: len(vectors) // 2], vectors[len(vectors) // 2 :][:_STRANGERS]
    galleries = {"real": gallery, "made_up": Distractors(gallery).draw(len(gallery), random)}
    document = {
        "faces": len(gallery),
        "strangers": len(strangers),
        "percentiles": _PERCENTILES,
        **{name: _figures(some, strangers) for name, some in galleries.items()},
        "when": clock.now().isoformat(timespec="seconds"),
    }
    _RESULT.parent.mkdir(exist_ok=True)
    _RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    messages().print(json.dumps(document, indent=2))


def _figures(gallery: NDArray[np.float32], strangers: NDArray[np.float32]) -> dict[str, object]:
    """Return percentiles of the scores of the strangers' nearest and tenth nearest faces, and the spread of all."""
    probes = strangers.copy()
    probes[:, -1] = 1
    scores = np.sort(probes @ gallery.T + strangers[:, -1:], axis=1)
    return {
        "nearest": np.percentile(scores[:, -1], _PERCENTILES).round(4).tolist(),
        "tenth": np.percentile(scores[:, -10], _PERCENTILES).round(4).tolist(),
        "all_mean": round(float(scores.mean()), 4),
        "all_deviation": round(float(scores.std()), 4),
        "level_mean": round(float(-2 * gallery[:, -1].mean()), 4),
        "level_deviation": round(float(2 * gallery[:, -1].std()), 4),
    }


if __name__ == "__main__":
    main()
