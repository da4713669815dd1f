"""Bulk indexing jobs: their chunks, with leases, and what they refused."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _lease() -> tuple["sa.Column[Any]", ...]:
    return (
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("free_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("token", sa.Uuid(as_uuid=False)),
        sa.Column("holder", sa.String(255)),
        sa.Column("trouble", sa.Text()),
    )


def _job_key(table: str) -> tuple["sa.Column[int]", sa.ForeignKeyConstraint]:
    constraint = sa.ForeignKeyConstraint(["job_pk"], ["bulk_jobs.pk"], name=f"fk_{table}_job_pk", ondelete="CASCADE")
    return sa.Column("job_pk", _KEY, nullable=False), constraint


def upgrade() -> None:
    _jobs()
    op.create_table(
        "bulk_chunks",
        sa.Column("pk", _KEY, nullable=False),
        *_job_key("bulk_chunks"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("objects", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        *_lease(),
        sa.PrimaryKeyConstraint("pk", name="pk_bulk_chunks"),
        sa.UniqueConstraint("job_pk", "number", name="uq_bulk_chunks_job_pk_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_bulk_chunks_job_pk_state_free_at", "bulk_chunks", ["job_pk", "state", "free_at"])
    op.create_table(
        "bulk_refusals",
        sa.Column("pk", _KEY, nullable=False),
        *_job_key("bulk_refusals"),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("lasting", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_bulk_refusals"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_bulk_refusals_job_pk_code", "bulk_refusals", ["job_pk", "code"])


def _jobs() -> None:
    op.create_table(
        "bulk_jobs",
        sa.Column("pk", _KEY, nullable=False),
        sa.Column("collection_pk", _KEY, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("listed_to", sa.LargeBinary()),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("dealt_with", sa.BigInteger(), nullable=False),
        sa.Column("pictures", sa.BigInteger(), nullable=False),
        sa.Column("faces_added", sa.BigInteger(), nullable=False),
        sa.Column("faces_known", sa.BigInteger(), nullable=False),
        sa.Column("others", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        *_lease(),
        sa.ForeignKeyConstraint(
            ["collection_pk"], ["collections.pk"], name="fk_bulk_jobs_collection_pk", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name="pk_bulk_jobs"),
        sa.UniqueConstraint("collection_pk", "name", "run", name="uq_bulk_jobs_collection_pk_name_run"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for table in ("bulk_refusals", "bulk_chunks", "bulk_jobs"):
        op.drop_table(table)
