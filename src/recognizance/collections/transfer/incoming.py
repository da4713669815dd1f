"""Reading an exported collection: nothing of a file is believed before it was checked."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from recognizance.collections.faces import MAX_FACES
from recognizance.collections.transfer import checks
from recognizance.collections.transfer.about import (
    ABOUT_KEY,
    DIGEST_KEY,
    ROWS_OF_GROUP,
    USERS_SCHEMA,
    About,
    faces_schema,
    users_path,
)
from recognizance.collections.transfer.digest import ContentDigest
from recognizance.core.errors import SetupError
from recognizance.storage.backup.progress import Progress, silent
from recognizance.vision.contracts import contract_of_version

_MOST_BYTES_OF_COLUMN = 1 << 28
"""The most bytes of a column of a row group; embeddings of 512 numbers have 16 MiB."""

_LIMITS = {"thrift_string_size_limit": 1 << 26, "thrift_container_size_limit": 1 << 20}


class Table:
    """One Parquet file of an export, its schema and its description checked.

    Attributes:
        path: Where it is.
        about: What it says of itself.
        digest: The digest that its content should have.

    Raises:
        SetupError: It is no such file, or contradicts its own description.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._plain_errors():
            plain = pq.ParquetFile(path, **_LIMITS)
        metadata = plain.metadata.metadata or {}
        plain.close()
        if ABOUT_KEY not in metadata or DIGEST_KEY not in metadata:
            raise SetupError(
                f"{path} is no export of a collection. What other programs wrote, or changed, cannot be imported."
            )
        self._text = metadata[ABOUT_KEY]
        self.about = About.parse(self._text, path)
        self.digest = metadata[DIGEST_KEY].decode("ascii", "replace")
        schema = faces_schema(self.about.dimensions) if self.about.table == "faces" else USERS_SCHEMA
        if plain.schema_arrow != schema:
            raise SetupError(f"{path} is damaged: its columns are not those of a collection's {self.about.table}.")
        self._check_sizes(plain.metadata)
        self._strings = [field.name for field in schema if field.type == pa.string()]
        with self._plain_errors():
            # As dictionaries, a short string that is repeated takes no more memory than it does in the file.
            self._file = pq.ParquetFile(
                path,
                metadata=plain.metadata,
                read_dictionary=self._strings,
                page_checksum_verification=True,
                pre_buffer=False,
                **_LIMITS,
            )

    def _check_sizes(self, metadata: pq.FileMetaData) -> None:
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        rows = [group.num_rows for group in groups]
        largest = max(
            (group.column(number).total_uncompressed_size for group in groups for number in range(group.num_columns)),
            default=0,
        )
        if not sum(rows) == metadata.num_rows == self.about.rows or min(rows, default=0) < 0:
            raise self._damaged(f"it has {metadata.num_rows:,} rows and says that they are {self.about.rows:,}")
        if max(rows, default=0) > ROWS_OF_GROUP or largest > _MOST_BYTES_OF_COLUMN:
            raise self._damaged("a row group is larger than this program writes any")
        if self.about.rows > MAX_FACES:
            raise SetupError(f"{self.path} has {self.about.rows:,} rows; a collection has no more than {MAX_FACES:,}.")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def groups(self) -> Iterator[pa.RecordBatch]:
        """Give each row group, every value of it checked.

        Raises:
            SetupError: A value is not what this program could have written.
        """
        for number in range(self._file.num_row_groups):
            with self._plain_errors():
                table = self._file.read_row_group(number)
                table.validate(full=True)
                for name in self._strings:
                    checks.short_strings(table[name], f"{self.path}: {name}")
                plain = [
                    table[name].cast(pa.string()) if name in self._strings else table[name]
                    for name in table.column_names
                ]
                fields = [table.schema.field(name) for name in table.column_names]
                schema = pa.schema([field.with_type(column.type) for field, column in zip(fields, plain, strict=True)])
                group = pa.record_batch([_whole(column) for column in plain], schema=schema)
                checks.check_group(group, self.about, str(self.path))
            yield group

    def verify(self, seen: "checks.UserCounts | None" = None, progress: Progress = silent) -> None:
        """Check every value, and compare the whole with its digest.

        Raises:
            SetupError: The file is damaged, or was not written by this program.
        """
        digest, rows = ContentDigest(self._text), 0
        for group in self.groups():
            digest.update(group)
            if seen is not None:
                seen.add(group["user_id"])
            rows += group.num_rows
            progress(rows, self.about.rows)
        if rows != self.about.rows or digest.hexdigest() != self.digest:
            raise self._damaged("its content does not have the digest that it says")

    def _damaged(self, why: str) -> SetupError:
        return SetupError(f"{self.path} is damaged: {why}. Export the collection again, or copy the file again.")

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
            if isinstance(error, FileNotFoundError):
                raise SetupError(f"There is no file {self.path}.") from error
            raise SetupError(
                f"{self.path} cannot be read as Parquet: {' '.join(str(error).split()).rstrip('.')}."
            ) from error


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


class Incoming:
    """An exported collection that is about to be imported.

    Attributes:
        about: What the table of faces says of itself.

    Args:
        faces: The table of faces.
        users: The table of users; None where there are none.
    """

    def __init__(self, faces: Table, users: Table | None) -> None:
        self.about = faces.about
        self._faces, self._users = faces, users

    @classmethod
    def open(cls, path: Path, opened: ExitStack) -> Self:
        """Open the tables of an export by the path of that of faces; see :func:`open_incoming`."""
        faces = Table(path)
        opened.callback(faces.close)
        about = faces.about
        if about.table != "faces":
            raise SetupError(f"{path} is a table of users. Name the table of faces, {_faces_of(path)}.")
        contract = contract_of_version(about.face_model_version)
        if contract.dimensions != about.dimensions:
            raise SetupError(f"{path} is damaged: embeddings of {contract.version} have {contract.dimensions} numbers.")
        checks.check_tags(about.tags, str(path))
        if about.users is None:
            return cls(faces, None)
        users = Table(users_path(path))
        opened.callback(users.close)
        if users.about.table != "users" or users.digest != about.users:
            raise SetupError(f"{users.path} does not belong to {path}: they were not exported together.")
        return cls(faces, users)

    @property
    def rows(self) -> int:
        """How many faces and users there are."""
        return self.about.rows + (self._users.about.rows if self._users else 0)

    def verify(self, progress: Progress = silent) -> None:
        """Check every value of both tables, and compare them with their digests.

        Raises:
            SetupError: A file is damaged, or was not written by this program.
        """
        before = 0
        if self._users:
            self._users.verify(progress=lambda done, _: progress(done, self.rows))
            before = self._users.about.rows
        seen = checks.UserCounts()
        self._faces.verify(seen, progress=lambda done, _: progress(before + done, self.rows))
        seen.check(str(self._faces.path))

    def users(self) -> Iterator[pa.RecordBatch]:
        """Give the users, a row group at a time."""
        return self._users.groups() if self._users else iter(())

    def faces(self) -> Iterator[pa.RecordBatch]:
        """Give the faces, a row group at a time."""
        return self._faces.groups()


def _faces_of(path: Path) -> Path:
    return path.with_name(path.name.replace(".users", "", 1))


@contextmanager
def open_incoming(path: Path) -> Iterator[Incoming]:
    """Open an exported collection, and see what it says of itself; :meth:`Incoming.verify` sees whether that is so.

    Raises:
        SetupError: It is none, is of a newer version or of a model contract that this release does not have, or its
            table of users is missing or another's.
    """
    with ExitStack() as opened:
        yield Incoming.open(path, opened)
