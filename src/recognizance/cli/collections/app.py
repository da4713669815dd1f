"""What the sub-commands have in common."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="List, create, move, check and delete collections.")

Name = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection's id.")]
EveryName = Annotated[
    str | None,
    typer.Argument(
        metavar="[COLLECTION]", help="The collection's id; without it, every collection.", show_default=False
    ),
]
