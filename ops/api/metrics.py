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

from schemas.learning import Learning
from scoring.drift import Drifting

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
        self.inertia_ratio = Gauge(
            "everscore_scorecard_inertia_ratio",
            "How much more of the spread the segments leave unexplained than at first.",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.buyers_excess = Gauge(
            "everscore_scorecard_buyers_excess",
            "How many more bought than P(buy) promised, as a share; negative: fewer.",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.drifts = Gauge(
            "everscore_scorecard_drifts",
            "Drifts found under the scorecard in use.",
            ("kind",),
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.shadow_moved = Gauge(
            "everscore_shadow_moved_share",
            "Share of the learner's sample that the candidate would move; 0: there is none.",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.shadow_gain = Gauge(
            "everscore_shadow_gain",
            "Share by which inertia would fall under the candidate; 0: there is none.",
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

    def learning(self, found: Learning | None) -> None:
        """What the learner knows of the scorecard in use; nothing is as at its beginning."""
        fit, shadow = (found.fit, found.shadow) if found is not None else (None, None)
        self.inertia_ratio.set(fit.inertia_ratios[-1] if fit else 1.0)
        self.buyers_excess.set(fit.excesses[-1] if fit and fit.excesses else 0.0)
        kinds = [drift.kind for drift in fit.drifts] if fit else []
        for kind in Drifting:
            self.drifts.labels(kind.value).set(kinds.count(kind.value))
        self.shadow_moved.set(shadow.moved / shadow.customers if shadow else 0.0)
        self.shadow_gain.set(shadow.gain if shadow else 0.0)

    def text(self) -> bytes:
        """The exposition."""
        if self._folder is None:
            return generate_latest(self.registry)
        everybodys = CollectorRegistry()
        MultiProcessCollector(everybodys, path=str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(everybodys)
