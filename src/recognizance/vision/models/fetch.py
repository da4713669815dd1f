"""Fetching files over HTTP: bounded in size and time, every byte counted into a digest."""

import hashlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TypeVar, cast
from urllib.parse import urlsplit

import requests
import urllib3
from pypi_simple import (
    DistributionPackage,
    NoSuchProjectError,
    PyPISimple,
    UnsupportedContentTypeError,
    UnsupportedRepoVersionError,
)

from recognizance.core.errors import SetupError
from recognizance.vision.models.manifest import ModelFile, PackageSource, UrlSource
from recognizance.vision.models.pipconfig import Index, IndexConfig, load_index_config
from recognizance.vision.models.progress import Progress
from recognizance.vision.models.session import open_session

_CHUNK = 1 << 17
_CURE = "Where there is no network, name a folder that has the file as RECOGNIZANCE_MODEL_MIRROR."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait; all in seconds but the last.

    Attributes:
        connect: For a connection.
        index_answer: For the whole of an index's answer, and for the beginning of a file of its.
        url_answer: For the beginning of a file of an address, which is not worth a long wait: the core needs none.
        grace: For any file, on top of what the slowest line needs.
        slowest: The slowest line, in bytes a second; what is slower for long has stalled.
    """

    connect: float = 5.0
    index_answer: float = 60.0
    url_answer: float = 10.0
    grace: float = 30.0
    slowest: float = 32 * 1024


class _UnavailableError(Exception):
    """A host does not give the file; the message says why, to follow the host's name."""


class Fetcher:
    """Fetches from the user's package index and from addresses, as pip would: same index, proxy, certificates.

    Args:
        config: How to reach the index; by default what pip's configuration says, once it is needed.
        limits: How long to wait.
    """

    def __init__(self, config: IndexConfig | None = None, limits: Limits = Limits()) -> None:
        self._given = config
        self._limits = limits
        self._silent: set[str] = set()  # hosts with ports that did not answer; they are not asked for the next file

    def package(self, source: PackageSource, target: IO[bytes], progress: Progress) -> None:
        """Write an archive of the package index into ``target``.

        Raises:
            SetupError: No index gives the very file; the message says why.
        """
        config = self._config
        reasons = list(config.ignored)
        for index in config.indexes:
            try:
                link = self._link(index, source)
                wanted = _Wanted(source.archive, source.sha256, source.size)
                self._download(link.url, wanted, target, progress, self._limits.index_answer)
            except _UnavailableError as error:
                reasons.append(f"{index.host} {error}.")
            else:
                return
        why = " ".join(reasons) or "pip is configured to use no index."
        raise SetupError(f"{source.archive} could not be fetched from the package index. {why} {_CURE}")

    def file(self, source: UrlSource, file: ModelFile, target: IO[bytes], progress: Progress) -> None:
        """Write the file of an address into ``target``.

        Raises:
            SetupError: No address gives the very file; the message says why.
        """
        reasons = []
        wanted = _Wanted(file.name, file.sha256 or "", file.size or 0)
        for url in source.urls:
            try:
                self._download(url, wanted, target, progress, self._limits.url_answer)
            except _UnavailableError as error:
                reasons.append(f"{urlsplit(url).hostname} {error}.")
            else:
                return
        raise SetupError(f"{file.name} could not be fetched. {' '.join(dict.fromkeys(reasons))} {_CURE}")

    @cached_property
    def _config(self) -> IndexConfig:
        return self._given or load_index_config()

    @cached_property
    def _session(self) -> requests.Session:
        return open_session(self._config)

    def _link(self, index: Index, source: PackageSource) -> DistributionPackage:
        """Return where an index has an archive."""
        client = PyPISimple(index.url, session=self._session)
        answer = self._limits.index_answer
        page = self._ask(
            index.url, answer, lambda: client.get_project_page(source.package, timeout=self._timeouts(answer))
        )
        for link in page.packages:
            if link.filename == source.archive:
                if link.digests.get("sha256", source.sha256) != source.sha256:
                    raise _UnavailableError("has another file of that name")
                return link
        raise _UnavailableError("does not have it")

    def _timeouts(self, answer: float) -> tuple[float, float]:
        return min(self._limits.connect, answer), min(self._config.timeout, answer)

    def _ask(self, url: str, seconds: float, call: Callable[[], T]) -> T:
        """Return what a host answers within so many seconds, whatever holds it up: its name, a proxy or itself."""
        host = urlsplit(url).netloc
        if host in self._silent:
            raise _UnavailableError("did not answer a moment ago")
        try:
            return _within(seconds, call)
        except (requests.ConnectionError, requests.Timeout, TimeoutError) as error:
            self._silent.add(host)
            raise _UnavailableError(_reason(error)) from error
        except (requests.RequestException, NoSuchProjectError, *_NO_INDEX) as error:
            raise _UnavailableError(_reason(error)) from error

    def _download(self, url: str, wanted: "_Wanted", target: IO[bytes], progress: Progress, answer: float) -> None:
        """Write a file into ``target``, in place of what an earlier attempt wrote there."""
        deadline = time.monotonic() + self._limits.grace + wanted.size / self._limits.slowest
        response = self._ask(url, answer, lambda: self._session.get(url, stream=True, timeout=self._timeouts(answer)))
        target.seek(0)
        target.truncate()
        with response:
            if not response.ok:
                raise _UnavailableError(_status(response))
            progress.begin(wanted.name, wanted.size)
            try:
                _receive(response.raw, wanted, target, progress, deadline)
            except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
                raise _UnavailableError("broke off in the middle") from error
            finally:
                progress.end()


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    sha256: str
    size: int


