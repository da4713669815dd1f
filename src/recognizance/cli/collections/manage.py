"""Making, listing and deleting collections."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from recognizance.cli._options import Contract, Data, Json, Yes
from recognizance.cli._output import confirm, console, messages, plain_errors, print_json
from recognizance.cli._session import Session, open_session
from recognizance.cli.collections.app import Name, app
from recognizance.core.settings import load_settings

_SEARCHED = {
    "exact": "exactly, every face",
    "scan": "by compact codes, the best of them exactly",
    "milvus": "by Milvus",
}


@app.command("list")
@plain_errors
def list_collections(data: Data = None, json: Json = False) -> None:
    """List the collections, oldest first, with what they hold."""
    with open_session(load_settings(data=data)) as session:
        found = [_described(session, name) for name in names(session)]
    if json:
        print_json(found)
        return
    if not found:
        messages().print("There are no collections yet. Make one: recognizance collections create NAME")
        return
    table = Table("Collection", box=None)
    for heading in ("Faces", "Users"):
        table.add_column(heading, justify="right")
    table.add_column("Face model")
    table.add_column("Made")
    for one in found:
        made = f"{one['CreationTimestamp']:%Y-%m-%d %H:%M} UTC"
        counts = (f"{one['FaceCount']:,}", f"{one['UserCount']:,}")
        table.add_row(escape(one["CollectionId"]), *counts, one["FaceModelVersion"], made)
    console().print(table)


@app.command()
@plain_errors
def create(name: Name, data: Data = None, contract: Contract = None, json: Json = False) -> None:
    """Create an empty collection. It keeps the model contract it was made with."""
    with open_session(load_settings(data=data, contract=contract)) as session:
        made = session.call("CreateCollection", CollectionId=name)
    if json:
        print_json(made)
        return
    messages().print(f"Created {escape(name)} with face model {made['FaceModelVersion']}.")


@app.command()
@plain_errors
def describe(name: Name, data: Data = None, json: Json = False) -> None:
    """Describe a collection: what it holds, its face model, its index."""
    with open_session(load_settings(data=data)) as session:
        found = _described(session, name)
        index = session.services.collections.index_state(name)
    if json:
        print_json(found | {"Index": index.kind, "CachedBytes": index.cached_bytes})
        return
    table = Table(box=None, show_header=False)
    for label, value in (
        ("Collection", found["CollectionId"]),
        ("Faces", f"{found['FaceCount']:,}"),
        ("Users", f"{found['UserCount']:,}"),
        ("Face model", found["FaceModelVersion"]),
        ("Made", f"{found['CreationTimestamp']:%Y-%m-%d %H:%M:%S} UTC"),
        ("ARN", found["CollectionARN"]),
        ("Searched", _SEARCHED[index.kind]),
        ("On disk for that", f"{index.cached_bytes / 1e6:,.1f} MB" if index.cached_bytes else "nothing"),
    ):
        table.add_row(label, escape(value))
    console().print(table)


@app.command()
@plain_errors
def delete(name: Name, data: Data = None, yes: Yes = False, json: Json = False) -> None:
    """Delete a collection with all its faces and users. There is no way back."""
    with open_session(load_settings(data=data)) as session:
        count = session.call("DescribeCollection", CollectionId=name)["FaceCount"]
        confirm(f"Delete the collection {name} and its {count:,} faces for good?", yes=yes)
        done = session.call("DeleteCollection", CollectionId=name)
    if json:
        print_json(done)
        return
    messages().print(f"Deleted {escape(name)}.")


def names(session: Session, *, page_size: int = 4096) -> list[str]:
    """Return the ids of every collection, oldest first, asked for a page at a time."""
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = session.call("ListCollections", MaxResults=page_size, **more)
        found += page["CollectionIds"]
        if "NextToken" not in page:
            return found
        more = {"NextToken": page["NextToken"]}


def _described(session: Session, name: str) -> dict[str, Any]:
    return {"CollectionId": name, **session.call("DescribeCollection", CollectionId=name)}
