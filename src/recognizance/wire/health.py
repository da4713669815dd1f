"""Liveness and readiness, for whatever runs the server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse

from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = structlog.get_logger(__name__)

_FRESH_SECONDS = 1.0
"""How long a result stands. Anybody may ask, so asking must not become work."""


async def alive(_request: Request) -> JSONResponse:
    """Answer that the process runs and its event loop turns."""
    return JSONResponse({"status": "ok"})


class Readiness:
    """Tells whether the server can do its work.

    Args:
        checks: What to check, by name; a check that returns has passed. They run in a thread, one after the other.
    """

    def __init__(self, checks: Mapping[str, Callable[[], object]]) -> None:
        self._checks = checks
        self._lock = asyncio.Lock()
        self._checked_at = -_FRESH_SECONDS
        self._faults: dict[str, str] = {}

    async def page(self, _request: Request) -> JSONResponse:
        """Answer 200 when every check passes, 503 with the faults by name when one does not."""
        async with self._lock:
            if time.monotonic() - self._checked_at >= _FRESH_SECONDS:
                self._faults = await asyncio.to_thread(self._run)
                self._checked_at = time.monotonic()
        checks = {name: self._faults.get(name, "ok") for name in self._checks}
        status = "not ready" if self._faults else "ready"
        return JSONResponse({"status": status, "checks": checks}, 503 if self._faults else 200)

    def _run(self) -> dict[str, str]:
        faults = {}
        for name, check in self._checks.items():
            try:
                check()
            except SetupError as error:
                faults[name] = str(error)
            except Exception:  # whatever is wrong, the answer is "not ready"; the log has the cause
                log.exception("readiness check failed", check=name)
                faults[name] = "failed; the log has the cause"
        return faults
