"""The commands."""

from pathlib import Path
from typing import Annotated

import typer

from recognizance.cli._options import Contract, Json, Models
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.core.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Measure how fast this machine is.")


@app.callback()
def bench() -> None:
    """Measure how fast this machine is."""


@app.command()
@plain_errors
def faces(
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of portraits, sub-folders included, to measure with; by default they are cut out of the "
            "demonstration pictures.",
            show_default=False,
        ),
    ] = None,
    peer: Annotated[
        bool,
        typer.Option(
            "--peer", help="Measure the Python package face_recognition too, in turns; it is installed apart, once."
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.01, metavar="N", help="How long to measure each figure, at least.")
    ] = 10.0,
    gallery: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Faces of the collection that the server's memory is measured with."),
    ] = 100_000,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the configuration file; nothing in it is read or changed besides.",
            show_default=False,
        ),
    ] = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Measure how fast faces are found, embedded, indexed and served.

    It works in a folder of its own, which it deletes. For figures to quote, let nothing else run on the machine.
    """
    from recognizance.cli.bench.faces import Plan, measure

    settings = load_settings(data=data, contract=contract, models=models)
    report = measure(settings, Plan(images, seconds, peer=peer, gallery=gallery), messages().print)
    if json:
        print_json(report.to_json())
    else:
        report.print(console())
