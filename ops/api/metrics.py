"""What Prometheus is told: requests, what is remembered, lag, segments."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second line for every first, saying when we started
# Answers come in milliseconds; p99 is to stay below 10.
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """One registry for one API, none of it global.

    Parameters
    ----------
    folder : Path, optional
        Where several processes keep their numbers, for one exposition of all; prometheus_client must have
        found it in `FOLDER_VARIABLE` when it was imported.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "everscore_api_requests", "Answers.", ("route", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "everscore_api_request_seconds",
            "Until the answer began.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._of_kind: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.limited = Counter(
            "everscore_api_limited", "Requests answered with 429.", registry=registry
        )
        self.refused = Counter(
            "everscore_api_unauthenticated", "Requests answered with 401.", registry=registry
        )
        self.streams = Gauge(
            "everscore_api_streams",
            "Open streams of /changes.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.changes = Gauge(
            "everscore_api_changes_remembered",
            "Changes in memory.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.following = Gauge(
            "everscore_api_changes_caught_up",
            "1: all changes that Kafka holds were read.",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.lag = Gauge(
            "everscore_lag_records",
            "Purchases not yet counted.",
            ("partition",),
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.customers = Gauge(
            "everscore_customers",
            "Customers by segment.",
            ("segment",),
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.census_seconds = Gauge(
            "everscore_api_census_seconds",
            "How long the last count took.",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; finding a metric by its labels costs more than counting, and is done once."""
        kind = route, method, status
        found = self._of_kind.get(kind)
        if found is None:
            count = self.requests.labels(route, method, str(status))
            found = self._of_kind[kind] = count, self.seconds.labels(route)
        found[0].inc()
        found[1].observe(seconds)

    def text(self) -> bytes:
        """The exposition."""
        if self._folder is None:
            return generate_latest(self.registry)
        everybodys = CollectorRegistry()
        MultiProcessCollector(everybodys, path=str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(everybodys)
