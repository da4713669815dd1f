"""What a backup says of itself: ``manifest.json``."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recognizance.core.errors import SetupError
from recognizance.storage.backup.tables import Column, Kind, TableShape

FORMAT_VERSION = 1
"""The form of backups that this version of the program writes, and the newest that it reads."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ColumnEntry(_Part):
    """A column of a table, and what it holds."""

    name: str
    type: Kind
    nullable: bool


class TableEntry(_Part):
    """A table, and how much of it there is.

    Attributes:
        name: Its name in the database.
        rows: How many rows the backup has of it.
        last_key: The highest number that the database ever gave a row of it, deleted ones included; None where it
            does not number them.
        columns: Its columns, in the order of the Parquet file.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    rows: int = Field(ge=0, lt=2**63)
    last_key: int | None = Field(ge=0, lt=2**63)
    columns: tuple[ColumnEntry, ...]

    @property
    def file(self) -> str:
        """The name of its Parquet file in the backup."""
        return f"{self.name}.parquet"

    @classmethod
    def of(cls, shape: TableShape, *, rows: int, last_key: int | None) -> Self:
        """Describe a table."""
        columns = tuple(ColumnEntry(name=one.name, type=one.kind, nullable=one.nullable) for one in shape.columns)
        return cls(name=shape.name, rows=rows, last_key=last_key, columns=columns)

    def fits(self, shape: TableShape) -> bool:
        """Return whether this is a table of that shape."""
        columns = tuple(Column(one.name, one.type, one.nullable) for one in self.columns)
        return (self.name, columns, self.last_key is not None) == (shape.name, shape.columns, shape.counted)


class Manifest(_Part):
    """A backup's description of itself.

    Attributes:
        format: What it is.
        format_version: The form of this file and of the backup's.
        program_version: The version of the program that wrote it.
        schema_revision: The revision of the database's schema.
        database: The kind of database that it was read from; it can be restored into either.
        created_at: When the snapshot was taken, UTC.
        key_file: Whether the key file is part of it.
        tables: Every table, each after those that its rows refer to.
    """

    format: Literal["recognizance backup"]
    format_version: int
    program_version: str
    schema_revision: str
    database: str
    created_at: datetime
    key_file: bool
    tables: tuple[TableEntry, ...]

    @property
    def rows(self) -> int:
        """How many rows it has in all."""
        return sum(table.rows for table in self.tables)

    def table(self, name: str) -> TableEntry:
        """Return a table by its name."""
        return next(table for table in self.tables if table.name == name)

    @classmethod
    def parse(cls, text: bytes, place: str) -> Self:
        """Read a manifest; ``place`` names the backup in errors.

        Raises:
            SetupError: It is none, or that of a newer version.
        """
        try:
            manifest = cls.model_validate_json(text)
        except ValidationError as error:
            raise SetupError(f"The manifest of {place} cannot be read: {_first(error)}") from error
        if manifest.format_version > FORMAT_VERSION:
            raise SetupError(
                f"{place} was written by version {manifest.program_version} of Recognizance, in a form that this "
                "version does not know. Install that version, or a newer one."
            )
        return manifest


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}." if where else f"{first['msg']}."
