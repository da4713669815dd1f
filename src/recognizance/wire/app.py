"""The ASGI application: HTTP around :mod:`recognizance.wire.endpoint`.

The event loop only moves bytes. Everything that computes (hashing, parsing, the operation itself) runs in a pool of
threads, whose libraries release the interpreter's lock while they work.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.routing import Route

from recognizance import operations
from recognizance.core.errors import (
    InternalServerError,
    ServiceError,
    UnknownOperationError,
)
from recognizance.core.ids import new_id
from recognizance.wire import answers, health
from recognizance.wire.body import BodyReader, ClientDisconnectedError
from recognizance.wire.connections import Connections
from recognizance.wire.endpoint import Call, Endpoint
from recognizance.wire.http import Request, canonical_headers
from recognizance.wire.limiter import Limiter
from recognizance.wire.metrics import Metrics
from recognizance.wire.model import service_model
from recognizance.wire.sigv4 import Verifier
from recognizance.wire.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from recognizance.core.settings import Settings
    from recognizance.governance.keys import Credential
    from recognizance.operations.context import Services
    from recognizance.wire.answers import Answer
    from recognizance.wire.endpoint import Dispatch

log = structlog.get_logger(__name__)
access_log = structlog.get_logger("recognizance.access")

_CLOSE = ((b"connection", b"close"),)
"""Ends a connection whose request was not read to its end."""


def create_app(services: Services) -> Starlette:
    """Build the application that serves Rekognition's API from these services."""

    def database_answers() -> None:
        with services.database.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    metrics = Metrics()
    metrics.follow_recall(lambda: services.collections.recall)
    return build_app(
        services.settings,
        find=services.keys.find,
        dispatch=partial(operations.call, services),
        checks={"database": database_answers, "models": services.analysers.default},
        metrics=metrics,
    )


def build_app(
    settings: Settings,
    *,
    find: Callable[[str], Credential | None],
    dispatch: Dispatch,
    checks: Mapping[str, Callable[[], object]],
    metrics: Metrics | None = None,
) -> Starlette:
    """Build the application from its parts.

    Args:
        settings: Region, limits and time-outs.
        find: Returns the credential of an access key id, None when there is none.
        dispatch: Performs operations.
        checks: What must pass for the server to be ready, by name.
        metrics: Where requests are counted.
    """
    metrics = metrics or Metrics()
    readiness = health.Readiness(checks)
    limiter = Limiter(rate=settings.requests_per_second, burst=settings.request_burst, metrics=metrics)
    endpoint = Endpoint(service_model(), Verifier(find, settings.region), limiter, dispatch)
    api = Api(endpoint, settings, metrics)
    app = Starlette(
        routes=[
            Route("/", api),
            Route("/health", health.alive),
            Route("/ready", readiness.page),
            Route("/metrics", metrics.page),
            Route("/{path:path}", api),
        ],
        lifespan=api.lifespan,
    )
    app.state.connections = Connections(settings.max_connections, metrics)  # for the protocol, below the application
    return app


class Api:
    """The API's endpoint as an ASGI application.

    Args:
        endpoint: Answers requests.
        settings: Limits and time-outs.
        metrics: Where requests are counted.
    """

    def __init__(self, endpoint: Endpoint, settings: Settings, metrics: Metrics) -> None:
        self._endpoint, self._metrics = endpoint, metrics
        self._bodies = BodyReader(
            limit=settings.max_body_bytes,
            timeout=settings.body_timeout_seconds,
            budget=settings.max_buffered_bytes,
            metrics=metrics,
        )
        self._turns = Turns(
            working=settings.max_concurrent_requests or max(16, 8 * (os.cpu_count() or 1)),
            waiting=settings.max_waiting_requests,
            patience=settings.queue_timeout_seconds,
            remote=settings.max_remote_waits,
            metrics=metrics,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Let the operations that run come to their end when the server stops."""
        yield
        await self._turns.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started = time.perf_counter()
        call = Call()
        request_id = new_id()
        try:
            answer = await self._answer(scope, receive, request_id, call)
        except ClientDisconnectedError:
            self._note(request_id, call, 0, "ClientDisconnected", started)
            return
        except Exception:  # the boundary of what happens outside of the workers
            log.exception("request failed", request_id=request_id)
            answer = answers.error(self._endpoint.model, request_id, InternalServerError(), headers=_CLOSE)
        self._note(request_id, call, answer.status, answer.code, started)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.raw_headers(request_id)})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive, request_id: str, call: Call) -> Answer:
        failed = partial(answers.error, self._endpoint.model, request_id)
        if scope["path"] != "/":
            error = UnknownOperationError("The API is at the path '/'.")
            return failed(error, status=404, headers=_CLOSE)
        if scope["method"] != "POST":
            error = UnknownOperationError("The API takes POST requests only.")
            return failed(error, status=405, headers=((b"allow", b"POST"), *_CLOSE))
        try:
            headers = canonical_headers(scope["headers"])
            body = await self._bodies.read(receive, headers.get("content-length"))
        except ServiceError as error:
            return failed(error, headers=_CLOSE)
        query = scope["query_string"].decode("latin-1")
        request = Request(request_id, "POST", "/", query, headers, body)
        try:
            return await self._turns.run(partial(self._endpoint.answer, request, call), receive)
        except ServiceError as error:
            return failed(error)
        finally:
            self._bodies.release(body)

    def _note(self, request_id: str, call: Call, status: int, code: str, started: float) -> None:
        seconds = time.perf_counter() - started
        self._metrics.observe(call.operation, code, seconds)
        access_log.info(
            "request",
            request_id=request_id,
            operation=call.operation,
            access_key_id=call.access_key_id,
            status=status,
            code=code,
            milliseconds=round(seconds * 1000, 1),
        )
