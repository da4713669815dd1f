"""The form of an exported collection: its Parquet schemas, and what the files say of themselves.

Two tables, joined by ``user_id``: faces, and users where there are any. Each file's key-value metadata has, under
``recognizance``, a JSON object that says what it is, and under ``recognizance.sha256`` the digest of that and of every
value of the table. The page "Move collections" of the documentation describes all of it for people.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recognizance.collections.tagging import MAX_TAGS
from recognizance.core.errors import SetupError

FORMAT_VERSION = 1
"""The form that this version of the program writes, and the newest that it reads."""

ROWS_OF_GROUP = 16_384
"""Rows of a row group. The digest is taken over row groups, so a file that was packed anew is another file."""

ABOUT_KEY, DIGEST_KEY = b"recognizance", b"recognizance.sha256"

_TIME = pa.timestamp("us", tz="UTC")


def faces_schema(dimensions: int) -> pa.Schema:
    """Return the schema of a table of faces whose embeddings have so many numbers."""
    return pa.schema(
        [
            pa.field("face_id", pa.string(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("external_image_id", pa.string()),
            pa.field("user_id", pa.string()),
            *(pa.field(f"box_{side}", pa.float64(), nullable=False) for side in ("left", "top", "width", "height")),
            pa.field("confidence", pa.float64(), nullable=False),
            pa.field("face_model_version", pa.string(), nullable=False),
            pa.field(
                "embedding", pa.list_(pa.field("element", pa.float16(), nullable=False), dimensions), nullable=False
            ),
            pa.field("impostor_level", pa.float32(), nullable=False),
            pa.field("created_at", _TIME, nullable=False),
        ]
    )


USERS_SCHEMA = pa.schema(
    [pa.field("user_id", pa.string(), nullable=False), pa.field("created_at", _TIME, nullable=False)]
)


class About(BaseModel):
    """What an exported file says of itself.

    Attributes:
        format: What it is.
        format_version: The form of the file.
        program_version: The version of the program that wrote it.
        table: Which of the two tables it has.
        collection: The collection's id.
        face_model_version: The version of the model contract that embedded the faces.
        dimensions: Length of an embedding.
        rows: How many rows the table has.
        tags: The collection's tags.
        users: Of a table of faces, the digest of the table of users that belongs to it; None without users.
        exported_at: When it was written, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["recognizance collection"]
    format_version: int
    program_version: str
    table: Literal["faces", "users"]
    collection: str = Field(pattern=r"^[a-zA-Z0-9_.\-]{1,255}$")
    face_model_version: str = Field(pattern=r"^[0-9.]{1,32}$")
    dimensions: int = Field(ge=1, le=4096)
    rows: int = Field(ge=0)
    tags: dict[str, str] = Field(max_length=MAX_TAGS)
    users: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    exported_at: datetime

    @classmethod
    def parse(cls, text: bytes, path: Path) -> Self:
        """Read what a file says of itself.

        Raises:
            SetupError: It is no export of this program, or that of a newer version.
        """
        try:
            about = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise SetupError(f"{path} is no export of a collection: {where}: {first['msg']}.") from error
        if about.format_version > FORMAT_VERSION:
            raise SetupError(
                f"{path} was written by version {about.program_version} of Recognizance, in a form that this version "
                "does not know. Install that version, or a newer one."
            )
        return about


def users_path(path: Path) -> Path:
    """Return the path of the table of users that belongs to a table of faces: ``x.users.parquet`` for ``x.parquet``."""
    return path.with_name(f"{path.stem}.users{path.suffix}")
