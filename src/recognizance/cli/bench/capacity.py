"""The whole run of ``recognizance bench capacity``."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from recognizance.cli._bars import bar
from recognizance.cli._server import running_server
from recognizance.cli._session import open_session
from recognizance.cli.bench import indexing
from recognizance.cli.bench.capacity_report import CapacityReport, Served
from recognizance.cli.bench.machine import cores
from recognizance.cli.bench.scratch import scratch_folder
from recognizance.cli.bench.search.files import GalleryFiles
from recognizance.cli.bench.search.gallery import ClusteredGallery
from recognizance.cli.bench.search.processes import WorkerError, worker
from recognizance.cli.bench.workload import make_workload
from recognizance.core import clock
from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from recognizance.cli._server import RunningServer
    from recognizance.cli._session import Session
    from recognizance.core.settings import Settings

_GALLERY = "gallery"
_PROBES = 100
_HITS = 10
_BYTES_A_FACE = 640
"""On disk, for each face that is searched: the vectors that are made, and the index."""
_BYTES_A_ROW = 1100
"""On disk, for each face of the server's collection: its row with indexes, its log entry, and the index."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        faces: Faces that the index is searched with.
        server_faces: Faces of the server's collection.
        clients: How many clients search at once.
        images: A folder of portraits; None takes the demonstration pictures.
        seconds: How long to measure each figure, at least.
        price_per_hour: What an hour of this machine costs.
        portraits: The most portraits.
    """

    faces: int = 10_000_000
    server_faces: int = 300_000
    clients: int = 8
    images: Path | None = None
    seconds: float = 20.0
    price_per_hour: float = 0.1
    portraits: int = 200


def measure(settings: Settings, plan: Plan, say: Callable[[str], None]) -> CapacityReport:
    """Measure everything in a folder that is deleted afterwards.

    Args:
        settings: Contract, runtime and models. Their data folder and database stay untouched.
        plan: What to measure.
        say: Told what comes next.

    Raises:
        SetupError: Models, pictures or room on the disk are missing, or a server does not start.
    """
    if plan.images is not None and not plan.images.is_dir():
        raise SetupError(f"{plan.images} is not a folder.")
    with scratch_folder() as folder:
        _check_room(folder, plan)
        changes = {"data": folder / "data", "database_url": None, "buckets_folder": None, "s3_endpoint_url": None}
        own = settings.model_copy(update=changes | {"milvus_url": None, "requests_per_second": 0.0})
        with open_session(own) as session:
            contract = session.services.analysers.default().contract
            workload = make_workload(session.services.analysers.default(), settings, plan.images, plan.portraits)
            indexed = _indexed(session, folder / "portraits", workload.portraits, plan, say)
            say(f"Filling the server's collection with {plan.server_faces:,} faces")
            indexing.fill_collection(session, _GALLERY, plan.server_faces)
        served = _served(own, workload.portraits, plan, say)
        shutil.rmtree(folder / "data")
        index = _searched(folder, contract.dimensions, plan, say)
    return CapacityReport(
        contract=contract.name,
        faces=plan.faces,
        server_faces=plan.server_faces,
        clients=plan.clients,
        price_per_hour=plan.price_per_hour,
        faces_per_hour=indexed,
        pictures=workload.source,
        index=index,
        served=served,
        when=clock.now().isoformat(timespec="seconds"),
    )


def _check_room(folder: Path, plan: Plan) -> None:
    needed = max(plan.faces * _BYTES_A_FACE, plan.server_faces * _BYTES_A_ROW)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SetupError(
            f"This run needs {needed / 2**30:,.1f} GiB of disk, and {folder.parent} has {free / 2**30:,.1f} GiB free; "
            "measure with fewer faces."
        )


def _indexed(
    session: Session, folder: Path, portraits: Sequence[bytes], plan: Plan, say: Callable[[str], None]
) -> float:
    """Return how many faces an hour ``recognizance index`` stores."""
    say("Measuring bulk indexing")
    files = indexing.write_pictures(folder, portraits)
    rate = indexing.bulk_rate(session, folder, 2 * cores(), plan.seconds)
    stored = session.call("DescribeCollection", CollectionId="bulk-0")["FaceCount"]
    return rate.per_second * 3600 * float(stored) / len(files)


def _searched(folder: Path, dimensions: int, plan: Plan, say: Callable[[str], None]) -> tuple[Served, Served]:
    """Measure the index alone, with one client and with several."""
    say(f"Making {plan.faces:,} faces")
    with bar("Faces") as tell:
        GalleryFiles.write(folder, ClusteredGallery(plan.faces, dimensions, _PROBES), tell)
    say("Building the index")
    try:
        with worker("own", folder) as builder:
            builder.ask("build")
        with worker("own", folder) as searcher:
            searcher.ask("open")
            searcher.ask("warm")
            say("Measuring the index")
            answers = [searcher.ask("load", threads=number, seconds=plan.seconds) for number in (1, plan.clients)]
    except WorkerError as error:
        raise SetupError(f"The index could not be measured: {error}") from error
    one, several = (Served.of(answer["ms"], answer["per_second"]) for answer in answers)
    return one, several


def _served(
    settings: Settings, portraits: Sequence[bytes], plan: Plan, say: Callable[[str], None]
) -> dict[str, tuple[Served, Served]]:
    """Measure a server in a process of its own, by operation, with one client and with several."""
    say("Measuring the server")
    found = {}
    with running_server(settings) as server:
        listed = server.client().list_faces(CollectionId=_GALLERY, MaxResults=_PROBES)["Faces"]
        search: dict[str, Any] = {"CollectionId": _GALLERY, "MaxFaces": _HITS, "FaceMatchThreshold": 0}
        requests = {
            "search_faces": [search | {"FaceId": face["FaceId"]} for face in listed],
            "search_faces_by_image": [search | {"Image": {"Bytes": data}} for data in portraits],
        }
        for operation, some in requests.items():
            _load(server, operation, some, 1, 0)  # networks and caches
            one, several = (_load(server, operation, some, number, plan.seconds) for number in (1, plan.clients))
            found[operation] = one, several
    return found


def _load(
    server: RunningServer, operation: str, requests: Sequence[dict[str, Any]], clients: int, seconds: float
) -> Served:
    """Send requests by so many clients at once, each its next when it has the answer to the last."""
    calls = [getattr(server.client(), operation) for _ in range(clients)]
    times: list[list[float]] = [[] for _ in calls]
    failed: list[Exception] = []
    deadline = perf_counter() + seconds

    def work(number: int) -> None:
        try:
            for request in islice(cycle(requests), number, None):
                started = perf_counter()
                calls[number](**request)
                ended = perf_counter()
                times[number].append((ended - started) * 1000)
                if ended > deadline or failed:
                    return
        except Exception as error:  # noqa: BLE001 - told below, by the thread that waits
            failed.append(error)

    started = perf_counter()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SetupError(f"The server did not answer {operation}: {failed[0]}")
    ms = [one for mine in times for one in mine]
    return Served.of(ms, len(ms) / (perf_counter() - started))
