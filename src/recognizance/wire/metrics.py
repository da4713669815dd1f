"""Metrics in Prometheus' form: how many requests, of what outcome, how fast."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import Request
from starlette.responses import Response

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one application, in a registry of their own: two applications in one process do not mix.

    Attributes:
        registry: Where further metrics may be entered.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "recognizance_requests",
            "Requests answered, by operation and error code (OK for none).",
            ["operation", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "recognizance_request_seconds",
            "Time from the request's head to its answer.",
            ["operation"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "recognizance_requests_in_progress",
            "Requests that are worked on or wait for a worker.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def observe(self, operation: str, code: str, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(operation, code).inc()
        self._seconds.labels(operation).observe(seconds)

    async def page(self, _request: Request) -> Response:
        """Answer Prometheus."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
