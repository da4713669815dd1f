"""The server process: a socket, uvicorn on it, and an orderly end."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

from recognizance.core.errors import SetupError
from recognizance.core.log import configure
from recognizance.wire.app import create_app
from recognizance.wire.protocol import BoundedHttpProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

    from recognizance.core.settings import Settings
    from recognizance.operations.context import Services

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 60
_GRACE_SECONDS = 30
"""How long the server waits for its last answers after it was told to stop."""


def run(services: Services, settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Set logging up and serve until SIGTERM or SIGINT, then finish the requests that were begun and return.

    Args:
        services: What the server works with; closing it afterwards is up to the caller.
        settings: Address, port and limits.
        on_ready: Called with the server's URL once it accepts connections.

    Raises:
        SetupError: The address or port cannot be had.
    """
    configure(settings)
    serve(create_app(services), settings, on_ready)


def serve(app: Starlette, settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve an application, as :func:`run` does."""
    listener = listen(settings.host, settings.port)
    with listener:
        url = _url(settings.host, listener.getsockname()[1])
        Server(app, lambda: on_ready(url)).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free port.

    Raises:
        SetupError: The address or port cannot be had.
    """
    try:
        (family, *_), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SetupError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. Choose another host or port in the "
            "settings, or stop the program that uses this one."
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn, which tells when it is ready and returns when it was told to stop.

    Args:
        app: The application.
        on_ready: Called once connections are accepted.
    """

    def __init__(self, app: Starlette, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttpProtocol,
                ws="none",
                lifespan="on",
                log_config=None,  # core.log has set logging up
                access_log=False,  # the application writes its own, which knows operations and error codes
                server_header=False,
                proxy_headers=False,  # who asks is what the signature says, not where it came from
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening and say so."""
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT.

        uvicorn's own version raises the signals again at the end, which would keep the caller from closing its
        services.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
