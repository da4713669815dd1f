"""``recognizance compare``: the face of one picture and the faces of another."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from recognizance.cli._options import Contract, Data, Draw, Json, Models, Threshold
from recognizance.cli._output import bar, console, messages, plain_errors, print_json, similarity_text
from recognizance.cli._session import Session, open_session
from recognizance.core.errors import InvalidParameterError, SetupError
from recognizance.core.settings import load_settings


@plain_errors
def command(
    source: Annotated[Path, typer.Argument(metavar="A", help="Picture whose largest face is compared.")],
    target: Annotated[Path, typer.Argument(metavar="B", help="Picture with whose faces it is compared.")],
    threshold: Threshold = 80.0,
    draw: Draw = None,
    data: Data = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Compare the face of one picture with those of another.

    The largest face of picture A is compared with every face of picture B. Nothing is kept.

    A similarity of 80 is reached by one pair of strangers in a thousand, 90 by one in ten thousand, 99 by one in a
    million.
    """
    with open_session(load_settings(data=data, contract=contract, models=models)) as session:
        # Everything is asked for, so that the table can show what stays below the threshold.
        found = _compare(session, source, target)
    matches, others = _split(found, threshold)
    if draw is not None:
        _draw(found["SourceImageFace"], matches, others, (source, target), draw)
    if json:
        faces = [match["Face"] for match in others]
        print_json(found | {"FaceMatches": matches, "UnmatchedFaces": faces})
        return
    table = Table("Face in B", "Similarity", "", "", box=None)
    for column in (0, 2):
        table.columns[column].justify = "right"
    for number, match in enumerate(matches + others, 1):
        verdict = "[green]match[/green]" if number <= len(matches) else "no match"
        table.add_row(
            str(number),
            bar(match["Similarity"], good=number <= len(matches)),
            similarity_text(match["Similarity"]),
            verdict,
        )
    console().print(table)
    if draw is not None:
        messages().print(f"Drawn in {draw}")


def _compare(session: Session, source: Path, target: Path) -> dict[str, Any]:
    pictures = {"SourceImage": session.image(source), "TargetImage": session.image(target)}
    try:
        return session.call("CompareFaces", **pictures, SimilarityThreshold=0)
    except InvalidParameterError:
        for path in (source, target):
            if not session.call("DetectFaces", Image=session.image(path))["FaceDetails"]:
                raise SetupError(f"No face was found in {path}.") from None
        raise


def _split(found: dict[str, Any], threshold: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    matches = found["FaceMatches"]
    return (
        [match for match in matches if match["Similarity"] >= threshold],
        [match for match in matches if match["Similarity"] < threshold],
    )


def _draw(
    face: dict[str, Any],
    matches: list[dict[str, Any]],
    others: list[dict[str, Any]],
    pictures: tuple[Path, Path],
    target: Path,
) -> None:
    from recognizance.cli import draw

    left = draw.annotate(draw.open_picture(pictures[0]), [draw.mark(face, draw.PALETTE[1], "A")])
    marks = [
        draw.mark(match["Face"], colour, str(number), similarity_text(match["Similarity"]))
        for number, (match, colour) in enumerate(
            [(match, draw.PALETTE[0]) for match in matches] + [(match, draw.UNKNOWN) for match in others], 1
        )
    ]
    right = draw.annotate(draw.open_picture(pictures[1]), marks)
    draw.save(draw.side_by_side([left, right]), target)
