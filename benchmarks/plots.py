"""Put results into docs/explanation/search.md, as pictures and tables: ``python benchmarks/plots.py``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_RESULTS = Path(__file__).parent / "results"
_PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "search.md"
_IMAGES = _PAGE.parent / "images"
_SIZES = ("100k", "100k-real", "300k", "300k-real", "300k-512d", "1m", "1m-real", "10m", "10m-real")
_GALLERIES = ("made-up", "standard", "core")
_OURS = "ours: 2 dimensions a code, axes weighted"
_SHOWN_CODES = (
    _OURS,
    "2 dimensions a code",
    "3, weighted by probes",
    "4 dimensions a code",
    "residual, 5 stages for 10 dimensions",
    "int8",
    "RaBitQ, 1 bit",
    "2, behind 1,024 lists, 64 read",
)
_ALMOST_ALL = 0.9999


def main() -> None:
    """Draw the pictures and write the tables for which there are results."""
    mpl.rcParams.update({"svg.hashsalt": "recognizance", "svg.fonttype": "none", "font.size": 9, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})
    _IMAGES.mkdir(parents=True, exist_ok=True)
    text = _PAGE.read_text(encoding="utf-8")
    runs = [run for size in _SIZES if (run := _read(f"search-{size}")) is not None]
    if runs:
        _save(_times([run for run in runs if run["dim"] == 128 and "real" not in run["gallery"]]), "search-times")
        text = _filled(text, "times", _time_rows(runs))
        text = _filled(text, "peers", _peer_rows(runs))
    compared = {name: run for name in _GALLERIES if (run := _read(f"codes-{name}")) is not None}
    if compared:
        _save(_candidates(compared), "search-codes")
        text = _filled(text, "codes", _code_rows(compared))
    if (likeness := _read("search-likeness")) is not None:
        text = _filled(text, "likeness", _likeness_rows(likeness))
    _PAGE.write_text(text, encoding="utf-8")


def _read(name: str) -> dict[str, Any] | None:
    path = _RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _filled(text: str, name: str, rows: Iterator[tuple[str, ...]]) -> str:
    """Put a table, its headings first, between the two comments of this name."""
    headings, *others = rows
    lines = [headings, ("---", *["---:"] * (len(headings) - 1)), *others]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    filled, count = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
        lambda match: f"{match[1]}\n{table}\n\n{match[2]}",
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{_PAGE} has no place for {name}")
    return filled


def _time_rows(runs: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    yield "Faces", "Half within", "99 in 100", "Floor", "A second", "Recall@1", "Recall@10", "Memory", "Built", "Opened"
    for run in runs:
        what = "real and made up, " if "real" in run["gallery"] else ""
        yield (
            f"{run['faces']:,} ({what}{run['dim']} dimensions)",
            f"{run['p50_ms']:.1f} ms",
            f"{run['p99_ms']:.1f} ms",
            f"{run['floor_ms']:.1f} ms",
            f"{run['qps']:,.0f}",
            f"{run['recall_at_1']:.4f}",
            f"{run['recall_at_10']:.4f}",
            f"{run['rss_mib']:,.0f} MiB",
            f"{run['build_s']:.0f} s",
            f"{run['reopen_s']:.1f} s",
        )


def _peer_rows(runs: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    shown = [run for run in runs if run["peers"]]
    names = list(dict.fromkeys(name for run in shown for name in run["peers"]))
    yield "", *(f"{run['faces']:,} x {run['dim']}" for run in shown)
    yield "Recognizance", *(_time(run, run["p50_ms"]) for run in shown)
    for name in names:
        yield name, *(_time(run, (run["peers"].get(name) or {}).get("p50_ms"), name) for run in shown)


def _time(run: dict[str, Any], ms: float | None, name: str | None = None) -> str:
    if ms is None:
        return "not built in time" if name in run["peers"] else "-"
    recall = run["recall_at_10"] if name is None else run["peers"][name]["recall_at_10"]
    return f"{ms:,.1f} ms ({recall:.3f})"


def _code_rows(compared: dict[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    yield "Code", "Bytes", "Time", *(f"{name}: 50 / 200 / 1000" for name in compared)
    first = next(iter(compared.values()))["codes"]
    times = first[_OURS]["ms"]
    for code, figures in first.items():
        recalls = [
            " / ".join(f"{run['codes'][code]['recall_at_10'][number]:.3f}" for number in ("50", "200", "1000"))
            for run in compared.values()
        ]
        yield code, f"{figures['bytes']:g}", f"{figures['ms'] / times:.1f}", *recalls


def _likeness_rows(likeness: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield "Score of", *(f"{percentile} in 100" for percentile in likeness["percentiles"])
    for rank in ("nearest", "tenth"):
        for name, words in (("real", "real"), ("made_up", "made up")):
            yield f"the {rank} stranger, {words}", *(f"{value:.3f}" for value in likeness[name][rank])


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
    return figure


def _candidates(compared: dict[str, dict[str, Any]]) -> Figure:
    """Draw how many of the ten best are found by how many candidates are scored exactly."""
    figure, all_axes = plt.subplots(1, len(compared), figsize=(3.8 * len(compared), 4.4), sharey=True, squeeze=False)
    for axes, (name, run) in zip(all_axes[0], compared.items(), strict=True):
        for code in _SHOWN_CODES:
            recalls = run["codes"][code]["recall_at_10"]
            missed = [1 - min(value, _ALMOST_ALL) for value in recalls.values()]
            style: dict[str, Any] = {"color": "black", "linewidth": 2.0} if code == _OURS else {"linewidth": 1.0}
            label = f"{code}: {run['codes'][code]['bytes']:g} bytes"
            axes.plot([int(number) for number in recalls], missed, "o-", markersize=3, label=label, **style)
        _finish(axes, f"candidates ({name}, {run['faces']:,} faces)", "")
        if axes is not all_axes[0][0]:
            axes.get_legend().remove()
    all_axes[0][0].set_ylabel("share of the ten best that is missed (0.0001: hardly any)")
    return figure


def _finish(axes: Axes, across: str, up: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.legend(fontsize=7, frameon=False)


def _save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    # Without a date, so that the same results give the same file.
    figure.savefig(_IMAGES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
