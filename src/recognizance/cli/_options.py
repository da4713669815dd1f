"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the database, the key file and the configuration file.", show_default=False),
]
Models = Annotated[
    Path | None, typer.Option("--models", help="Folder of the installed model files.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
