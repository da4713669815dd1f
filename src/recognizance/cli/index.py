"""``recognizance index``: the faces of a folder or a bucket of pictures into a collection."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recognizance.cli._options import Collection, Contract, Data, Json, Models
from recognizance.cli._output import messages, plain_errors, print_json
from recognizance.cli._session import Session, open_session
from recognizance.cli.indexing import rehearsal, summary
from recognizance.cli.indexing.crew import Crew, default_processes
from recognizance.cli.indexing.jobs import CHUNK_OBJECTS, Bucket, Plan, default_name, open_job
from recognizance.cli.indexing.journal import Journal
from recognizance.cli.indexing.names import Kind, external_id
from recognizance.cli.indexing.pictures import picture_bytes, read_picture_file
from recognizance.cli.indexing.run import Run
from recognizance.cli.indexing.screen import folder_progress, job_progress, report_to, stopped_by_signals
from recognizance.cli.indexing.share import Share
from recognizance.cli.indexing.walk import File, walk
from recognizance.core.errors import ResourceAlreadyExistsError, ResourceNotFoundError, SetupError
from recognizance.core.settings import load_settings_and_origins
from recognizance.operations.local import BulkIndexer, Choice, analyse
from recognizance.storage.objects import open_object_store
from recognizance.storage.repositories import bulk_jobs
from recognizance.vision.image import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recognizance.operations.local import Analysed
    from recognizance.storage.objects.listing import Entry

_READERS = 16
"""Objects fetched at once: an S3 store answers in tens of milliseconds, which is longer than a picture takes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command was asked for; the names are those of its options."""

    collection: str
    create: bool
    names: Kind
    choice: Choice
    workers: int
    processes: int
    chunk: int
    job: str | None
    report: Path | None
    again: bool
    seconds: float
    json: bool

    @property
    def how(self) -> dict[str, Any]:
        """What the choice of faces depends on beside the picture."""
        return {"quality_filter": self.choice.quality_filter, "max_faces": self.choice.max_faces}


@plain_errors
def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of JPEG and PNG files, its sub-folders included; or s3://BUCKET/PREFIX, a bucket of the "
            "configured object store.",
        ),
    ],
    *,
    collection: Collection,
    create: Annotated[bool, typer.Option("--create", help="Create the collection if it does not exist.")] = False,
    names: Annotated[
        Kind,
        typer.Option(
            "--external-id",
            help="What a face's ExternalImageId is made from: the file's name, the name without its ending (stem), the "
            "name of the folder it lies in (one folder a person), or nothing.",
        ),
    ] = "file",
    quality_filter: Annotated[
        Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"],
        typer.Option(help="How good a face must be to be stored.", case_sensitive=False),
    ] = "AUTO",
    max_faces: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=100, help="Store at most so many faces of a picture.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=256, help="Pictures analysed at once. [default: two a core]", show_default=False
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=64,
            help="Processes that analyse, each of 400 to 500 MiB. [default: one for four cores]",
            show_default=False,
        ),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a bucket: the job that this and other machines work on together. [default: the source]",
            show_default=False,
        ),
    ] = None,
    chunk: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=10_000, help="Of a bucket: objects that a machine takes at a time."),
    ] = CHUNK_OBJECTS,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a CSV file of the files that were refused, and why.", show_default=False
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Do files again that an earlier run has done.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Store nothing: analyse a sample, and tell how long everything will take."),
    ] = False,
    seconds: Annotated[float, typer.Option(metavar="N", min=1, max=3600, help="How long the dry run measures.")] = 20.0,
    data: Data = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Store the faces of a folder or a bucket of pictures in a collection.

    It may be interrupted and run again: what is done and has not changed is skipped. Files that are no pictures are
    passed over; pictures that cannot be used are counted and do not stop the others. Several machines may give the
    same command for the same bucket, and then share the work.
    """
    bucket = Bucket.parse(source)
    if bucket is None and not Path(source).is_dir():
        raise SetupError(f"{source} is neither a folder nor of the form s3://bucket/prefix.")
    if bucket is None and job is not None:
        raise SetupError("--job is for a source that every machine sees: s3://bucket/prefix.")
    settings, origins = load_settings_and_origins(data=data, contract=contract, models=models)
    if origins["streams"] == "default":
        settings = settings.model_copy(update={"streams": 0})  # nobody waits for a single picture
    cores = settings.threads or len(os.sched_getaffinity(0))
    options = Options(
        collection=collection,
        create=create,
        names=names,
        choice=Choice(quality_filter, max_faces),
        workers=workers or 2 * cores,
        processes=processes or default_processes(cores),
        chunk=chunk,
        job=job,
        report=report,
        again=again,
        seconds=seconds,
        json=json,
    )
    with open_session(settings) as session:
        if dry_run:
            _rehearse(session, bucket or Path(source).resolve(), options)
        elif bucket is not None:
            _index_bucket(session, bucket, options)
        else:
            _index_folder(session, Path(source).resolve(), options)


def _index_folder(session: Session, folder: Path, options: Options) -> None:
    started = time.monotonic()
    found = _collection(session, options.collection, create=options.create)
    with (
        _indexer(session, options) as indexer,
        _journal(session, found, options) as journal,
        folder_progress(folder) as on_file,
        report_to(options.report) as on_refused,
    ):
        run = Run(
            indexer,
            journal,
            name=lambda path: external_id(path, options.names),
            workers=options.workers,
            again=options.again,
            on_file=on_file,
            on_refused=on_refused,
        )
        with stopped_by_signals(run):
            run(folder)
    if run.stopped:
        _end_stopped(run.tally.pictures)
    count = session.call("DescribeCollection", CollectionId=options.collection)["FaceCount"]
    done = summary.of_run(run.tally, time.monotonic() - started, options.collection, count)
    if options.json:
        print_json(done)
    else:
        summary.print_run(done, options.report)


