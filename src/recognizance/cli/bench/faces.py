"""The whole run of ``recognizance bench faces``."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recognizance.cli._server import running_server
from recognizance.cli._session import open_session
from recognizance.cli.bench import indexing, peer
from recognizance.cli.bench.machine import Setup, cores
from recognizance.cli.bench.pipeline import Pipeline
from recognizance.cli.bench.report import FacesReport, HundredFaces, PeerFigures, Pictures, Rates
from recognizance.cli.bench.scratch import scratch_folder
from recognizance.cli.bench.server import Client
from recognizance.cli.bench.timing import Rate
from recognizance.cli.bench.workload import make_workload
from recognizance.core import clock
from recognizance.core.errors import SetupError
from recognizance.vision.image import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from recognizance.cli._session import Session
    from recognizance.cli.bench.server import Overhead
    from recognizance.cli.bench.workload import Workload
    from recognizance.core.settings import Settings
    from recognizance.vision.analyser import FaceAnalyser

_ROUNDS = 5
_GALLERY = "gallery"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        images: A folder of portraits; None takes the demonstration pictures.
        seconds: How long to measure each figure, at least; what takes longer is measured once, or a few times.
        peer: Whether to measure the peer too.
        portraits: The most portraits.
        gallery: Faces of the collection that the server's memory is measured with.
    """

    images: Path | None = None
    seconds: float = 10.0
    peer: bool = False
    portraits: int = 200
    gallery: int = 100_000


def measure(settings: Settings, plan: Plan, say: Callable[[str], None]) -> FacesReport:
    """Measure everything.

    Args:
        settings: Contract, runtime and models. Their data folder and database stay untouched.
        plan: What to measure.
        say: Told what comes next.

    Raises:
        SetupError: Models or pictures are missing, or a server does not start.
    """
    if plan.images is not None and not plan.images.is_dir():
        raise SetupError(f"{plan.images} is not a folder.")
    with _scratch(settings) as (folder, scratch_settings), open_session(scratch_settings) as session:
        analyser = session.services.analysers.default()
        workers = 2 * cores()  # as `recognizance index` has by default
        pipeline = Pipeline(analyser, workers)
        say("Making the pictures")
        workload = make_workload(analyser, settings, plan.images, plan.portraits)
        files = indexing.write_pictures(folder / "portraits", workload.portraits)
        pictures = _count(pipeline, workload)
        rates = _rates(pipeline, workload, files, plan, say)
        say("Measuring pictures one after the other")
        one_portrait = pipeline.one_thread(workload.portraits, plan.seconds)
        one_photo = pipeline.one_thread(workload.photos, plan.seconds)
        say("Measuring a picture of 100 faces")
        hundred = _hundred(session, analyser, workload.hundred, plan.seconds)
        say("Measuring bulk indexing")
        bulk = indexing.bulk_rate(session, folder / "portraits", workers, plan.seconds)
        say(f"Measuring a server with a collection of {plan.gallery:,} faces")
        overhead, memory = _server(session, analyser, workload.portraits, plan)
        return FacesReport(
            setup=Setup.of(analyser.contract, session.services.analysers.runtime),
            pictures=pictures,
            workers=workers,
            seconds=plan.seconds,
            rates=rates,
            one_portrait=one_portrait,
            one_photo=one_photo,
            hundred=hundred,
            bulk=bulk,
            overhead=overhead,
            memory_mib=memory,
            gallery=plan.gallery,
            when=clock.now().isoformat(timespec="seconds"),
        )


@contextmanager
def _scratch(settings: Settings) -> Iterator[tuple[Path, Settings]]:
    """Give an empty folder, and settings with a data folder in it."""
    with scratch_folder() as folder:
        changes = {"data": folder / "data", "database_url": None, "buckets_folder": None, "s3_endpoint_url": None}
        yield folder, settings.model_copy(update=changes)


def _count(pipeline: Pipeline, workload: Workload) -> Pictures:
    """Count the faces; this also warms the networks up for all sizes of pictures.

    Raises:
        SetupError: The portraits have none.
    """
    portraits, photos = workload.portraits, workload.photos
    faces = pipeline.count_faces(portraits)
    if not faces:
        raise SetupError(f"No faces were found in {workload.source}.")
    return Pictures(workload.source, len(portraits), faces, len(photos), pipeline.count_faces(photos))


def _rates(
    pipeline: Pipeline, workload: Workload, files: Sequence[Path], plan: Plan, say: Callable[[str], None]
) -> Rates:
    say("Measuring portraits and photographs")
    if plan.peer:
        try:
            with peer.running(files, cores(), say) as rival:
                return _rounds(pipeline, workload, plan.seconds, rival)
        except peer.PeerError as error:
            say(f"{peer.NAME} is left out: {error}")
    return _rounds(pipeline, workload, plan.seconds, None)


def _rounds(pipeline: Pipeline, workload: Workload, seconds: float, rival: peer.Peer | None) -> Rates:
    """Measure in rounds. In each, everybody does one fifth of the portraits, so that in the end all did all of them."""
    count = min(_ROUNDS, len(workload.portraits))
    portraits, photos = [], []
    theirs: dict[int, list[float]] = {processes: [] for processes in sorted({1, cores()})}
    faces = 0
    for turn in range(count):
        rows = range(turn, len(workload.portraits), count)
        portraits.append(pipeline.rate([workload.portraits[row] for row in rows], seconds / count))
        if rival is not None:
            for processes, measured in theirs.items():
                rate, found = rival.rate(rows, processes)
                measured.append(rate)
            faces += found
        photos.append(pipeline.rate(workload.photos, seconds / count))
    figures = None
    if rival is not None:
        by_processes = {processes: Rate.of(measured) for processes, measured in theirs.items()}
        figures = PeerFigures(peer.NAME, peer.VERSION, by_processes, faces, rival.packages)
    return Rates(Rate.of(portraits), Rate.of(photos), figures)


def _hundred(session: Session, analyser: FaceAnalyser, data: bytes, seconds: float) -> HundredFaces:
    found = len(analyser.detect(decode(data)))
    detect_ms = indexing.detect_ms(analyser, data, seconds / 2)
    index_ms, indexed = indexing.index_ms(session, data, seconds / 2)
    return HundredFaces(detect_ms, index_ms, found, indexed)


def _server(
    session: Session, analyser: FaceAnalyser, portraits: Sequence[bytes], plan: Plan
) -> tuple[Overhead, float | None]:
    indexing.fill_collection(session, _GALLERY, plan.gallery)
    with running_server(session.services.settings) as server:
        client = Client(server)
        overhead = client.overhead(analyser, portraits, plan.seconds)
        client.search(_GALLERY, portraits)
        return overhead, client.memory_mib()
