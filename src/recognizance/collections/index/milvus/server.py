"""The connection to Milvus: opened when it is needed, bounded in time, and silent about anything but the cure."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from recognizance.core.errors import SetupError, TemporarilyUnavailableError
from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from pymilvus import MilvusClient

log = structlog.get_logger(__name__)

_OTHERS = 8
"""Calls that may be under way beside those of requests: pushing, filling, sweeping."""

_PAUSE_SECONDS = 1.0
"""How long after a failure Milvus is not asked again, so that the requests that wait do not fail one after another."""

_GRACE_SECONDS = 1.0
"""What a call may take beyond its own time limit before it is given up: the client reconnects within a call."""

_MISSING = (100, 101)
"""Milvus's error codes for a collection that does not exist, and one that is not loaded (pkg/util/merr/errors.go)."""

_UNREACHABLE = 2
"""The error code for a server that cannot be reached (pymilvus.client.types.Status)."""

_OPTIONS = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000}
"""Left alone, a connection that was refused for a while is tried again only every two minutes (gRPC, "Connection
Backoff Protocol")."""


class MissingError(TemporarilyUnavailableError):
    """Milvus has lost a collection, or not loaded it: next time it is made or loaded before it is used."""


class MilvusServer:
    """A Milvus server, as the settings name it. Safe to use from many threads.

    Args:
        settings: ``milvus_url`` and what belongs to it.
        quiet: Whether to keep failures from the log, for whoever tells them otherwise.

    Raises:
        SetupError: The package pymilvus is not installed.

    Attributes:
        timeout: Seconds that a call may take.
        index_type: The type of Milvus index that vectors are kept in.
        trouble: Why the last call failed; empty while all went well.
        prefix: What the names of everything that this installation keeps in Milvus begin with.
    """

    def __init__(self, settings: Settings, *, quiet: bool = False) -> None:
        if settings.milvus_url is None:
            raise SetupError("milvus_url is not set.")
        if find_spec("pymilvus") is None:
            raise SetupError(
                'milvus_url is set, and the package pymilvus is not installed: pip install "recognizance[milvus]"'
            )
        self._url = settings.milvus_url
        self._token = settings.milvus_token.get_secret_value() if settings.milvus_token else ""
        self._database = settings.milvus_database
        self.timeout = settings.milvus_timeout_seconds
        self.index_type = settings.milvus_index
        self.prefix = settings.milvus_prefix
        self._calls = ThreadPoolExecutor(settings.max_remote_waits + _OTHERS, thread_name_prefix="milvus")
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None
        self._paused_until = 0.0
        self.trouble = ""
        self._quiet = quiet
        self._known: set[str] = set()
        self._making = threading.Lock()

    def __str__(self) -> str:
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2]  # a user's name and password may stand before it
        return parts._replace(netloc=host).geturl()

    def version(self) -> str:
        """Return the server's version.

        Raises:
            TemporarilyUnavailableError: Milvus does not answer.
        """
        return str(self.call("get_server_version"))

    def once(self, name: str, make: Callable[[], None]) -> None:
        """Make a Milvus collection, and never again until Milvus says that one is missing."""
        if name not in self._known:
            with self._making:
                if name not in self._known:
                    make()
                    self._known.add(name)

    def call(self, method: str, *arguments: object, **named: object) -> Any:  # noqa: ANN401 - whatever the method gives
        """Call a method of pymilvus's client.

        Args:
            method: Its name.
            *arguments: Its arguments.
            **named: Its named arguments; the time limit is added.

        Raises:
            MissingError: The Milvus collection does not exist or is not loaded.
            TemporarilyUnavailableError: Milvus does not answer in time, or refuses.
        """
        return self._bounded(lambda client: getattr(client, method)(*arguments, timeout=self.timeout, **named))

    def pages(self, **named: object) -> "Pages":
        """Open an iterator over the rows of a query; the arguments are those of ``MilvusClient.query_iterator``."""
        return Pages(self, self._bounded(lambda client: client.query_iterator(timeout=self.timeout, **named)))

    def close(self) -> None:
        """Close the connection."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _bounded(self, action: Callable[["MilvusClient"], Any]) -> Any:  # noqa: ANN401 - whatever the action gives
        """Do something with the client in another thread, and wait for it no longer than is allowed.

        pymilvus keeps its own time limits for calls but not for its reconnecting, where threads queue up at one lock.
        """
        if time.monotonic() < self._paused_until:
            raise TemporarilyUnavailableError
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        # It prints the trace of every failed call beside raising it; one line of ours says more.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

        try:
            future: Future[Any] = self._calls.submit(lambda: action(self._opened()))
            answer = future.result(self.timeout + _GRACE_SECONDS)
        except MilvusException as error:
            if error.code in _MISSING:
                self._known.clear()
                raise MissingError from error
            # A refusal comes at once, and need not be waited for; where pymilvus gave up, the code is gRPC's.
            self._failed(
                error.message or str(error), refused=error.code != _UNREACHABLE and isinstance(error.code, int)
            )
            raise TemporarilyUnavailableError from error
        except RpcError as error:
            self._failed(str(error.details()) if hasattr(error, "details") else str(error))
            raise TemporarilyUnavailableError from error
        except FutureTimeoutError as error:
            future.cancel()
            self._failed(f"no answer within {self.timeout:g} s")
            raise TemporarilyUnavailableError from error
        if self.trouble:
            self.trouble = ""
            log.info("Milvus answers again", url=str(self))
        return answer

    def _opened(self) -> "MilvusClient":
        from pymilvus import MilvusClient

        with self._lock:
            if self._client is None:
                self._client = MilvusClient(
                    self._url,
                    token=self._token,
                    db_name=self._database,
                    timeout=self.timeout,
                    dedicated=True,
                    grpc_options=_OPTIONS,
                )
            return self._client

    def _failed(self, reason: str, *, refused: bool = False) -> None:
        if not refused:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
        trouble, self.trouble = self.trouble, reason or "no reason given"
        if not trouble and not self._quiet:  # one line for each outage
            log.error(
                "Milvus does not answer as it should: faces are still stored, but searches fail until it does",
                url=str(self),
                reason=reason,
                cure="see that Milvus runs at milvus_url and accepts milvus_token: recognizance doctor",
            )


class Pages:
    """The pages of a query, one after another, each a list of rows."""

    def __init__(self, server: MilvusServer, iterator: Any) -> None:  # noqa: ANN401 - pymilvus does not export its type
        self._server = server
        self._iterator = iterator

    def __iter__(self) -> "Pages":
        return self

    def __next__(self) -> list[dict[str, Any]]:
        page: list[dict[str, Any]] = self._server._bounded(lambda _: self._iterator.next())  # noqa: SLF001 - its other half
        if not page:
            self._iterator.close()
            raise StopIteration
        return page
