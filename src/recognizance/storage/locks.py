"""Locks on names, for what has no row yet that could be locked."""

import hashlib

import sqlalchemy as sa
from sqlalchemy import Connection

SCHEMA = "schema"
KEY_FILE = "key file"

_LOCK = sa.text("SELECT pg_advisory_xact_lock(:key)")


def hold(connection: Connection, *name: str) -> None:
    """Wait until no other transaction holds this name, and hold it until this one ends.

    On SQLite a transaction that writes holds everything already.
    """
    if connection.dialect.name == "postgresql":
        digest = hashlib.sha256("\0".join(("recognizance", *name)).encode()).digest()
        connection.execute(_LOCK, {"key": int.from_bytes(digest[:8], signed=True)})
