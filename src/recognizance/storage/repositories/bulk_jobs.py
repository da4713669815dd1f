"""Rows of bulk indexing jobs, their chunks, and what they refused."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from recognizance.storage.repositories.leases import Counts, Lease, Leases, free
from recognizance.storage.schema import DONE, OPEN, SET_ASIDE, collections
from recognizance.storage.schema import bulk_chunks as chunks
from recognizance.storage.schema import bulk_jobs as jobs
from recognizance.storage.schema import bulk_refusals as refusals

LISTINGS = Leases(jobs)
"""The right to list a job's source."""

CHUNKS = Leases(chunks)
"""The right to work on a chunk."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A run of a job; the columns are explained at the table."""

    pk: int
    collection_pk: int
    collection_id: str
    name: str
    run: int
    source: str
    how: str
    again: bool
    listed_to: bytes | None
    objects: int
    skipped: int
    dealt_with: int
    pictures: int
    faces_added: int
    faces_known: int
    others: int
    rejected: Mapping[str, int]
    created_at: datetime
    finished_at: datetime | None
    listed: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of the table of what was refused."""

    name: bytes
    code: str
    detail: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What a chunk adds to its job; the columns of the same names."""

    dealt_with: int
    pictures: int
    faces_added: int
    faces_known: int
    others: int
    rejected: Mapping[str, int]


_SUMS = ("dealt_with", "pictures", "faces_added", "faces_known", "others")
_COLUMNS = (
    jobs.c.pk,
    jobs.c.collection_pk,
    collections.c.collection_id,
    jobs.c.name,
    jobs.c.run,
    jobs.c.source,
    jobs.c.how,
    jobs.c.again,
    jobs.c.listed_to,
    jobs.c.objects,
    jobs.c.skipped,
    jobs.c.dealt_with,
    jobs.c.pictures,
    jobs.c.faces_added,
    jobs.c.faces_known,
    jobs.c.others,
    jobs.c.rejected,
    jobs.c.created_at,
    jobs.c.finished_at,
    jobs.c.state,
)
_SELECT = sa.select(*_COLUMNS).join_from(jobs, collections, jobs.c.collection_pk == collections.c.pk)


def _row(row: Any) -> JobRow:  # noqa: ANN401 - a row's type lists the types of its columns
    values = row._asdict()
    values["rejected"] = json.loads(values["rejected"])
    values["listed"] = values.pop("state") == DONE
    return JobRow(**values)


# Jobs


def insert(
    connection: Connection,
    collection_pk: int,
    name: str,
    run: int,
    *,
    source: str,
    how: str,
    again: bool,
    created_at: datetime,
) -> int:
    """Insert a run of a job that has listed nothing yet; return its key."""
    values = {"collection_pk": collection_pk, "name": name, "run": run, "source": source, "how": how, "again": again}
    nothing = dict.fromkeys(("objects", "skipped", *_SUMS), 0) | {"rejected": "{}", "created_at": created_at}
    statement = jobs.insert().values(**values, **nothing, **free()).returning(jobs.c.pk)
    return int(connection.scalars(statement).one())


def get(connection: Connection, pk: int) -> JobRow | None:
    """Return a run of a job, or None."""
    row = connection.execute(_SELECT.where(jobs.c.pk == pk)).one_or_none()
    return _row(row) if row else None


def newest(connection: Connection, collection_pk: int, name: str) -> JobRow | None:
    """Return the newest run of a job, or None."""
    statement = _SELECT.where(jobs.c.collection_pk == collection_pk, jobs.c.name == name)
    row = connection.execute(statement.order_by(jobs.c.run.desc()).limit(1)).one_or_none()
    return _row(row) if row else None


def every(connection: Connection) -> list[JobRow]:
    """Return the newest run of every job, oldest job first."""
    rows = connection.execute(_SELECT.order_by(jobs.c.pk))
    found: dict[tuple[int, str], JobRow] = {}
    for job in map(_row, rows):
        found.pop((job.collection_pk, job.name), None)
        found[job.collection_pk, job.name] = job
    return list(found.values())


def delete(connection: Connection, collection_pk: int, name: str) -> None:
    """Delete every run of a job, with what hangs on it."""
    connection.execute(jobs.delete().where(jobs.c.collection_pk == collection_pk, jobs.c.name == name))


def only(job_pk: int) -> sa.ColumnElement[bool]:
    """Return the condition that names a job's row among those whose listing may be leased."""
    return jobs.c.pk == job_pk


def add_progress(connection: Connection, job_pk: int, progress: Progress) -> None:
    """Add what a chunk has brought to its job."""
    before: str = connection.scalars(
        sa.select(jobs.c.rejected).where(only(job_pk)).with_for_update(key_share=True)
    ).one()
    rejected: Counter[str] = Counter(json.loads(before))
    rejected.update(progress.rejected)
    sums = {name: jobs.c[name] + getattr(progress, name) for name in _SUMS}
    connection.execute(jobs.update().where(only(job_pk)).values(**sums, rejected=json.dumps(rejected)))


