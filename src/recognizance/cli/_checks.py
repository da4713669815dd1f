"""What ``recognizance doctor`` looks at. Nothing here changes anything on the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import requests

from recognizance.core.errors import SetupError, TemporarilyUnavailableError
from recognizance.core.settings import unknown_variables
from recognizance.governance import keyfile
from recognizance.storage.database import Database, shown_url
from recognizance.vision.analyser import Analysers
from recognizance.vision.contracts import NAMES, load_contract
from recognizance.vision.models import ModelStore
from recognizance.vision.runtime import Runtime
from recognizance.wire import server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recognizance.core.settings import Settings

_GIB = 2**30
_CLOCK_ERROR = 5  # TIME_ERROR of adjtimex(2): the clock is not synchronised
_CLOCK_TOLERANCE_SECONDS = 300  # further off, a request's signature counts as expired


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        name: What was looked at.
        state: ``ok``; ``warn`` where serving works and something should be seen to; ``fail`` where it does not work.
        detail: What was found.
        cure: What to do about it; empty where nothing is to be done.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    cure: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Look at everything that serving needs, one check after the other."""
    checks: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _variables,
        _python,
        _processor,
        _memory,
        _runtime,
        _models,
        _data_folder,
        _database,
        _milvus,
        _key_file,
        _disk,
        _port,
        _clock,
    )
    for check in checks:
        yield from check(settings)


def _variables(_settings: Settings) -> Iterator[Check]:
    unknown = unknown_variables()
    if unknown:
        yield Check(
            "environment", "warn", f"{', '.join(unknown)}: no such setting", "See the names: recognizance config show"
        )


def _python(_settings: Settings) -> Iterator[Check]:
    yield Check("Python", "ok", f"{platform.python_version()} in {sys.prefix}")


def _processor(_settings: Settings) -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        yield Check("processor", "ok", f"{platform.machine()}, {cores} cores")
        return
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in fields.items()}
    flags = set(facts.get("flags", "").split())
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    detail = f"{facts.get('model name', platform.machine())}, {cores} cores, {' '.join(known) or 'no AVX2'}"
    if platform.machine() == "x86_64" and "avx2" not in flags:
        yield Check("processor", "warn", detail, "Without AVX2 the networks are several times slower.")
    else:
        yield Check("processor", "ok", detail)


def _memory(_settings: Settings) -> Iterator[Check]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    facts = dict(line.split(":", 1) for line in lines)
    available = int(facts["MemAvailable"].split()[0]) * 1024
    detail = f"{available / _GIB:.1f} GiB available"
    if available < 1.5 * _GIB:
        yield Check("memory", "warn", detail, "Serving takes about 1 GiB, and more for large collections.")
    else:
        yield Check("memory", "ok", detail)


def _runtime(settings: Settings) -> Iterator[Check]:
    try:
        runtime = Runtime(settings)
    except SetupError as error:
        yield Check("back end", "fail", "none", str(error))
        return
    yield Check("back end", "ok", f"{runtime.name}, {runtime.precision}, {runtime.threads} threads")


def _models(settings: Settings) -> Iterator[Check]:
    try:
        store = ModelStore(settings)
    except SetupError as error:
        yield Check("models", "fail", "the manifests cannot be read", str(error))
        return
    usable = []
    for name in NAMES:
        contract = load_contract(name)
        missing = [model for model in contract.model_names if not store.installed(model)]
        if missing:
            cure = f"recognizance models pull --contract {name}"
            yield Check(f"contract {name}", "warn", f"not installed: {', '.join(missing)}", cure)
            continue
        try:
            for model in contract.model_names:
                store.path(model)
        except SetupError as error:
            yield Check(f"contract {name}", "fail", "damaged", str(error))
            continue
        usable.append(name)
        yield Check(f"contract {name}", "ok", f"version {contract.version}, {', '.join(contract.model_names)}")
    try:
        chosen = Analysers(settings).default_name()
    except SetupError:
        chosen = ""
    if chosen in usable:
        yield Check("new collections", "ok", f"take the contract {chosen}")
    else:
        yield Check("new collections", "fail", "no contract can be used", "recognizance models pull")


