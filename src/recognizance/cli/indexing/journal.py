"""Which files are done, so that a run that was interrupted, or is repeated, goes on where it stopped.

The journal lies in the data folder beside the database and may be deleted at any time: faces have ids that follow from
picture and collection, so that a file indexed twice is stored once. It only saves the work.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from recognizance.cli.indexing.walk import File
from recognizance.core.errors import SetupError

NAME = "index-journal.db"

_TABLES = """
CREATE TABLE IF NOT EXISTS collections (
    pk INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE, created TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    path BLOB NOT NULL,  -- as bytes, for a file's name need not be text
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    how TEXT NOT NULL,  -- everything else that the outcome depends on, such as the external id
    refused TEXT,  -- the code, where the file was refused
    detail TEXT,
    PRIMARY KEY (collection, path)
) WITHOUT ROWID;
"""


class Journal:
    """The files of one collection that are done. For one thread.

    Args:
        data: The data folder.
        arn: The collection's ARN.
        created: When it was created. One that was deleted and made anew has nothing done.

    Raises:
        SetupError: The file cannot be used.
    """

    def __init__(self, data: Path, arn: str, created: str) -> None:
        self._path = data / NAME
        with self._trouble():
            self._connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut forgets is only done again
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.executescript(_TABLES)
            self._collection = self._open_collection(arn, created)

    def _open_collection(self, arn: str, created: str) -> int:
        self._connection.execute("DELETE FROM collections WHERE arn = ? AND created <> ?", (arn, created))
        self._connection.execute("INSERT OR IGNORE INTO collections (arn, created) VALUES (?, ?)", (arn, created))
        (pk,) = self._connection.execute("SELECT pk FROM collections WHERE arn = ?", (arn,)).fetchone()
        return int(pk)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SetupError(
                f"{self._path} cannot be used: {error}. It only saves work: it may be deleted without loss."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def outcome(self, file: File, how: str) -> tuple[str | None, str | None] | None:
        """Return what became of a file if it is done: None and None, or the code and detail of its refusal.

        None when it is not done, or when it changed since, or was to be done in another way.

        Raises:
            SetupError: The journal cannot be read.
        """
        with self._trouble():
            row = self._connection.execute(
                "SELECT refused, detail FROM files"
                " WHERE collection = ? AND path = ? AND size = ? AND changed = ? AND how = ?",
                (self._collection, os.fsencode(file.path), file.size, file.changed_ns, how),
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def enter(self, done: Iterable[tuple[File, str, str | None, str | None]]) -> None:
        """Note files as done: each with how, and the code and detail where it was refused.

        Raises:
            SetupError: The journal cannot be written.
        """
        rows = [
            (self._collection, os.fsencode(file.path), file.size, file.changed_ns, how, refused, detail)
            for file, how, refused, detail in done
        ]
        with self._trouble(), self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
