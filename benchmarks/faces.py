"""Measure faces with the peer, and keep the result: ``python benchmarks/faces.py --images FOLDER``."""

import argparse
import json
import sys
from pathlib import Path

from recognizance.cli._output import console, messages
from recognizance.cli.bench.faces import Plan, measure
from recognizance.core.errors import RecognizanceError
from recognizance.core.settings import load_settings

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, show the figures, and write them to ``results/faces-<contract>.json``."""
    parser = argparse.ArgumentParser(description="Measure faces with the peer, and keep the result.")
    parser.add_argument("--images", type=Path, help="folder of portraits, such as Labeled Faces in the Wild")
    parser.add_argument(
        "--contract", choices=("core", "standard"), help="model contract; by default the best installed"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure each figure, at least")
    arguments = parser.parse_args()
    settings = load_settings(contract=arguments.contract)
    plan = Plan(images=arguments.images, seconds=arguments.seconds, peer=True)
    try:
        report = measure(settings, plan, messages().print)
    except RecognizanceError as error:
        sys.exit(str(error))
    report.print(console())
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"faces-{report.setup.contract}.json"
    path.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    messages().print(f"\nWritten to {path}")


if __name__ == "__main__":
    main()
