"""What Prometheus is told: requests, what is remembered, lag, segments."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from schemas.learning import Learning
from scoring.drift import Drifting

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second line for every first, saying when we started
# Answers come in milliseconds; p99 is to stay below 10.
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """One registry for one API, none of it global."""

    def __init__(self) -> None:
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
        self.limited = Counter(
            "everscore_api_limited", "Requests answered with 429.", registry=registry
        )
        self.refused = Counter(
            "everscore_api_unauthenticated", "Requests answered with 401.", registry=registry
        )
        self.streams = Gauge(
            "everscore_api_streams", "Open streams of /changes.", registry=registry
        )
        self.changes = Gauge(
            "everscore_api_changes_remembered", "Changes in memory.", registry=registry
        )
        self.following = Gauge(
            "everscore_api_changes_caught_up",
            "1: all changes that Kafka holds were read.",
            registry=registry,
        )
        self.lag = Gauge(
            "everscore_lag_records", "Purchases not yet counted.", ("partition",), registry=registry
        )
        self.customers = Gauge(
            "everscore_customers", "Customers by segment.", ("segment",), registry=registry
        )
        self.inertia_ratio = Gauge(
            "everscore_scorecard_inertia_ratio",
            "How much more of the spread the segments leave unexplained than at first.",
            registry=registry,
        )
        self.buyers_excess = Gauge(
            "everscore_scorecard_buyers_excess",
            "How many more bought than P(buy) promised, as a share; negative: fewer.",
            registry=registry,
        )
        self.drifts = Gauge(
            "everscore_scorecard_drifts",
            "Drifts found under the scorecard in use.",
            ("kind",),
            registry=registry,
        )
        self.shadow_moved = Gauge(
            "everscore_shadow_moved_share",
            "Share of the learner's sample that the candidate would move; 0: there is none.",
            registry=registry,
        )
        self.shadow_gain = Gauge(
            "everscore_shadow_gain",
            "Share by which inertia would fall under the candidate; 0: there is none.",
            registry=registry,
        )
        self.census_seconds = Gauge(
            "everscore_api_census_seconds", "How long the last count took.", registry=registry
        )

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
        return generate_latest(self.registry)
