"""``recognizance doctor``: whether this machine is fit to serve."""

from dataclasses import asdict

import typer
from rich.markup import escape
from rich.table import Table

from recognizance.cli._checks import examine
from recognizance.cli._options import Contract, Data, Host, Json, Models, Port
from recognizance.cli._output import console, plain_errors, print_json
from recognizance.core import log
from recognizance.core.settings import load_settings

_SIGNS = {"ok": "[green]ok[/green]", "warn": "[yellow]warn[/yellow]", "fail": "[bold red]fail[/bold red]"}


@plain_errors
def command(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Check that this machine is fit to serve, and name cures.

    Nothing is changed. The exit code is 1 when something keeps the server from working.
    """
    settings = load_settings(data=data, host=host, port=port, contract=contract, models=models)
    log.configure(settings.model_copy(update={"log_level": "error"}))
    checks = list(examine(settings))
    healthy = all(check.state != "fail" for check in checks)
    if json:
        print_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        table = Table(box=None, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for check in checks:
            detail = escape(check.detail) + (f"\n[dim]{escape(check.cure)}[/dim]" if check.cure else "")
            table.add_row(_SIGNS[check.state], check.name, detail)
        console().print(table)
    if not healthy:
        raise typer.Exit(1)