def finish_if_done(connection: Connection, job_pk: int, now: datetime) -> bool:
    """Mark a job as finished when it is listed and no chunk is open; return whether it is finished, or deleted."""
    is_open = sa.exists().where(chunks.c.job_pk == job_pk, chunks.c.state == OPEN)
    connection.execute(
        jobs.update()
        .where(only(job_pk), jobs.c.state == DONE, jobs.c.finished_at.is_(None), ~is_open)
        .values(finished_at=now)
    )
    return connection.scalar(sa.select(jobs.c.pk).where(only(job_pk), jobs.c.finished_at.is_(None))) is None


# Chunks


def add_chunk(connection: Connection, job_pk: int, content: bytes, objects: int, attempts: int = 0) -> None:
    """Append a chunk that anybody may take; so many attempts were made on its objects before."""
    connection.execute(
        sa.select(jobs.c.pk).where(only(job_pk)).with_for_update(key_share=True)
    )  # numbers are given one by one
    last = connection.scalar(sa.select(sa.func.max(chunks.c.number)).where(chunks.c.job_pk == job_pk)) or 0
    values = {"job_pk": job_pk, "number": last + 1, "objects": objects, "content": content}
    connection.execute(chunks.insert().values(**values, **(free() | {"attempts": attempts})))


def listing(listed_to: bytes, objects: int, skipped: int) -> dict[str, Any]:
    """Return the values of a job's columns once its listing has come so far, with so many more objects."""
    return {"listed_to": listed_to, "objects": jobs.c.objects + objects, "skipped": jobs.c.skipped + skipped}


def extend_listing(connection: Connection, job_pk: int, values: Mapping[str, Any]) -> None:
    """Note how far the listing has come."""
    connection.execute(jobs.update().where(only(job_pk)).values(values))


def of_job(job_pk: int) -> sa.ColumnElement[bool]:
    """Return the condition that names a job's chunks."""
    return chunks.c.job_pk == job_pk


def content(connection: Connection, lease: Lease) -> bytes:
    """Return what is in a chunk."""
    found: bytes = connection.scalars(sa.select(chunks.c.content).where(chunks.c.pk == lease.pk)).one()
    return found


def replace_content(connection: Connection, lease: Lease, content: bytes, objects: int) -> None:
    """Leave only these objects in a chunk; the transaction must check the lease."""
    connection.execute(chunks.update().where(chunks.c.pk == lease.pk).values(content=content, objects=objects))


def counts(connection: Connection, job_pk: int) -> Counts:
    """Count a job's chunks by state."""
    return CHUNKS.counts(connection, of_job(job_pk))


def set_aside(connection: Connection, job_pk: int) -> list[tuple[bytes, str | None]]:
    """Return content and last trouble of the chunks that were given up."""
    statement = sa.select(chunks.c.content, chunks.c.trouble).where(of_job(job_pk), chunks.c.state == SET_ASIDE)
    return [(found, trouble) for found, trouble in connection.execute(statement.order_by(chunks.c.number))]


def earlier_runs(connection: Connection, job: JobRow) -> list[int]:
    """Return the keys of the earlier runs of a job that chose faces in the same way, oldest first."""
    statement = sa.select(jobs.c.pk).where(
        jobs.c.collection_pk == job.collection_pk,
        jobs.c.name == job.name,
        jobs.c.run < job.run,
        jobs.c.how == job.how,
    )
    return list(connection.scalars(statement.order_by(jobs.c.run)))


def finished_contents(connection: Connection, job_pk: int) -> Iterator[bytes]:
    """Give the content of every chunk that a run of a job has finished."""
    statement = sa.select(chunks.c.content).where(of_job(job_pk), chunks.c.state == DONE)
    return iter(connection.execution_options(stream_results=True).scalars(statement))


# What was refused


def refuse(connection: Connection, job_pk: int, refused: Sequence[Refusal]) -> None:
    """Insert what a chunk refused."""
    if refused:
        rows = [
            {"job_pk": job_pk, "name": one.name, "code": one.code, "detail": one.detail, "lasting": one.lasting}
            for one in refused
        ]
        connection.execute(refusals.insert(), rows)


def refused(connection: Connection, job_pk: int) -> Iterator[Refusal]:
    """Give what a job refused."""
    c = refusals.c
    statement = sa.select(c.name, c.code, c.detail, c.lasting).where(c.job_pk == job_pk).order_by(c.pk)
    return (Refusal(*row) for row in connection.execution_options(stream_results=True).execute(statement))


def refused_counts(connection: Connection, job_pk: int) -> Counter[str]:
    """Return how many objects were refused, by code."""
    c = refusals.c
    rows = connection.execute(sa.select(c.code, sa.func.count()).where(c.job_pk == job_pk).group_by(c.code))
    return Counter({str(row[0]): int(row[1]) for row in rows})


def to_be_tried_again(connection: Connection, job_pk: int) -> set[bytes]:
    """Return the names of what a run of a job refused for a reason that may have passed."""
    c = refusals.c
    return set(connection.scalars(sa.select(c.name).where(c.job_pk == job_pk, sa.not_(c.lasting))))
