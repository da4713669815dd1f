"""Bulk indexing jobs: a bucket's objects in chunks that any process on any machine may take.

A job is known by collection and name. Whoever gives the same command joins it while it runs; once it is finished, the
same command runs it again, and does what is new.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sqlalchemy.exc import IntegrityError

from recognizance.cli.indexing.names import external_id
from recognizance.core import clock
from recognizance.core.errors import ResourceNotFoundError, SetupError
from recognizance.storage.objects.listing import Entry
from recognizance.storage.repositories import bulk_jobs, collections

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from recognizance.cli.indexing.names import Kind
    from recognizance.storage.database import Database
    from recognizance.storage.repositories.bulk_jobs import JobRow

CHUNK_OBJECTS = 256
"""Objects of a chunk: some seconds of work, which is what the death of a process costs."""

_SOURCE = re.compile(r"s3://([^/]+)/?(.*)", re.DOTALL)
_MD5 = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME = 200
_DIGEST = np.dtype("S16")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a job's pictures are: a bucket, and what their keys begin with."""

    name: str
    prefix: str = ""

    @classmethod
    def parse(cls, source: str) -> Self | None:
        """Return what an address of the form ``s3://bucket/prefix`` names, None for anything else."""
        match = _SOURCE.fullmatch(source)
        return cls(match[1], match[2]) if match else None

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job is to do.

    Attributes:
        collection_id: The collection.
        name: The job's name.
        source: Its pictures.
        names: What external ids are made from.
        how: Everything else that the outcome depends on.
    """

    collection_id: str
    name: str
    source: Bucket
    names: Kind
    how: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """How the job works, as kept in the database."""
        return json.dumps(self.how | {"external_id": self.names}, sort_keys=True)

    def external_id(self, entry: Entry) -> str | None:
        """Return the external image id of an object's faces."""
        return external_id(PurePosixPath(entry.key), self.names)


def default_name(source: Bucket) -> str:
    """Return the name of a job that was given none: its source."""
    name = str(source)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 17]}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def open_job(database: Database, plan: Plan, *, again: bool = False) -> JobRow:
    """Join the job, or begin it, or begin it again when it is finished.

    Args:
        database: Where jobs are kept.
        plan: The job.
        again: Whether a run that is begun does again what earlier ones have done.

    Raises:
        ResourceNotFoundError: There is no such collection.
        SetupError: There is a job of this name that does something else.
    """
    while True:
        try:
            with database.begin() as connection:
                return _open(connection, plan, again=again)
        except IntegrityError:  # another process began it at this moment
            continue


def _open(connection: Connection, plan: Plan, *, again: bool) -> JobRow:
    collection = collections.get(connection, plan.collection_id)
    if collection is None:
        raise ResourceNotFoundError(f"The collection id: {plan.collection_id} does not exist")
    job = bulk_jobs.newest(connection, collection.pk, plan.name)
    if job is not None and job.source != str(plan.source):
        raise SetupError(f"The job {plan.name} indexes {job.source}; choose another name with --job.")
    if job is not None and job.finished_at is None:
        if job.how != plan.fingerprint:
            raise SetupError(
                f"The job {plan.name} is under way with other options: {job.how}. Give the same ones to join it, "
                "choose another name with --job, or end it: recognizance jobs delete"
            )
        return job
    pk = bulk_jobs.insert(
        connection,
        collection.pk,
        plan.name,
        1 if job is None else job.run + 1,
        source=str(plan.source),
        how=plan.fingerprint,
        again=again,
        created_at=clock.now(),
    )
    begun = bulk_jobs.get(connection, pk)
    if begun is None:
        raise RuntimeError("the job that was just begun is not there")
    return begun


def pack(entries: Sequence[Entry]) -> bytes:
    """Return objects in the form in which a chunk keeps them."""
    return zlib.compress(json.dumps([(one.key, one.size, one.version) for one in entries]).encode(), 6)


def unpack(content: bytes) -> list[Entry]:
    """Return the objects of a chunk."""
    return [Entry(*one) for one in json.loads(zlib.decompress(content))]


def key_bytes(key: str) -> bytes:
    """Return a key as it stands in the database: a file's name need not be text."""
    return key.encode("utf-8", "surrogateescape")


def key_text(key: bytes) -> str:
    """Return a key as it may be printed."""
    return key.decode("utf-8", "backslashreplace")


class Finished:
    """What earlier runs of a job have done: 16 bytes an object.

    An object is the same when its external id, size and version are the same; and its key, unless the version is the
    MD5 of the content, as S3's ETag is for most objects: so one that was moved inside the bucket is not done again.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html

    Args:
        plan: The job.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parts: list[NDArray[np.bytes_]] = []
        self._sorted: NDArray[np.bytes_] = np.empty(0, _DIGEST)

    @classmethod
    def of(cls, connection: Connection, plan: Plan, job: JobRow) -> Self:
        """Read what the runs before this one have finished; nothing where everything is to be done again."""
        finished = cls(plan)
        if not job.again:
            for run in bulk_jobs.earlier_runs(connection, job):
                failed = bulk_jobs.to_be_tried_again(connection, run)
                for content in bulk_jobs.finished_contents(connection, run):
                    finished.add(entry for entry in unpack(content) if key_bytes(entry.key) not in failed)
        return finished

    def add(self, entries: Iterable[Entry]) -> None:
        """Add objects."""
        self._parts.append(np.array([self._digest(entry) for entry in entries], _DIGEST))

    def __contains__(self, entry: Entry) -> bool:
        if self._parts:
            self._sorted = np.sort(np.concatenate([self._sorted, *self._parts]))
            self._parts.clear()
        digest = np.array(self._digest(entry), _DIGEST)
        row = int(np.searchsorted(self._sorted, digest))
        return row < len(self._sorted) and bool(self._sorted[row] == digest)

    def _digest(self, entry: Entry) -> bytes:
        parts = [entry.version, str(entry.size), self._plan.external_id(entry) or ""]
        if not _MD5.fullmatch(entry.version):
            parts.append(entry.key)
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()
        return digest[:15] + b"\x01"  # NumPy's strings would lose a zero byte at the end
