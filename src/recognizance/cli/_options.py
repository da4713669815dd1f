"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Folder of the database, the key file and the configuration file.",
        show_default=False,
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="URL of the database; by default SQLite in the data folder.",
        show_default=False,
    ),
]
Models = Annotated[
    Path | None,
    typer.Option("--models", metavar="FOLDER", help="Folder of the installed model files.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Contract = Annotated[
    Literal["auto", "core", "standard"] | None,
    typer.Option(help="Model contract to work with; auto takes the best one installed.", show_default=False),
]
Collection = Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="The collection.")]
Picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="A JPEG or PNG file.")]
Draw = Annotated[
    Path | None,
    typer.Option("--draw", metavar="FILE", help="Write the picture with what was found drawn in.", show_default=False),
]
Threshold = Annotated[
    float, typer.Option(metavar="N", min=0, max=100, help="Least similarity, 0 to 100, that counts as a match.")
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Address to listen on; 0.0.0.0 for all. [default: 127.0.0.1]",
        show_default=False,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        metavar="N",
        min=0,
        max=65535,
        help="Port to listen on; 0 takes a free one. [default: 8111]",
        show_default=False,
    ),
]
