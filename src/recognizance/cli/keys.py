"""``recognizance keys``: the access keys that clients sign their requests with."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from recognizance.cli._keys import environment_block
from recognizance.cli._options import Data, Json, Yes
from recognizance.cli._output import confirm, console, messages, plain_errors, print_json
from recognizance.core import log
from recognizance.core.settings import Settings, load_settings
from recognizance.governance import keys
from recognizance.governance.keys import KeyStore
from recognizance.storage.database import Database

app = typer.Typer(no_args_is_help=True, help="Make, list and disable access keys.")


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    log.configure(settings.model_copy(update={"log_level": "warning"}))
    with closing(Database.open(settings.resolved_database_url)) as database:
        yield database


@contextmanager
def _keys(settings: Settings) -> Iterator[KeyStore]:
    with _database(settings) as database:
        yield KeyStore(database, settings.data, account_id=settings.account_id)


@app.command()
@plain_errors
def create(
    role: Annotated[
        Literal["administrator", "reader"],
        typer.Option(help="administrator may do everything, reader only what changes nothing."),
    ],
    data: Data = None,
    json: Json = False,
) -> None:
    """Make an access key and show its secret, once."""
    settings = load_settings(data=data)
    with _keys(settings) as store:
        key = store.create(role)
    if json:
        shown = {"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret_access_key, "Role": key.role}
        print_json(shown)
        return
    endpoint = f"http://{settings.host}:{settings.port}"
    messages().print(f"A new key of the role {key.role}. Its secret is shown only now:\n")
    console().print(escape(environment_block(endpoint, settings.region, key)), soft_wrap=True)


@app.command("list")
@plain_errors
def list_keys(data: Data = None, json: Json = False) -> None:
    """List the access keys, oldest first, without their secrets."""
    with _keys(load_settings(data=data)) as store:
        found = store.list()
    if json:
        rows = [
            {
                "AccessKeyId": key.access_key_id,
                "Role": key.role,
                "Enabled": key.enabled,
                "CreatedAt": key.created_at.isoformat(),
            }
            for key in found
        ]
        print_json(rows)
        return
    if not found:
        messages().print("There are no access keys yet. Make one: recognizance keys create --role administrator")
        return
    table = Table("Access key", "Role", "State", "Made", box=None)
    for key in found:
        state = "[green]enabled[/green]" if key.enabled else "[red]disabled[/red]"
        table.add_row(key.access_key_id, key.role, state, f"{key.created_at:%Y-%m-%d %H:%M} UTC")
    console().print(table)


@app.command()
@plain_errors
def disable(
    access_key_id: Annotated[
        str, typer.Argument(metavar="KEY", help="The id of the key, from `recognizance keys list`.")
    ],
    data: Data = None,
    json: Json = False,
) -> None:
    """Disable an access key for good; running servers refuse it within a second."""
    with _keys(load_settings(data=data)) as store:
        store.disable(access_key_id)
    if json:
        print_json({"AccessKeyId": access_key_id, "Enabled": False})
        return
    messages().print(f"{access_key_id} is disabled.")


@app.command()
@plain_errors
def reset(data: Data = None, yes: Yes = False, json: Json = False) -> None:
    """Delete every access key, after the key file was lost. Collections stay as they are."""
    settings = load_settings(data=data)
    confirm(f"Delete every access key of {settings.data}?", yes=yes)
    with _database(settings) as database:
        keys.reset(database)
    if json:
        print_json({"Deleted": True})
        return
    messages().print("Every access key is deleted. Make new ones: recognizance keys create --role administrator")
