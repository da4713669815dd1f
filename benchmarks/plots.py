"""Draw the figures of docs/explanation/search.md from the results: ``python benchmarks/plots.py``."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_RESULTS = Path(__file__).parent / "results"
_IMAGES = Path(__file__).parents[1] / "docs" / "explanation" / "images"
_SIZES = ("100k", "300k", "1m", "10m")
_SHOWN_CODES = (
    "2 dimensions a code (ours)",
    "2, all turned at random",
    "2, weighted by probes",
    "3 dimensions a code",
    "4 dimensions a code",
    "int8",
    "RaBitQ, 1 bit",
    "ours behind 1,024 lists, 64 read",
)
_ALMOST_ALL = 0.9999


def main() -> None:
    """Draw every figure whose results there are."""
    mpl.rcParams.update({"svg.hashsalt": "recognizance", "svg.fonttype": "none", "font.size": 9, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})
    _IMAGES.mkdir(parents=True, exist_ok=True)
    runs = [run for size in _SIZES if (run := _read(f"search-{size}")) is not None]
    if runs:
        _save(_times(runs), "search-times")
    compared = {name: run for name in ("made-up", "real") if (run := _read(f"codes-{name}")) is not None}
    if compared:
        _save(_candidates(compared), "search-codes")


def _read(name: str) -> dict[str, Any] | None:
    path = _RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _times(runs: list[dict[str, Any]]) -> Figure:
    """Draw how long a search takes by the number of faces."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    faces = [run["faces"] for run in runs]
    axes.plot(faces, [run["p50_ms"] for run in runs], "o-", color="black", linewidth=2, label="Recognizance")
    axes.plot(faces, [run["floor_ms"] for run in runs], ":", color="black", label="reading the codes once")
    for name in sorted({name for run in runs for name in run["peers"]}):
        points = [(run["faces"], run["peers"].get(name) or {}) for run in runs]
        known = [(number, peer["p50_ms"]) for number, peer in points if peer.get("p50_ms") is not None]
        if known:
            axes.plot(*zip(*known, strict=True), "o-", markersize=3, linewidth=1, label=name)
    _finish(axes, "faces", "ms, half of the searches within")
    axes.set_yscale("log")
    return figure


def _candidates(compared: dict[str, dict[str, Any]]) -> Figure:
    """Draw how many of the ten best are found by how many candidates are scored exactly."""
    figure, all_axes = plt.subplots(1, len(compared), figsize=(4.6 * len(compared), 4.6), sharey=True, squeeze=False)
    for axes, (name, run) in zip(all_axes[0], compared.items(), strict=True):
        for code in _SHOWN_CODES:
            recalls = run["codes"][code]["recall_at_10"]
            missed = [1 - min(value, _ALMOST_ALL) for value in recalls.values()]
            style = {"color": "black", "linewidth": 2.0} if "ours)" in code else {"linewidth": 1.0}
            label = f"{code}: {run['codes'][code]['bytes']:g} bytes"
            axes.plot([int(number) for number in recalls], missed, "o-", markersize=3, label=label, **style)
        _finish(axes, f"candidates scored exactly ({name} people, {run['faces']:,} faces)", "")
        axes.set_yscale("log")
        axes.invert_yaxis()
    all_axes[0][0].set_ylabel("share of the ten best that is missed (0.0001: none or hardly any)")
    return figure


def _finish(axes: Axes, across: str, up: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(fontsize=7, frameon=False)


def _save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    # Without a date, so that the same results give the same file.
    figure.savefig(_IMAGES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
