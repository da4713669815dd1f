"""Values of the database as a whole."""

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.schema import meta as table

MILVUS_INSTALLATION = "milvus installation"
"""The name of what tells this database's vectors in Milvus from others'. A restored database is given another one."""


def get(connection: Connection, name: str) -> bytes | None:
    """Return the value of a name, or None."""
    value: bytes | None = connection.scalar(sa.select(table.c.value).where(table.c.name == name))
    return value


def names(connection: Connection, prefix: str) -> list[str]:
    """Return the names that begin with a prefix."""
    return list(connection.scalars(sa.select(table.c.name).where(table.c.name.startswith(prefix, autoescape=True))))


def put(connection: Connection, name: str, value: bytes) -> None:
    """Write a value, over that of the same name."""
    delete(connection, name)
    connection.execute(table.insert().values(name=name, value=value))


def delete(connection: Connection, name: str) -> None:
    """Delete the value of a name, if there is one."""
    connection.execute(table.delete().where(table.c.name == name))
