"""Measure searches at every size and keep the results: ``python benchmarks/search.py [--embeddings FILE]``."""

import argparse
import json
import sys
from pathlib import Path

from recognizance.cli._output import console, messages
from recognizance.cli.bench.search.peers import PEERS
from recognizance.cli.bench.search.run import Plan, measure
from recognizance.core.errors import RecognizanceError

RESULTS = Path(__file__).parent / "results"

_WITHOUT_GRAPHS = tuple(name for name, peer in PEERS.items() if not peer.graph)
_RUNS = {
    "100k": (100_000, 128, tuple(PEERS)),
    "300k": (300_000, 128, tuple(PEERS)),
    "300k-512d": (300_000, 512, _WITHOUT_GRAPHS),
    "1m": (1_000_000, 128, tuple(PEERS)),
    # Those that read a matrix say at this size what they said at a tenth of it; a table takes long to fill.
    "10m": (10_000_000, 128, ("numpy",)),
}


def main() -> None:
    """Measure, show the figures, and write each run to ``results/search-<size>.json``."""
    parser = argparse.ArgumentParser(description="Measure searches at every size and keep the results.")
    parser.add_argument("--only", choices=_RUNS, action="append", help="measure this size; can be repeated")
    parser.add_argument("--embeddings", type=Path, help="real embeddings, see embed.py: each size with them too")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to measure each figure, at least")
    parser.add_argument("--build-seconds", type=float, default=600.0, help="the most that a peer's graph may take")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for size, (faces, dimensions, peers) in _RUNS.items():
        if size not in (arguments.only or _RUNS):
            continue
        _run(size, Plan(faces, dimensions, None, peers, 200, arguments.seconds, arguments.build_seconds))
        if arguments.embeddings and dimensions == 128:
            _run(f"{size}-real", Plan(faces, embeddings=arguments.embeddings, probes=500, seconds=arguments.seconds))


def _run(name: str, plan: Plan) -> None:
    try:
        report = measure(plan, messages().print)
    except RecognizanceError as error:
        sys.exit(str(error))
    report.print(console())
    path = RESULTS / f"search-{name}.json"
    path.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    messages().print(f"\nWritten to {path}\n")


if __name__ == "__main__":
    main()
