"""``recognizance config``: the settings, and where each came from."""

from typing import Any

import typer
from pydantic import SecretStr
from rich.markup import escape
from rich.table import Table

from recognizance.cli._options import Contract, Data, Host, Json, Models, Port
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.core.settings import (
    CONFIG_FILE,
    ENV_PREFIX,
    Settings,
    load_settings_and_origins,
    unknown_variables,
)
from recognizance.storage.database import shown_url

app = typer.Typer(no_args_is_help=True, help="Show the settings.")


@app.callback()
def config() -> None:
    """Show the settings."""


@app.command()
@plain_errors
def show(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Show each setting and where its value came from.

    Arguments of a command win over the environment, the environment over the file recognizance.toml in the data
    folder, the file over the defaults. Secrets are masked.
    """
    settings, origins = load_settings_and_origins(data=data, host=host, port=port, contract=contract, models=models)
    if json:
        print_json({name: {"value": _value(settings, name), "origin": origin} for name, origin in origins.items()})
        return
    table = Table("Setting", "Value", "From", box=None)
    table.columns[1].overflow = "fold"
    for name, origin in origins.items():
        value = _value(settings, name)
        style = "" if origin == "default" else "bold"
        table.add_row(name, "-" if value in {None, ()} else escape(str(value)), origin, style=style)
    console().print(table)
    out = messages()
    out.print(f"File: {escape(str(settings.data / CONFIG_FILE))}", soft_wrap=True)
    out.print(f"Environment: {ENV_PREFIX} and the setting's name in capitals, such as {ENV_PREFIX}PORT")
    for name in unknown_variables():
        out.print(f"[yellow]{escape(name)} is no setting; it has no effect.[/yellow]")


def _value(settings: Settings, name: str) -> Any:  # noqa: ANN401 - of each setting's own type
    """Return a setting's value as it may be shown."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return "********"
    if name in {"database_url", "milvus_url"} and value is not None:
        return shown_url(value)
    return value
