"""First schema: access keys, collections with their tags, faces, users and log, and requests done once."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _collection_key(table: str) -> tuple["sa.Column[int]", sa.ForeignKeyConstraint]:
    constraint = sa.ForeignKeyConstraint(
        ["collection_pk"], ["collections.pk"], name=f"fk_{table}_collection_pk", ondelete="CASCADE"
    )
    return sa.Column("collection_pk", _KEY, nullable=False), constraint


def upgrade() -> None:
    _database_tables()
    _collection_tables()
    _user_and_face_tables()


def _database_tables() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "access_keys",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("access_key_id", sa.String(128), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_access_keys"),
        sa.UniqueConstraint("access_key_id", name="uq_access_keys_access_key_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "idempotency",
        sa.Column("operation", sa.String(64), nullable=False),
        sa.Column("principal", sa.String(255), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("operation", "principal", "token", name="pk_idempotency"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])


def _collection_tables() -> None:
    op.create_table(
        "collections",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("collection_id", sa.String(255), nullable=False),
        sa.Column("contract_version", sa.String(32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("face_count", sa.BigInteger(), nullable=False),
        sa.Column("user_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_collections"),
        sa.UniqueConstraint("collection_id", name="uq_collections_collection_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tags",
        *_collection_key("tags"),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("value", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("collection_pk", "key", name="pk_tags"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "face_log",
        *_collection_key("face_log"),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("collection_pk", "revision", name="pk_face_log"),
        sqlite_with_rowid=False,
    )


def _user_and_face_tables() -> None:
    op.create_table(
        "users",
        sa.Column("pk", _KEY, nullable=False),
        *_collection_key("users"),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("vector", sa.LargeBinary()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_users"),
        sa.UniqueConstraint("collection_pk", "user_id", name="uq_users_collection_pk_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_collection_pk_pk", "users", ["collection_pk", "pk"])
    op.create_table(
        "faces",
        sa.Column("pk", _KEY, nullable=False),
        *_collection_key("faces"),
        sa.Column("face_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("image_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("external_image_id", sa.String(255)),
        sa.Column("box_left", sa.Float(), nullable=False),
        sa.Column("box_top", sa.Float(), nullable=False),
        sa.Column("box_width", sa.Float(), nullable=False),
        sa.Column("box_height", sa.Float(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("contract_version", sa.String(32), nullable=False),
        sa.Column("user_pk", _KEY),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_pk"], ["users.pk"], name="fk_faces_user_pk", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("pk", name="pk_faces"),
        sa.UniqueConstraint("collection_pk", "face_id", name="uq_faces_collection_pk_face_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_faces_collection_pk_pk", "faces", ["collection_pk", "pk"])
    op.create_index("ix_faces_user_pk_pk", "faces", ["user_pk", "pk"])


def downgrade() -> None:
    for table in ("faces", "users", "face_log", "tags", "collections", "idempotency", "access_keys", "meta"):
        op.drop_table(table)