def _receive(
    raw: urllib3.BaseHTTPResponse, wanted: _Wanted, target: IO[bytes], progress: Progress, deadline: float
) -> None:
    """Copy a response's body as it is on the line, and compare it."""
    digest, size = hashlib.sha256(), 0
    # read1 returns what is there, so that a host that trickles cannot hold us beyond the deadline.
    while chunk := raw.read1(_CHUNK, decode_content=False):
        size += len(chunk)
        if size > wanted.size:
            raise _UnavailableError("sends a larger file than it should")
        if time.monotonic() > deadline:
            raise _UnavailableError("is too slow")
        digest.update(chunk)
        target.write(chunk)
        progress.advance(len(chunk))
    if size < wanted.size:
        raise _UnavailableError(f"broke off after {size} of {wanted.size} bytes")
    if digest.hexdigest() != wanted.sha256:
        raise _UnavailableError(f"sends another file: its SHA-256 is {digest.hexdigest()}, not {wanted.sha256}")


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns, or raise what it raises; TimeoutError once so many seconds are over.

    The timeouts of a socket do not bound the looking up of a name, nor several addresses tried in turn. A call that
    is given up goes on in a thread that does not keep the process alive.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again where it matters
            results.put((None, error))

    threading.Thread(target=run, daemon=True, name="fetch").start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return cast("T", result)


_NO_INDEX = (UnsupportedContentTypeError, UnsupportedRepoVersionError, ValueError)


def _reason(error: Exception) -> str:
    """Say why a host gives nothing, in words that follow its name; the error's own might quote addresses in full."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _status(error.response)
    reasons: tuple[tuple[type[Exception], str], ...] = (  # the first that fits
        (NoSuchProjectError, "does not have it"),
        (requests.exceptions.SSLError, "shows a certificate that is not trusted"),
        (requests.exceptions.ProxyError, "is behind a proxy that does not answer"),
        (requests.Timeout, "does not answer in time"),
        (TimeoutError, "does not answer in time"),
        (requests.ConnectionError, "cannot be reached"),
        (requests.TooManyRedirects, "redirects in a circle"),
    )
    return next((text for kind, text in reasons if isinstance(error, kind)), "does not answer as it should")


def _status(response: requests.Response) -> str:
    if response.status_code in {401, 403, 407}:
        return f"refuses access (HTTP {response.status_code})"
    return f"answers HTTP {response.status_code}"
