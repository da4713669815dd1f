"""``recognizance search``: the people of a picture in a collection."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from recognizance.cli._options import Collection, Data, Draw, Json, Models, Picture, Threshold
from recognizance.cli._output import bar, console, messages, plain_errors, print_json, similarity_text
from recognizance.cli._session import open_session
from recognizance.core.settings import load_settings
from recognizance.operations.local import search_every_face


@plain_errors
def command(
    picture: Picture,
    *,
    collection: Collection,
    threshold: Threshold = 80.0,
    max_faces: Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="Most matches for each face.")] = 10,
    all_faces: Annotated[
        bool, typer.Option("--all-faces", help="Search for every face, not the largest only.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare every face of the collection, however long that takes.")
    ] = False,
    draw: Draw = None,
    data: Data = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Find the people of a picture in a collection.

    The answer is the stored faces that resemble the largest face of the picture, or each of its faces. Nothing is kept.
    """
    with open_session(load_settings(data=data, models=models, exact_searches=exact or None)) as session:
        request = {
            "CollectionId": collection,
            "Image": session.image(picture),
            "FaceMatchThreshold": threshold,
            "MaxFaces": max_faces,
        }
        search = partial(search_every_face, largest_only=not all_faces)
        found = session.perform(search, "SearchFacesByImage", request)
    if draw is not None:
        _draw(found["Faces"], picture, draw)
    if json:
        print_json(found)
        return
    if not found["Faces"]:
        messages().print("No face was found in the picture.")
    for number, face in enumerate(found["Faces"], 1):
        _print(face, f"Face {number}" if len(found["Faces"]) > 1 else "", threshold)
    if draw is not None:
        messages().print(f"Drawn in {draw}")


def _print(face: dict[str, Any], heading: str, threshold: float) -> None:
    out = console()
    if heading:
        out.print(f"[bold]{heading}[/bold]")
    if not face["FaceMatches"]:
        out.print(f"Nobody with a similarity of {threshold:g} or more.")
        return
    table = Table("Similarity", "", "External id", "Face id", box=None)
    table.columns[1].justify = "right"
    table.columns[2].overflow = "fold"
    table.columns[3].no_wrap = True
    for match in face["FaceMatches"]:
        stored = match["Face"]
        name = escape(stored.get("ExternalImageId", "-"))
        table.add_row(bar(match["Similarity"], good=True), similarity_text(match["Similarity"]), name, stored["FaceId"])
    out.print(table)


def _draw(faces: list[dict[str, Any]], picture: Path, target: Path) -> None:
    from recognizance.cli import draw

    best = [face["FaceMatches"][0] if face["FaceMatches"] else None for face in faces]
    names = [match["Face"].get("ExternalImageId", match["Face"]["FaceId"][:8]) if match else "" for match in best]
    colours = draw.colours(name for name in names if name)
    marks = [
        draw.mark(face["FaceDetail"], colours[name], name, similarity_text(match["Similarity"]))
        if match
        else draw.mark(face["FaceDetail"], draw.UNKNOWN, "unknown")
        for face, match, name in zip(faces, best, names, strict=True)
    ]
    draw.save(draw.annotate(draw.open_picture(picture), marks), target)
