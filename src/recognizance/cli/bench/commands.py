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


@app.command()
@plain_errors
def search(
    faces: Annotated[int, typer.Option(min=100, metavar="N", help="Faces in the gallery.")] = 1_000_000,
    dim: Annotated[int, typer.Option(min=8, max=4096, metavar="D", help="Dimensions of the made-up embeddings.")] = 128,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Real embeddings to search among, with people made up like them as far as they do not suffice: a "
            "numpy .npz with `embeddings`, `levels` (impostor levels) and `people`.",
            show_default=False,
        ),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Measure others too, in turns.")] = False,
    probes: Annotated[int, typer.Option(min=10, metavar="N", help="Faces to search for, at most.")] = 200,
    seconds: Annotated[
        float, typer.Option(min=0.01, metavar="N", help="How long to measure each figure, at least.")
    ] = 10.0,
    build_seconds: Annotated[
        float, typer.Option(min=1, metavar="N", help="The most that building a peer's graph may take.")
    ] = 600.0,
    json: Json = False,
) -> None:
    """Measure how fast and how completely a collection of a given size is searched.

    Peers are numpy, faiss-flat, faiss-hnsw, usearch, pgvector and pgvector-hnsw. It works in a folder of its own, which
    it deletes; ten million faces need 6 GB. For figures to quote, let nothing else run on the machine.
    """
    from recognizance.cli.bench.search.peers import PEERS
    from recognizance.cli.bench.search.run import Plan, measure

    plan = Plan(faces, dim, embeddings, tuple(PEERS) if peers else (), probes, seconds, build_seconds)
    report = measure(plan, messages().print)
    if json:
        print_json(report.to_json())
    else:
        report.print(console())


@app.command()
@plain_errors
def capacity(
    *,
    faces: Annotated[
        int, typer.Option(min=1000, metavar="N", help="Faces that the index alone is searched with.")
    ] = 10_000_000,
    server_faces: Annotated[
        int,
        typer.Option(
            min=1000, metavar="N", help="Faces of the server's collection; they are written to a database first."
        ),
    ] = 300_000,
    clients: Annotated[int, typer.Option(min=2, max=256, metavar="N", help="Clients that search at once.")] = 8,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of portraits to index and to search with; by default they are cut out of the demonstration "
            "pictures.",
            show_default=False,
        ),
    ] = None,
    price_per_hour: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="PRICE",
            help="What an hour of this machine costs you, in any currency. The default is a round number and nobody's "
            "price.",
        ),
    ] = 0.1,
    seconds: Annotated[
        float, typer.Option(min=0.01, metavar="N", help="How long to measure each figure, at least.")
    ] = 20.0,
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
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for a README.")] = False,
    json: Json = False,
) -> None:
    """Measure what this machine serves: faces indexed in an hour, searches a second, and what a million of them cost.

    Server and clients share the machine. It works in a folder of its own, which it deletes; ten million faces need
    6 GB. For figures to quote, let nothing else run on the machine.
    """
    from recognizance.cli.bench.capacity import Plan, measure

    settings = load_settings(data=data, contract=contract, models=models)
    plan = Plan(faces, server_faces, clients, images, seconds, price_per_hour)
    report = measure(settings, plan, messages().print)
    if json:
        print_json(report.to_json())
    elif markdown:
        typer.echo(report.to_markdown())
    else:
        report.print(console())
