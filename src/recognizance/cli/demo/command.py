"""The command: getting ready, the story, and the report."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from recognizance.cli._options import Contract, Json, Models
from recognizance.cli._output import bar, console, messages, plain_errors, print_json, similarity_text
from recognizance.cli._server import running_server
from recognizance.cli.demo.story import COMPARED, Story
from recognizance.cli.models import progress_bar
from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings, load_settings
from recognizance.vision.analyser import Analysers
from recognizance.vision.contracts import NAMES, load_contract
from recognizance.vision.models import ModelStore

if TYPE_CHECKING:
    from recognizance.cli.demo.story import Answer

_PICTURES = "demo_pictures"

_SNIPPET = """\
import boto3

rekognition = boto3.client("rekognition")
rekognition.create_collection(CollectionId="people")
with open("portrait.jpg", "rb") as file:
    rekognition.index_faces(CollectionId="people", Image={"Bytes": file.read()}, ExternalImageId="Somebody")
with open("another.jpg", "rb") as file:
    answer = rekognition.search_faces_by_image(CollectionId="people", Image={"Bytes": file.read()})
for match in answer["FaceMatches"]:
    print(match["Face"]["ExternalImageId"], match["Similarity"])
"""

_AWS_CLI = "aws rekognition search-faces-by-image --collection-id people --image-bytes fileb://another.jpg"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demonstration has to tell.

    Attributes:
        contract: The model contract in use.
        endpoint: Where the server listened.
        models_seconds: How long it took until the models were there.
        server_seconds: How long the server took to start, models loaded.
        answers: Everything that the server answered.
        pictures: The pictures that were drawn.
        seconds: How long it all took.
    """

    contract: str
    endpoint: str
    models_seconds: float
    server_seconds: float
    answers: list[Answer]
    pictures: list[Path]
    seconds: float


@plain_errors
def command(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the pictures that are drawn.")] = Path(
        "demo-output"
    ),
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Try it all: fetch models, serve, recognise faces by boto3.

    The models and a few public portraits are fetched once (about 110 MB). Then a real server starts with an empty
    data folder of its own, and everything goes through boto3. Nothing stays but the models and the pictures drawn.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{output} cannot be made: {error.strerror}. Choose another folder with --output.") from error
    outcome = _perform(_own_settings(load_settings(contract=contract, models=models)), output)
    if json:
        print_json(_as_json(outcome))
    else:
        _report(outcome)


def _own_settings(settings: Settings) -> Settings:
    """Return settings that touch nothing of the operator's but the models."""
    kept = ("models", "model_mirror", "accepted_terms", "contract", "runtime", "precision", "threads")
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    return settings.model_copy(update={name: value for name, value in defaults.items() if name not in kept})


def _perform(settings: Settings, output: Path) -> Outcome:
    out = messages()
    started = time.perf_counter()
    out.print("[bold]1[/bold]  Models and pictures")
    folder, contract = _fetch(settings)
    pictures = {path.stem: path.read_bytes() for path in folder.iterdir() if path.suffix == ".jpg"}
    fetched = time.perf_counter()
    out.print(f"   the model contract [bold]{contract}[/bold] is in use")

    with tempfile.TemporaryDirectory(prefix="recognizance-demo-") as data:
        out.print("[bold]2[/bold]  A server with an empty data folder")
        with running_server(settings.model_copy(update={"data": Path(data), "contract": contract})) as server:
            ready = time.perf_counter()
            out.print(f"   listens on {server.endpoint}, and made itself an administrator's key")
            story = Story(server.client(), pictures)
            drawn = _play(story, pictures, output)
    times = (fetched - started, ready - fetched)
    return Outcome(contract, server.endpoint, *times, story.answers, drawn, time.perf_counter() - started)


def _fetch(settings: Settings) -> tuple[Path, str]:
    """Install what is needed; return the folder of the pictures and the contract in use.

    Raises:
        SetupError: The pictures or every contract's models cannot be had.
    """
    store = ModelStore(settings)
    contracts = NAMES if settings.contract == "auto" else (settings.contract,)
    wanted = [_PICTURES, *(model for name in contracts for model in load_contract(name).model_names)]
    if not all(store.installed(model) for model in wanted):
        messages().print("   fetching what is not here yet, about 110 MB in all")
    with progress_bar() as progress:
        outcomes = store.pull(wanted, progress)
    for one in outcomes:
        if one.state != "installed":
            messages().print(f"   [yellow]{one.name}: {escape(one.detail)}[/yellow]")
    if outcomes[0].state != "installed":
        raise SetupError("The demonstration cannot go on without its pictures.")
    name = Analysers(settings).default_name()
    if not Analysers(settings).installed(name):
        raise SetupError(f"The demonstration cannot go on without the models of the contract {name}.")
    return next(iter(store.paths(_PICTURES).values())).parent, name


