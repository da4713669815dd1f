"""The tables. Portable SQL: SQLite by default, PostgreSQL by URL.

``pk`` is what rows call each other; ids that callers know are columns beside it. No ``pk`` is ever given twice, even
after a deletion, so that an index in memory can never mistake a new row for an old one.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)

REVISION = "0002"
"""The newest migration: what a database that has these tables calls itself."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# SQLite counts rows by itself only in a column declared INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept as microseconds since 1970: the same in every database, and sortable."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn a time into microseconds."""
        del dialect
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ANN401 - the base's
        """Turn microseconds into a time."""
        del dialect
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Values of this database as a whole, such as the fingerprint of the key file.
meta = Table(
    "meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("pk", Key, primary_key=True),
    Column("access_key_id", String(128), nullable=False, unique=True),
    Column("role", String(64), nullable=False),
    Column("secret", LargeBinary, nullable=False),  # AES-256-GCM: nonce, ciphertext and tag
    Column("enabled", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)

collections = Table(
    "collections",
    metadata,
    Column("pk", Key, primary_key=True),
    Column("collection_id", String(255), nullable=False, unique=True),
    Column("contract_version", String(32), nullable=False),
    # The number of the newest entry of this collection's log; every write locks this row first.
    Column("revision", BigInteger, nullable=False),
    Column("face_count", BigInteger, nullable=False),
    Column("user_count", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    sqlite_autoincrement=True,
)


def _collection_key(*, primary: bool = False) -> "Column[int]":
    return Column(
        "collection_pk", Key, ForeignKey("collections.pk", ondelete="CASCADE"), nullable=False, primary_key=primary
    )


tags = Table(
    "tags",
    metadata,
    _collection_key(primary=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
    sqlite_with_rowid=False,
)

users = Table(
    "users",
    metadata,
    Column("pk", Key, primary_key=True),
    _collection_key(),
    Column("user_id", String(128), nullable=False),
    Column("vector", LargeBinary),  # as in faces; NULL while the user has no faces
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("collection_pk", "user_id"),
    Index(None, "collection_pk", "pk"),
    sqlite_autoincrement=True,
)

faces = Table(
    "faces",
    metadata,
    Column("pk", Key, primary_key=True),
    _collection_key(),
    Column("face_id", Uuid(as_uuid=False), nullable=False),
    Column("image_id", Uuid(as_uuid=False), nullable=False),
    Column("external_image_id", String(255)),
    Column("box_left", Float, nullable=False),  # ratios of the upright picture
    Column("box_top", Float, nullable=False),
    Column("box_width", Float, nullable=False),
    Column("box_height", Float, nullable=False),
    Column("confidence", Float, nullable=False),  # 0 to 100
    Column("contract_version", String(32), nullable=False),
    Column("user_pk", Key, ForeignKey("users.pk", ondelete="SET NULL")),
    Column("vector", LargeBinary, nullable=False),  # (d + 1) float16, little-endian: embedding, -impostor level / 2
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("collection_pk", "face_id"),
    Index(None, "collection_pk", "pk"),
    Index(None, "user_pk", "pk"),
    sqlite_autoincrement=True,
)

# What changed in a collection, numbered without gaps by its revision; written in the transaction of the change. The
# other processes' indexes follow it. `kind` is FACE or USER, `subject` the row's pk: whether that row still exists,
# and with what vector, the row itself tells.
face_log = Table(
    "face_log",
    metadata,
    _collection_key(primary=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("subject", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
FACE, USER = 1, 2

idempotency = Table(
    "idempotency",
    metadata,
    Column("operation", String(64), primary_key=True),
    Column("principal", String(255), primary_key=True),
    Column("token", String(64), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("response", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False, index=True),
    sqlite_with_rowid=False,
)


def lease_columns() -> tuple["Column[Any]", ...]:
    """Return the columns of a table whose rows are worked on by one process at a time; see storage/leases.py."""
    return (
        Column("state", SmallInteger, nullable=False),  # OPEN, DONE or SET_ASIDE
        Column("free_at", UtcTime, nullable=False),  # when it may be taken; while somebody has it, when the lease ends
        Column("attempts", Integer, nullable=False),  # leases given so far, those handed back unused left out
        Column("token", Uuid(as_uuid=False)),  # of the newest lease: whoever shows another one has lost it
        Column("holder", String(255)),  # who has it, for people to read
        Column("trouble", Text),  # why the last attempt failed, where that is known
    )


OPEN, DONE, SET_ASIDE = 0, 1, 2

# One run of a bulk indexing job. Its lease is that of listing the source; DONE means that every chunk is written.
bulk_jobs = Table(
    "bulk_jobs",
    metadata,
    Column("pk", Key, primary_key=True),
    _collection_key(),
    Column("name", String(255), nullable=False),
    Column("run", Integer, nullable=False),  # 1, 2, ...: a job that is finished may be run again
    Column("source", Text, nullable=False),
    Column("how", Text, nullable=False),  # everything else that the outcome depends on, as JSON
    Column("again", Boolean, nullable=False),  # whether to do again what earlier runs have done
    Column("listed_to", LargeBinary),  # the last name that the chunks written so far account for
    Column("objects", BigInteger, nullable=False),  # in chunks
    Column("skipped", BigInteger, nullable=False),  # done by earlier runs, and therefore in no chunk
    Column("dealt_with", BigInteger, nullable=False),  # of the objects in chunks
    Column("pictures", BigInteger, nullable=False),
    Column("faces_added", BigInteger, nullable=False),
    Column("faces_known", BigInteger, nullable=False),
    Column("others", BigInteger, nullable=False),  # objects that are no pictures
    Column("rejected", Text, nullable=False),  # faces that the quality filter left out, by reason, as JSON
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    *lease_columns(),
    UniqueConstraint("collection_pk", "name", "run"),
    sqlite_autoincrement=True,
)


def _job_key() -> "Column[int]":
    return Column("job_pk", Key, ForeignKey("bulk_jobs.pk", ondelete="CASCADE"), nullable=False)


bulk_chunks = Table(
    "bulk_chunks",
    metadata,
    Column("pk", Key, primary_key=True),
    _job_key(),
    Column("number", Integer, nullable=False),
    Column("objects", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),  # names, sizes and versions of the objects: JSON under zlib
    Column("finished_at", UtcTime),
    *lease_columns(),
    UniqueConstraint("job_pk", "number"),
    Index(None, "job_pk", "state", "free_at"),
    sqlite_autoincrement=True,
)

bulk_refusals = Table(
    "bulk_refusals",
    metadata,
    Column("pk", Key, primary_key=True),
    _job_key(),
    Column("name", LargeBinary, nullable=False),  # of the object, as bytes: a file's name need not be text
    Column("code", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("lasting", Boolean, nullable=False),  # whether a later run would meet with the same
    Index(None, "job_pk", "code"),
    sqlite_autoincrement=True,
)
