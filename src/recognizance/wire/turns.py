"""Whose turn it is: so many requests are worked on, so many wait for that, and the rest are asked to come again.

Three numbers are bounded apart. Requests that compute, because cores and memory are few. Requests that wait for their
turn, because a queue that grows helps nobody. And requests that wait for another machine: they give up their turn
meanwhile, so a bucket that hangs takes nothing from those who do not ask for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar, get_args

from recognizance.core import waiting
from recognizance.core.errors import ThroughputExceededError
from recognizance.wire.body import ClientDisconnectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive

    from recognizance.core.waiting import Remote
    from recognizance.wire.metrics import Metrics

_T = TypeVar("_T")

_REMOTES: tuple[Remote, ...] = get_args(waiting.Remote)
_FULL: dict[Remote, str] = {"objects": "S3 download limit exceeded.", "vectors": "Provisioned Rate exceeded"}
"""What Rekognition's guide answers where it cannot fetch any more pictures, and where it cannot do any more at all."""


class Turns:
    """Runs work in threads, within bounds. Made and used on one event loop, except where said otherwise.

    Args:
        working: Most requests that are worked on at once.
        waiting: Most requests that wait for their turn.
        patience: How long one waits, in seconds: somebody who has given up by then should not be worked for.
        remote: Most requests that wait for each other machine at once, beside those that are worked on.
        metrics: Where all this can be seen.
    """

    def __init__(self, *, working: int, waiting: int, patience: float, remote: int, metrics: Metrics) -> None:
        self._most_working, self._most_waiting, self._most_remote = working, waiting, remote
        self._patience = patience
        self._working = 0
        self._returning: deque[asyncio.Future[None]] = deque()  # from another machine: they have waited once already
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._remote: Counter[Remote] = Counter()
        self._remote_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(working + remote * len(_REMOTES), thread_name_prefix="operation")
        self._metrics = metrics
        metrics.in_progress.set_function(lambda: self._working)
        metrics.waiting.set_function(lambda: len(self._waiting))
        for what in _REMOTES:
            metrics.remote.labels(what).set_function(partial(self._remote.__getitem__, what))

    async def close(self) -> None:
        """Wait until all work that was begun is done."""
        # In another thread, for work that comes back from another machine needs this loop to turn.
        await asyncio.to_thread(self._threads.shutdown)

    async def run(self, work: Callable[[], _T], receive: Receive) -> _T:
        """Do the work in a thread when its turn has come, and return its result.

        Args:
            work: What to do.
            receive: The ASGI channel, read to the end of the body; it tells when the client leaves.

        Raises:
            ThroughputExceededError: Too many are waiting, or the turn did not come in time.
            ClientDisconnectedError: The client left before its turn.
        """
        gone = asyncio.ensure_future(_disconnection(receive))
        try:
            await self._turn(gone)
            turn = _Turn(self, asyncio.get_running_loop())
            gone.add_done_callback(turn.abandon)
            try:
                return await turn.loop.run_in_executor(self._threads, turn.run, work)
            finally:
                turn.end()
        finally:
            gone.cancel()

    async def _turn(self, gone: asyncio.Future[None]) -> None:
        """Return when it is this request's turn."""
        if self._working < self._most_working:
            self._working += 1
            self._metrics.queue_seconds.observe(0)
            return
        if len(self._waiting) >= self._most_waiting:
            self._metrics.rejected.labels("queue_full").inc()
            raise ThroughputExceededError
        began = time.perf_counter()
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(called)
        try:
            await asyncio.wait((called, gone), timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:  # the server is stopping
            self._step_out(called)
            raise
        finally:
            self._metrics.queue_seconds.observe(time.perf_counter() - began)
        if called.done():
            return
        self._step_out(called)
        if gone.done():
            raise ClientDisconnectedError
        self._metrics.rejected.labels("queue_timeout").inc()
        raise ThroughputExceededError

    def _step_out(self, called: asyncio.Future[None]) -> None:
        if called.done():
            self.leave()
        else:
            self._waiting.remove(called)

    def leave(self) -> None:
        """Let the next one work."""
        for queue in (self._returning, self._waiting):
            if queue:
                queue.popleft().set_result(None)
                return
        self._working -= 1

    async def come_back(self) -> None:
        """Return when somebody who left for another machine may work again."""
        if self._working < self._most_working:
            self._working += 1
        else:
            called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._returning.append(called)
            await called

    def go(self, what: Remote) -> None:
        """Count somebody who leaves for another machine; from any thread.

        Raises:
            ThroughputExceededError: Too many are there.
        """
        with self._remote_lock:
            if self._remote[what] >= self._most_remote:
                self._metrics.rejected.labels(what).inc()
                raise ThroughputExceededError(_FULL[what])
            self._remote[what] += 1

    def returned(self, what: Remote) -> None:
        """Count somebody who is back from another machine and at work; from any thread."""
        with self._remote_lock:
            self._remote[what] -= 1


class _Turn:
    """One request's turn."""

    __slots__ = ("_away", "_holds", "_turns", "abandoned", "loop")

    def __init__(self, turns: Turns, loop: asyncio.AbstractEventLoop) -> None:
        self._turns, self.loop = turns, loop
        self._holds = True  # changed on the loop alone
        self._away = False  # changed by the thread alone
        self.abandoned = False

    def run(self, work: Callable[[], _T]) -> _T:
        with waiting.heard_by(self._elsewhere):
            return work()

    def abandon(self, _: asyncio.Future[None]) -> None:
        self.abandoned = True

    def end(self) -> None:
        if self._holds:
            self._holds = False
            self._turns.leave()

    @contextmanager
    def _elsewhere(self, what: Remote) -> Iterator[None]:
        if self._away:  # a wait within a wait
            yield
            return
        self._turns.go(what)
        self._away = True
        self.loop.call_soon_threadsafe(self.end)
        try:
            yield
        finally:
            self._away = False
            try:
                if self.abandoned:
                    raise ClientDisconnectedError
                asyncio.run_coroutine_threadsafe(self._come_back(), self.loop).result()
            finally:
                # Not before it works again: whoever waits for that has a thread, and threads are counted too.
                self._turns.returned(what)

    async def _come_back(self) -> None:
        await self._turns.come_back()
        self._holds = True


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
