"""``recognizance evaluate``: how well faces are told apart, on pictures of the operator's own."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from recognizance.cli._options import Contract, Data, Json, Models
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.core import log
from recognizance.core.settings import load_settings
from recognizance.vision.analyser import Analysers
from recognizance.vision.verification import VerificationReport, evaluate_verification, read_pairs

app = typer.Typer(help="Measure error rates on pictures of your own.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Measure error rates on pictures of your own."""


@app.command()
@plain_errors
def verification(
    images: Annotated[Path, typer.Option(metavar="FOLDER", help="Pictures, one sub-folder a person.")],
    pairs: Annotated[Path, typer.Option(metavar="FILE", help="CSV with the columns first, second, same (1 or 0).")],
    contract: Contract = None,
    data: Data = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Measure how well pairs of pictures are told apart: accuracy, error rates, and what each similarity means.

    The listed pairs give accuracy, AUC and equal error rate; all pairs of all pictures give the rates at low false
    match rates and at similarity 80, 90 and 99. Of a picture with several faces the prominent one counts.
    """
    settings = load_settings(data=data, models=models, contract=contract)
    log.configure(settings.model_copy(update={"log_level": "error"}))
    analyser = Analysers(settings).default()
    listed = read_pairs(pairs)
    columns = TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    terminal = messages()
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("pictures", total=None)
        report = evaluate_verification(
            analyser, images, listed, lambda done, total: progress.update(task, completed=done, total=total)
        )
    if json:
        print_json(asdict(report))
    else:
        _show(report)


def _show(report: VerificationReport) -> None:
    failures = len(report.failures_to_detect)
    rows = [
        ("model contract", f"{report.contract} (face model {report.face_model_version})"),
        ("pictures", f"{report.pictures:,}, no face found in {failures:,}"),
        ("listed pairs", f"{report.pairs:,}"),
        ("  accuracy", f"{report.accuracy:.4f}"),
        ("  area under the curve", f"{report.auc:.5f}"),
        ("  equal error rate", f"{report.eer:.2%}"),
        *((f"  found at FMR {rate}", f"{share:.4f}") for rate, share in report.pairs_tar_at_fmr.items()),
        ("all pairs", f"{report.mated_pairs:,} of one person, {report.non_mated_pairs:,} of two"),
        *((f"  found at FMR {rate}", _rate(share)) for rate, share in report.tar_at_fmr.items()),
        *(
            (
                f"  at similarity {value}",
                f"false matches {_rate(fmr)}, missed {_rate(report.fnmr_at_similarity[value])}",
            )
            for value, fmr in report.fmr_at_similarity.items()
        ),
    ]
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column()
    for row in rows:
        table.add_row(*row)
    console().print(table)


def _rate(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4f}" if value >= 0.01 else f"{value:.1e}"
