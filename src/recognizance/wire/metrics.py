"""Metrics in Prometheus' form: how many requests, of what outcome, how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recognizance.collections.recall import Tally

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


REASONS = ("queue_full", "queue_timeout", "objects", "vectors", "rate", "memory", "connections", "slow_reader")
"""Why requests and connections are turned away; docs/reference/http.md says what each means."""


class Metrics:
    """The metrics of one application, in a registry of their own: two applications in one process do not mix.

    Attributes:
        registry: Where further metrics may be entered.
        in_progress: Requests that are worked on.
        waiting: Requests that wait for their turn.
        remote: Requests that wait for another machine, by which.
        queue_seconds: How long requests waited for their turn.
        rejected: Requests and connections that were turned away, by reason.
        held_bytes: How much request bodies take.
        connections: Open connections.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "recognizance_requests",
            "Requests answered, by operation and error code (OK for none).",
            ["operation", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "recognizance_request_seconds",
            "Time from the request's head to its answer.",
            ["operation"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge("recognizance_requests_in_progress", "Requests that are worked on.", registry=registry)
        self.waiting = Gauge("recognizance_requests_waiting", "Requests that wait for their turn.", registry=registry)
        self.remote = Gauge(
            "recognizance_requests_elsewhere",
            "Requests that wait for another machine, by what they wait for.",
            ["what"],
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "recognizance_queue_seconds",
            "Time that requests waited for their turn, whether it came or not.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.rejected = Counter(
            "recognizance_rejected",
            "Requests and connections that were turned away because of a limit, by reason.",
            ["reason"],
            registry=registry,
        )
        self.held_bytes = Gauge(
            "recognizance_bodies_bytes",
            "Bytes of the request bodies that are arriving, waiting or worked on, small ones left out.",
            registry=registry,
        )
        self.connections = Gauge("recognizance_connections", "Open connections.", registry=registry)
        for reason in REASONS:
            self.rejected.labels(reason)  # so that each is there from the start, as zero
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def observe(self, operation: str, code: str, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(operation, code).inc()
        self._seconds.labels(operation).observe(seconds)

    def follow_recall(self, tally: Callable[[], Tally]) -> None:
        """Show how many matches ordinary searches are found to miss, whenever somebody looks."""
        self.registry.register(_Recall(tally))

    async def page(self, _request: Request) -> Response:
        """Answer Prometheus."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Recall(Collector):
    """What repeated searches found out."""

    def __init__(self, tally: Callable[[], Tally]) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """Give the counters as they stand."""
        tally = self._tally()
        searches = "Probes that were searched for once more, exactly; see the setting checked_searches."
        yield CounterMetricFamily("recognizance_checked_searches", searches, value=tally.searches)
        found = "Matches that exact searches gave, by whether the ordinary search had found or missed them."
        matches = CounterMetricFamily("recognizance_checked_matches", found, labels=["outcome"])
        matches.add_metric(["found"], tally.found)
        matches.add_metric(["missed"], tally.missed)
        yield matches
