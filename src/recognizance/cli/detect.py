"""``recognizance detect``: the faces of a picture."""

from typing import Any

from rich.table import Table

from recognizance.cli._options import Contract, Data, Draw, Json, Models, Picture
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.cli._session import open_session
from recognizance.core.settings import load_settings


@plain_errors
def command(
    picture: Picture,
    draw: Draw = None,
    data: Data = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Find the faces of a picture.

    Each is described: where it is, which way it looks, how bright and sharp it is. At most the 100 largest are found,
    the largest first. Nothing is kept.
    """
    with open_session(load_settings(data=data, contract=contract, models=models)) as session:
        found = session.call("DetectFaces", Image=session.image(picture))
    faces = found["FaceDetails"]
    if draw is not None:
        from recognizance.cli import draw as drawing

        marks = [drawing.mark(face, drawing.PALETTE[0], str(number)) for number, face in enumerate(faces, 1)]
        drawing.save(drawing.annotate(drawing.open_picture(picture), marks), draw)
    if json:
        print_json(found)
        return
    if faces:
        console().print(_table(faces))
    messages().print(f"{len(faces)} face{'' if len(faces) == 1 else 's'} found.")
    if draw is not None:
        messages().print(f"Drawn in {draw}")


def _table(faces: list[dict[str, Any]]) -> Table:
    table = Table(box=None)
    for heading in ("", "Confidence", "Left, top", "Width, height", "Roll, yaw, pitch", "Brightness", "Sharpness"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, face in enumerate(faces, 1):
        box, pose, quality = face["BoundingBox"], face["Pose"], face["Quality"]
        table.add_row(
            str(number),
            f"{face['Confidence']:.1f} %",
            f"{box['Left']:.0%}, {box['Top']:.0%}",
            f"{box['Width']:.0%}, {box['Height']:.0%}",
            ", ".join(f"{round(pose[axis])}°" for axis in ("Roll", "Yaw", "Pitch")),
            f"{quality['Brightness']:.0f}",
            f"{quality['Sharpness']:.0f}",
        )
    return table
