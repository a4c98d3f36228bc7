"""Logs for operators and metrics for Prometheus."""

import asyncio
import logging
import os
import shutil
import sys
from pathlib import Path

import structlog

_MAX_WAITING = 500
_FLUSH_PAUSE_S = 1.0

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def configure_logs(*, is_terminal: bool) -> None:
    """Send events to standard error: for people on a terminal, else one JSON object per line."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def prepare_metrics(directory: Path) -> None:
    """Make an empty directory in which the processes share their counters.

    To be called before anything imports prometheus_client, which reads the place once.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.environ[MULTIPROCESS_VARIABLE] = str(directory)


class Metrics:
    """The counters of one server, summed over its processes."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        registry = CollectorRegistry()
        self._requests = Counter(
            "homeport_http_requests",
            "Answered requests by surface, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._durations = Histogram(
            "homeport_http_request_duration_seconds",
            "Time from a request to the end of its answer.",
            ("route",),
            registry=registry,
            buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300),
        )
        self._received = Counter(
            "homeport_blob_received_bytes", "Bytes of blobs taken in.", registry=registry
        )
        self._served = Counter("homeport_blob_served_bytes", "Bytes of blobs given out.", registry=registry)
        self._waiting: dict[tuple[str, str, int], list[float]] = {}

    def count_request(self, route: str, method: str, status: int, duration_s: float) -> None:
        """Count an answered request; the labels come from closed sets, never from a client.

        The count becomes visible with the next `flush`: shared counters are too slow for every request.
        """
        waiting = self._waiting.get((route, method, status))
        if waiting is None:
            self._waiting[route, method, status] = [duration_s]
        else:
            waiting.append(duration_s)
            if len(waiting) >= _MAX_WAITING:
                self.flush()

    def flush(self) -> None:
        """Make all that was counted visible to every process."""
        waiting, self._waiting = self._waiting, {}
        for (route, method, status), durations in waiting.items():
            self._requests.labels(route, method, str(status)).inc(len(durations))
            histogram = self._durations.labels(route)
            for duration_s in durations:
                histogram.observe(duration_s)

    async def flush_regularly(self) -> None:
        """Flush every second until cancelled, then once more."""
        try:
            while True:
                await asyncio.sleep(_FLUSH_PAUSE_S)
                self.flush()
        finally:
            self.flush()

    def count_received(self, size_bytes: int) -> None:
        """Count bytes of blobs taken in."""
        self._received.inc(size_bytes)

    def count_served(self, size_bytes: int) -> None:
        """Count bytes of blobs given out."""
        self._served.inc(size_bytes)


def render_metrics() -> tuple[bytes, str]:
    """Return the counters of all processes in Prometheus' text format, and its content type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
