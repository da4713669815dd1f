"""Which caches were made from this database: the marks of the newest ones are kept in it."""

from sqlalchemy.exc import SQLAlchemyError

from recognizance.storage.database import Database
from recognizance.storage.locks import hold
from recognizance.storage.repositories import collections, meta

_PREFIX = "cache marks "
_BYTES = 16
_KEPT = 64
"""Each data folder publishes a mark every few thousand writes. A cache whose mark is no longer among so many is behind
the log, too."""


class CacheRegister:
    """The marks of one index of one collection; see ``recognizance.collections.index.cache.Register``.

    Args:
        database: Where they are kept.
        collection_pk: The collection's key.
        kind: What the index holds.
    """

    def __init__(self, database: Database, collection_pk: int, kind: str) -> None:
        self._database = database
        self._name = f"{_PREFIX}{collection_pk} {kind}"

    def note(self, mark: str) -> None:
        """Remember a mark.

        Raises:
            OSError: The database cannot be written.
        """
        try:
            with self._database.begin() as connection:
                hold(connection, self._name)
                kept = meta.get(connection, self._name) or b""
                meta.put(connection, self._name, (bytes.fromhex(mark) + kept)[: _BYTES * _KEPT])
        except SQLAlchemyError as error:
            raise OSError(f"the database cannot be written: {getattr(error, 'orig', error)}") from error

    def knows(self, mark: str) -> bool:
        """Return whether a mark is among the newest that were noted."""
        with self._database.read() as connection:
            kept = meta.get(connection, self._name) or b""
        wanted = bytes.fromhex(mark)
        return any(kept[start : start + _BYTES] == wanted for start in range(0, len(kept), _BYTES))


def forget_deleted(database: Database) -> None:
    """Delete the marks of collections that do not exist."""
    with database.read() as connection:
        names, kept = meta.names(connection, _PREFIX), collections.revisions(connection)
    gone = [name for name in names if int(name.removeprefix(_PREFIX).partition(" ")[0]) not in kept]
    if gone:
        with database.begin() as connection:
            for name in gone:
                meta.delete(connection, name)
