"""Which files are done, so that a run that was interrupted, or is repeated, goes on where it stopped.

A file that has the path, size and time of change of one that is done is not even opened. Any other is read, and is
recognised by the SHA-256 of its content: so a file that was moved, renamed or touched is not analysed again.

The journal lies in the data folder beside the database and may be deleted at any time: faces have ids that follow from
picture, name and collection, so that a file indexed twice is stored once. It only saves the work.
"""

import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from recognizance.cli.indexing.walk import File
from recognizance.core.errors import SetupError

NAME = "index-journal.db"

_FORM = 2
"""What the file's ``user_version`` says; a journal of another form is begun anew."""

_TABLES = (
    "CREATE TABLE collections (pk INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE, created TEXT NOT NULL)",
    """
CREATE TABLE files (
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    path BLOB NOT NULL,  -- as bytes, for a file's name need not be text
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    digest BLOB,  -- SHA-256 of the content; NULL where it was not read, for it is no picture or too large
    refused TEXT,  -- where there is no digest: the code, if it was refused
    detail TEXT,
    PRIMARY KEY (collection, path)
) WITHOUT ROWID
""",
    """
CREATE TABLE pictures (
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    digest BLOB NOT NULL,
    how TEXT NOT NULL,  -- everything else that decides which faces are stored
    external_id TEXT NOT NULL,  -- empty where faces have none
    refused TEXT,
    detail TEXT,
    faces BLOB NOT NULL,  -- the ids of the faces stored, 16 bytes each
    PRIMARY KEY (collection, digest, how, external_id)
) WITHOUT ROWID
""",
)

_KNOWN = """
SELECT f.digest, f.refused, f.detail, p.digest, p.refused, p.detail FROM files f
LEFT JOIN pictures p
    ON p.collection = f.collection AND p.digest = f.digest AND p.how = ? AND p.external_id = ?
WHERE f.collection = ? AND f.path = ? AND f.size = ? AND f.changed = ?
"""
# The same name first, then any other.
_SAME = """
SELECT external_id, refused, detail, faces FROM pictures WHERE collection = ? AND digest = ? AND how = ?
ORDER BY external_id <> ? LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows of a file or picture.

    Attributes:
        done: Whether it is done, under this very name.
        digest: SHA-256 of its content, if that is known.
        refused: The code, where it was refused.
        detail: More about the refusal.
        face_ids: The faces stored, under this name or another.
    """

    done: bool = False
    digest: bytes | None = None
    refused: str | None = None
    detail: str | None = None
    face_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A file that is done.

    Attributes:
        file: The file.
        external_id: The external image id of its faces.
        digest: SHA-256 of its content; None when it was not read.
        refused: The code, where it was refused.
        detail: More about the refusal.
        face_ids: The faces stored; None when the journal has them already, under the same name.
    """

    file: File
    external_id: str | None
    digest: bytes | None
    refused: str | None = None
    detail: str | None = None
    face_ids: tuple[str, ...] | None = ()


class Journal:
    """The files of one collection that are done. Safe to use from many threads.

    Args:
        data: The data folder.
        arn: The collection's ARN.
        created: When it was created. One that was deleted and made anew has nothing done.
        how: What the choice of faces depends on beside the picture, as text: what was done otherwise is not done.

    Raises:
        SetupError: The file cannot be used.
    """

    def __init__(self, data: Path, arn: str, created: str, how: str = "") -> None:
        self._path, self._how = data / NAME, how
        self._lock = threading.Lock()
        with self._trouble():
            self._connection = sqlite3.connect(self._path, timeout=60, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut forgets is only done again
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._make()
            self._collection = self._open_collection(arn, created)

    def _make(self) -> None:
        with self._transaction():  # several processes may open it at the same time
            (form,) = self._connection.execute("PRAGMA user_version").fetchone()
            if form == _FORM:
                return
            for table in ("files", "pictures", "collections"):
                self._connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _TABLES:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {_FORM}")

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

    def file(self, file: File, external_id: str | None) -> Known:
        """Return what is known of a file by its path, size and time of change, without reading it.

        Raises:
            SetupError: The journal cannot be read.
        """
        path = os.fsencode(file.path)
        values = (self._how, external_id or "", self._collection, path, file.size, file.changed_ns)
        with self._lock, self._trouble():
            row = self._connection.execute(_KNOWN, values).fetchone()
        if row is None:
            return Known()
        digest, file_refused, file_detail, done, refused, detail = row
        if digest is None:
            return Known(True, None, file_refused, file_detail)
        return Known(done is not None, digest, refused, detail)

    def picture(self, digest: bytes, external_id: str | None) -> Known:
        """Return what is known of a picture by the SHA-256 of its content.

        Raises:
            SetupError: The journal cannot be read.
        """
        name = external_id or ""
        with self._lock, self._trouble():
            row = self._connection.execute(_SAME, (self._collection, digest, self._how, name)).fetchone()
        if row is None:
            return Known(digest=digest)
        found, refused, detail, faces = row
        ids = tuple(str(uuid.UUID(bytes=faces[start : start + 16])) for start in range(0, len(faces), 16))
        return Known(found == name, digest, refused, detail, ids)

    def enter(self, done: Iterable[Done]) -> None:
        """Note files as done.

        Raises:
            SetupError: The journal cannot be written.
        """
        files, pictures = [], []
        for one in done:
            of_file = (one.refused, one.detail) if one.digest is None else (None, None)
            files.append(
                (self._collection, os.fsencode(one.file.path), one.file.size, one.file.changed_ns, one.digest, *of_file)
            )
            if one.digest is not None and one.face_ids is not None:
                faces = b"".join(uuid.UUID(face).bytes for face in one.face_ids)
                name = one.external_id or ""
                pictures.append((self._collection, one.digest, self._how, name, one.refused, one.detail, faces))
        with self._lock, self._trouble(), self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", files)
            self._connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?)", pictures)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
