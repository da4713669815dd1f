"""The program ``recognizance``: its commands by name, each imported when it is called and not before.

Most commands need OpenVINO, OpenCV or SQLAlchemy, which take a second to import; ``recognizance --help`` needs none of
them. So the table here holds what the help of the whole program shows, and a test keeps it equal to what the commands
say of themselves.
"""

from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "demo": "Try it all: fetch models, serve, recognise faces by boto3.",
    "serve": "Serve the Rekognition API.",
    "keys": "Make, list and disable access keys.",
    "models": "List, install and examine the models.",
    "collections": "List, create, move, check and delete collections.",
    "backup": "Write the database and the key file to a backup, while servers go on.",
    "restore": "Restore a backup into an empty data folder, or check one.",
    "index": "Store the faces of a folder or a bucket of pictures in a collection.",
    "jobs": "List, examine and delete bulk indexing jobs.",
    "search": "Find the people of a picture in a collection.",
    "compare": "Compare the face of one picture with those of another.",
    "detect": "Find the faces of a picture.",
    "config": "Show the settings.",
    "doctor": "Check that this machine is fit to serve, and name cures.",
    "evaluate": "Measure error rates on pictures of your own.",
    "bench": "Measure how fast this machine is.",
}
"""The commands, in the order of the help, each with its first line. ``name`` lives in ``recognizance.cli.name``: an
``app`` where it has sub-commands, a ``command`` otherwise."""


def load_command(name: str) -> Any:  # noqa: ANN401 - the framework keeps its class of commands to itself
    """Import a command and return it as the framework's object."""
    module = import_module(f"recognizance.cli.{name}")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.callback()(lambda: None)  # keeps the only command from becoming the program itself
    if hasattr(module, "app"):
        alone.add_typer(module.app, name=name)
    else:
        alone.command(name)(module.command)
    group = typer.main.get_command(alone)
    if not isinstance(group, TyperGroup):
        raise TypeError(f"{name} did not become a command")
    return group.commands[name]


class LazyGroup(TyperGroup):
    """A group whose commands are names with a line of help until one of them is called."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever the framework passes on
        super().__init__(**options)
        self.commands.update({name: TyperCommand(name, short_help=line) for name, line in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - its own
        """Find the command that the arguments name, and load it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


# Plain help: the decorated kind takes as long to import as all the rest.
app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they show local variables, among them secrets
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from recognizance import __version__

        typer.echo(f"recognizance {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Self-hosted face recognition that speaks Amazon Rekognition's protocol.

    Begin with `recognizance demo`, or with `recognizance models pull` and `recognizance serve`.
    """
    del version