def _data_folder(settings: Settings) -> Iterator[Check]:
    folder = settings.data
    cure = "Give the folder to this user, or choose another with --data or RECOGNIZANCE_DATA."
    if folder.is_dir():
        if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Check("data folder", "ok", str(folder))
        else:
            yield Check("data folder", "fail", f"{folder} may not be written to", cure)
        return
    parent = _nearest(folder)
    if folder.exists() or not os.access(parent, os.W_OK | os.X_OK):
        yield Check("data folder", "fail", f"{folder} cannot be made", cure)
    else:
        yield Check("data folder", "ok", f"{folder}, which the first start will make")


def _database(settings: Settings) -> Iterator[Check]:
    url = settings.resolved_database_url
    shown = shown_url(url)
    if url.startswith("sqlite") and not Path(url.partition(":///")[2].partition("?")[0]).exists():
        yield Check("database", "ok", f"{shown}, which the first start will make")
        return
    try:
        with closing(Database(url)) as database:
            state = database.state()
    except SetupError as error:
        yield Check("database", "fail", shown, str(error))
        return
    match state:
        case "current":
            yield Check("database", "ok", f"{shown}, schema current")
        case "newer":
            cure = "Use the version of Recognizance that last opened it, or another database."
            yield Check("database", "fail", f"{shown} belongs to a newer version", cure)
        case _:
            yield Check("database", "ok", f"{shown}, whose schema the next start will bring up to date")


def _milvus(settings: Settings) -> Iterator[Check]:
    if settings.milvus_url is None:
        return
    # Importing pymilvus takes a second, so only who has set milvus_url pays for it.
    from recognizance.collections.index.milvus import MilvusServer

    try:
        milvus = MilvusServer(settings, quiet=True)
    except SetupError as error:
        yield Check("Milvus", "fail", "pymilvus is not installed", str(error))
        return
    with closing(milvus):
        try:
            yield Check("Milvus", "ok", f"{milvus}, version {milvus.version()}, index {settings.milvus_index}")
        except TemporarilyUnavailableError:
            cure = "Start Milvus, or correct milvus_url and milvus_token."
            yield Check("Milvus", "fail", f"{milvus} does not answer as it should: {milvus.trouble}", cure)


def _key_file(settings: Settings) -> Iterator[Check]:
    path = settings.data / keyfile.NAME
    try:
        found = keyfile.read(path)
    except SetupError as error:
        yield Check("key file", "fail", str(path), str(error))
        return
    if found is None:
        yield Check("key file", "ok", f"{path}, which the first start will make")
    else:
        yield Check("key file", "ok", f"{path}, readable by this user only")


def _disk(settings: Settings) -> Iterator[Check]:
    free = shutil.disk_usage(_nearest(settings.data)).free
    detail = f"{free / _GIB:.1f} GiB free"
    if free < 0.1 * _GIB:
        yield Check("disk", "fail", detail, "Make room on the disk of the data folder.")
    elif free < _GIB:
        yield Check("disk", "warn", detail, "Make room on the disk of the data folder.")
    else:
        yield Check("disk", "ok", detail)


def _port(settings: Settings) -> Iterator[Check]:
    try:
        server.listen(settings.host, settings.port).close()
    except SetupError as error:
        if _is_serving(settings):
            yield Check("port", "ok", f"{settings.host} port {settings.port}, where a server is running")
        else:
            yield Check("port", "fail", f"{settings.host} port {settings.port} cannot be had", str(error))
        return
    yield Check("port", "ok", f"{settings.host} port {settings.port} is free")


def _is_serving(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    url = f"http://[{host}]:{settings.port}/health" if ":" in host else f"http://{host}:{settings.port}/health"
    try:
        return bool(requests.get(url, timeout=2).json() == {"status": "ok"})
    except requests.RequestException:
        return False


def _clock(settings: Settings) -> Iterator[Check]:
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    cure = "Clients whose clock differs by 5 minutes are refused: set the clock, for instance by chrony or systemd."
    database = settings.data / "recognizance.db"
    if database.exists() and database.stat().st_mtime > time.time() + _CLOCK_TOLERANCE_SECONDS:
        yield Check("clock", "warn", f"{now}, which is before the last write to the database", cure)
    elif _clock_state() == _CLOCK_ERROR:
        yield Check("clock", "warn", f"{now}, not synchronised by this machine", cure)
    else:
        yield Check("clock", "ok", now)


def _clock_state() -> int | None:
    """Return what the kernel says of its clock (adjtimex, clock state), None where there is no such kernel."""
    try:
        ask = ctypes.CDLL(None).adjtimex
    except (AttributeError, OSError):
        return None
    return int(ask(ctypes.create_string_buffer(512)))  # all zeros: read only; struct timex has 208 bytes


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