def _index_bucket(session: Session, bucket: Bucket, options: Options) -> None:
    _collection(session, options.collection, create=options.create)
    services = session.services
    how = options.how | {"contract": services.collections.contract(options.collection).version}
    plan = Plan(options.collection, options.job or default_name(bucket), bucket, options.names, how)
    job = open_job(services.database, plan, again=options.again)
    with _indexer(session, options) as indexer, job_progress(services.database, job.pk) as on_progress:
        share = Share(
            services.database,
            open_object_store(services.settings),
            indexer,
            plan,
            job,
            workers=options.workers,
            readers=max(_READERS, options.workers),
            seconds=services.settings.lease_seconds,
            chunk=options.chunk,
            on_progress=on_progress,
        )
        with stopped_by_signals(share):
            share()
    if share.stopped:
        _end_stopped(share.pictures)
    _tell_of_job(session, job.pk, options)


def _tell_of_job(session: Session, job_pk: int, options: Options) -> None:
    with session.services.database.read() as connection:
        job = bulk_jobs.get(connection, job_pk)
        if job is None:
            raise ResourceNotFoundError("The job was deleted meanwhile.")
        done = summary.of_job(connection, job)
        with report_to(options.report) as on_refused:
            for row in summary.refusals(connection, job):
                on_refused(*row)
    if options.json:
        print_json(done)
    else:
        summary.print_job(done, "To see which, add --report refused.csv." if options.report is None else None)
    if done["objects_set_aside"]:
        messages().print(
            f"{done['objects_set_aside']:,} objects were set aside. The same command tries them again.", soft_wrap=True
        )
        raise typer.Exit(1)


def _end_stopped(pictures: int) -> None:
    messages().print(f"Stopped. {pictures:,} pictures are done; run the same command again to go on.")
    raise typer.Exit(130)


def _rehearse(session: Session, source: Bucket | Path, options: Options) -> None:
    try:
        found: dict[str, Any] | None = session.call("DescribeCollection", CollectionId=options.collection)
        contract = session.services.collections.contract(options.collection).name
    except ResourceNotFoundError:
        found, contract = None, session.services.analysers.default_name()

    def measure(items: Iterator[Any], read: Callable[[Any], bytes | None], readers: int) -> rehearsal.Rehearsal:
        with _analysis(session, contract, options) as analysed:
            return rehearsal.rehearse(
                items,
                read,
                lambda data: analysed(data, None),
                readers=readers,
                workers=options.workers,
                seconds=options.seconds,
            )

    if isinstance(source, Bucket):
        store = open_object_store(session.services.settings)

        def read(entry: Entry) -> bytes | None:
            content = store.read(source.name, entry.key, None, MAX_OBJECT_BYTES)
            return picture_bytes(content, PurePosixPath(entry.key))

        measured = measure(store.entries(source.name, source.prefix), read, max(_READERS, options.workers))
    else:
        measured = measure(_new_files(session, source, found, options), read_picture_file, options.workers)
    if options.json:
        print_json(measured.summary())
    else:
        rehearsal.show(measured)


def _new_files(session: Session, folder: Path, collection: dict[str, Any] | None, options: Options) -> Iterator[File]:
    """Give the files of a folder that are not done."""
    files = (found for found in walk(folder) if isinstance(found, File))
    if collection is None or options.again:
        yield from files
        return
    with _journal(session, collection, options) as journal:
        for file in files:
            if not journal.file(file, external_id(file.path, options.names)).done:
                yield file


def _journal(session: Session, collection: dict[str, Any], options: Options) -> Journal:
    how = f"{options.choice.quality_filter} {options.choice.max_faces}"
    created = collection["CreationTimestamp"].isoformat()
    return Journal(session.services.settings.data, collection["CollectionARN"], created, how)


@contextmanager
def _indexer(session: Session, options: Options) -> Iterator[BulkIndexer]:
    contract = session.services.collections.contract(options.collection).name
    with _analysis(session, contract, options) as analysed:
        yield BulkIndexer(session.context(), options.collection, analyser=analysed)


@contextmanager
def _analysis(session: Session, contract: str, options: Options) -> Iterator[Callable[[bytes, str | None], Analysed]]:
    """Give what analyses pictures: in this process, or in several others."""
    analysers = session.services.analysers
    if options.processes == 1 or not analysers.installed(contract):  # what is missing is named here
        yield partial(analyse, analysers.get(contract), options.choice)
        return
    with Crew(
        session.services.settings,
        contract,
        options.choice,
        processes=options.processes,
        workers=options.workers,
        threads=analysers.runtime.threads,
    ) as crew:
        yield crew.analyse


def _collection(session: Session, name: str, *, create: bool) -> dict[str, Any]:
    """Return the collection's description, after making it where that is wanted."""
    try:
        return session.call("DescribeCollection", CollectionId=name)
    except ResourceNotFoundError as error:
        if not create:
            raise SetupError(f"There is no collection {name}. To make it, add --create.") from error
    with suppress(ResourceAlreadyExistsError):  # another machine made it at this moment
        session.call("CreateCollection", CollectionId=name)
    return session.call("DescribeCollection", CollectionId=name)