def _play(story: Story, pictures: dict[str, bytes], output: Path) -> list[Path]:
    from recognizance.cli import draw
    from recognizance.cli.demo import cards

    out = messages()
    images = {name: draw.open_picture(data) for name, data in pictures.items()}
    out.print("[bold]3[/bold]  Two portraits are stored: CreateCollection, IndexFaces")
    indexed = story.index()
    out.print("[bold]4[/bold]  Other photographs, two of them with the face cut off: SearchFacesByImage")
    searched = story.search()
    faces = {one.picture: one.face for one in indexed + searched}
    out.print("[bold]5[/bold]  A picture of several people: DetectFaces, then SearchFacesByImage for each")
    wall = cards.wall(images, faces)
    group = story.search_group("group", wall)
    out.print("[bold]6[/bold]  Are these the same person? CompareFaces")
    compared = story.compare()

    colours = cards.palette(indexed)
    source = COMPARED[0]
    sheets = {
        "1-stored": cards.row(images, indexed, colours),
        "2-found": cards.row(images, searched, colours),
        "3-group": cards.group(wall, group, colours),
        "4-compared": cards.comparison(images, source, faces[source], compared),
    }
    drawn = []
    for name, sheet in sheets.items():
        drawn.append(output / f"{name}.png")
        draw.save(sheet, drawn[-1])
    return drawn


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "contract": outcome.contract,
        "face_model_version": load_contract(outcome.contract).version,
        "endpoint": outcome.endpoint,
        "seconds": round(outcome.seconds, 3),
        "models_seconds": round(outcome.models_seconds, 3),
        "server_seconds": round(outcome.server_seconds, 3),
        "pictures": outcome.pictures,
        "answers": [
            {
                "operation": one.operation,
                "picture": one.picture,
                "answer": one.name,
                "similarity": one.similarity,
                "milliseconds": round(one.milliseconds, 1),
            }
            for one in outcome.answers
        ],
    }


def _report(outcome: Outcome) -> None:
    out = console()
    table = Table(box=None, header_style="bold")
    for heading in ("Operation", "Picture", "Answer", "Similarity", ""):
        table.add_column(heading, no_wrap=True)
    table.add_column("Time", justify="right")
    for one in outcome.answers:
        level = "" if one.similarity is None else bar(one.similarity, good=one.similarity >= 80)
        similarity = "" if one.similarity is None else similarity_text(one.similarity)
        table.add_row(one.operation, one.picture, one.name, level, similarity, f"{one.milliseconds:.0f} ms")
    out.print()
    out.print(table)
    contract = load_contract(outcome.contract)
    out.print(
        f"\nContract [bold]{contract.name}[/bold] (face model {contract.version}: {contract.detector}, "
        f"{contract.embedder}). A similarity of 80 is reached by one pair of strangers in a thousand, 99 by one in a "
        "million; among people alike in age, gender and origin by several times as many."
    )
    median = statistics.median(one.milliseconds for one in outcome.answers if one.operation == "SearchFacesByImage")
    out.print(
        f"Models and pictures {outcome.models_seconds:.1f} s, server start {outcome.server_seconds:.1f} s, one search "
        f"{median:.0f} ms (median), everything {outcome.seconds:.1f} s."
    )
    out.print("\n[bold]Drawn[/bold]")
    for path in outcome.pictures:
        out.print(f"  {escape(str(path))}", soft_wrap=True)
    _go_on()


def _program() -> str:
    """Return how this program is called in a shell that knows nothing of the environment it runs in."""
    installed = Path(sys.prefix) / "bin" / "recognizance"
    here = Path.cwd()
    return str(installed.relative_to(here)) if installed.is_relative_to(here) and installed.exists() else "recognizance"


def _go_on() -> None:
    out = console()
    program = escape(_program())
    out.print("\n[bold]Go on from here[/bold]")
    out.print("Start a server of your own; the first start prints an access key to paste into your shell:\n")
    out.print(f"  {program} serve", style="bold")
    out.print("\nThen, in that shell, use any AWS SDK or the AWS CLI unchanged:\n")
    out.print(Syntax("", "python", background_color="default").highlight(indent(_SNIPPET, "  ")), soft_wrap=True)
    out.print(f"  {_AWS_CLI}\n", style="bold", soft_wrap=True)
    out.print("A whole folder of pictures is stored at once by\n")
    out.print(f"  {program} index FOLDER --collection people --create\n", style="bold")
