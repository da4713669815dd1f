"""Reading, analysing and writing at the same time."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")


def unordered(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Generator[R]:
    """Give the results of ``work`` on each item as they come, with at most ``ahead`` items begun and not yet given."""
    pending: set[Future[R]] = set()
    try:
        for item in items:
            pending.add(pool.submit(work, item))
            if len(pending) >= ahead:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)
    finally:
        for one in pending:
            one.cancel()


@contextmanager
def two_stages(
    items: Iterable[T], first: Callable[[T], S], then: Callable[[S], R], *, readers: int, workers: int
) -> Iterator[Iterator[R]]:
    """Give an iterator over ``then(first(item))`` of every item, in no order.

    Args:
        items: Taken one by one, in this thread, when there is room for more.
        first: What waits for disks and networks: done by ``readers`` threads.
        then: What keeps processors busy: done by ``workers`` threads. A few items wait for each, so that none idles
            while this thread takes a moment over the results.
        readers: At most twice so many results of ``first`` are held.
        workers: At most four times so many items are between the stages and this thread.
    """
    with ExitStack() as stack:
        reading = stack.enter_context(ThreadPoolExecutor(readers, thread_name_prefix="read"))
        working = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="index"))
        read = stack.enter_context(closing(unordered(reading, first, items, ahead=2 * readers)))
        yield stack.enter_context(closing(unordered(working, then, read, ahead=4 * workers)))


class Behind:
    """Calls a function in a thread of its own, one call at a time, so that the caller goes on meanwhile.

    A context manager; at its end, what was begun is finished. An error of a call is raised by the next, or at the end.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self.wait()

    def __call__(self, function: Callable[[], None]) -> None:
        """Wait for the call before this one, then begin this one and return."""
        self.wait()
        self._last = self._pool.submit(function)

    def wait(self) -> None:
        """Wait until nothing is going on."""
        last, self._last = self._last, None
        if last is not None:
            last.result()
