"""What the worker has to reach, and whether it did; all figures are medians of a run's rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ops.bench.contenders import EVERSCORE
from ops.bench.latency import Latency
from ops.bench.scale import Scaled
from ops.bench.suite import Results
from ops.bench.throughput import Throughput

RATIOS = {"confluent": 1.4, "bytewax": 3.0, "quix": 4.0, "faust": 12.0, "limit": 0.5}
"""Everscore's events per second must be so many times a contender's."""
WORKER_CPU_MAX, REDIS_CPU_MAX = 14.0, 5.0
"""Seconds per million purchases."""
MEDIAN_BYTES_MAX = 600.0
"""Of Redis, all in, for the median customer."""
MILLION_GB_MAX = 0.8
"""Of Redis, for a million customers."""
LATENCY_MS_MAX = {
    2_000.0: {"p50": 8.0, "p99": 25.0, "p99.9": 100.0},
    10_000.0: {"p99": 50.0},
}


KNOWN_RATIO_MAX, WORKERS_RATIO_MAX = 1.2, 1.1
"""Of the worker's CPU per purchase, most known customers by fewest, two workers by one."""
RESCORE_SECONDS_MAX = 60.0
"""CPU seconds of the worker for a million customers."""
LIVE_P99_RATIO_MAX = 1.2
"""Of changes by purchases, while customers are re-scored, by before."""
RESTING_CORES_MAX = 0.02
"""Of the worker at rest, most known customers beyond fewest; ticks of the kernel's clock."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target; `met` is None where nothing was measured."""

    what: str
    wanted: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of some runs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread | None:
        """None of none."""
        return cls(median(figures), min(figures), max(figures)) if figures else None

    def text(self, digits: int = 0) -> str:
        """For a table.

        >>> Spread.of([1.0, 2.0, 4.0]).text(1)
        '2.0 (1.0–4.0)'
        """
        if self.least == self.most:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}–{self.most:,.{digits}f})"


def spread(runs: Sequence[Throughput | None], of: Callable[[Throughput], float]) -> Spread | None:
    """Of the runs that may be quoted."""
    return Spread.of([of(run) for run in runs if run is not None])


def ratio(results: Results, name: str, of: Callable[[Throughput], float]) -> Spread | None:
    """Everscore's figure by a contender's, round by round."""
    ours, theirs = results.throughput.get(EVERSCORE.name, []), results.throughput.get(name, [])
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=False) if a is not None and b is not None]
    # A small job may be over between two looks, or before the kernel has counted a tick.
    return Spread.of([of(a) / of(b) for a, b in pairs if of(b) > 0])


def percentile(runs: Sequence[Latency | None], name: str) -> Spread | None:
    """Of the runs that kept up; none if half of them did not."""
    fields = {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms", "max": "max_ms"}
    kept = [getattr(run, fields[name]) for run in runs if run is not None and run.kept_up]
    return Spread.of(kept) if 2 * len(kept) > len(runs) else None


def events_per_second(run: Throughput) -> float:
    """Of one run."""
    return run.events_per_second


def judge_targets(results: Results) -> Iterator[Target]:
    """Every target that concerns what was measured."""
    if results.plan.throughput:
        for name, wanted in RATIOS.items():
            if name in results.throughput:
                found = ratio(results, name, events_per_second)
                yield _at_least(f"throughput by that of `{name}`", wanted, found)
        ours = results.throughput.get(EVERSCORE.name, [])
        for what, most, cost in (
            ("worker", WORKER_CPU_MAX, spread(ours, lambda run: run.cost.worker)),
            ("Redis", REDIS_CPU_MAX, spread(ours, lambda run: run.cost.redis)),
        ):
            yield _at_most(f"CPU s per 1M purchases, {what}", most, cost, 1)
        bytes_each = spread(ours, lambda run: run.median_bytes)
        yield _at_most("Redis bytes of the median customer", MEDIAN_BYTES_MAX, bytes_each, 0)
        million = spread(ours, lambda run: run.mean_bytes * 1e6 / 1e9)
        yield _at_most("Redis GB of a million such customers", MILLION_GB_MAX, million, 2)
    for rate, limits in LATENCY_MS_MAX.items():
        for name, most in limits.items():
            if rate in results.latency:
                runs = results.latency[rate].get(EVERSCORE.name, [])
                what = f"{name} at {rate:,.0f} purchases/s, ms"
                yield _at_most(what, most, percentile(runs, name), 1)

    yield from _scale_targets(results.scale)


def _scale_targets(runs: Sequence[Scaled]) -> Iterator[Target]:
    """Of the questions that were asked of more than one size."""
    known = [run for run in runs if run.question == "known"]
    if len(known) > 1:
        few, many = known[0], known[-1]
        what = f"CPU per purchase among {many.row} by {few.row}"
        yield _times(what, KNOWN_RATIO_MAX, few.worker_us, many.worker_us)
        resting = many.idle_cores - few.idle_cores
        what = f"cores for {many.row} at rest beyond {few.row}"
        yield _at_most(what, RESTING_CORES_MAX, Spread.of([resting]), 2)
    workers = [run for run in runs if run.question == "workers"]
    if len(workers) > 1:
        one, two = workers[0], workers[-1]
        what = "CPU per purchase of two workers by one's"
        yield _times(what, WORKERS_RATIO_MAX, one.worker_us, two.worker_us)
    for run in runs:
        if run.p99_ms is not None:
            what = f"p99 meanwhile by p99 before: {run.row}"
            yield _times(what, LIVE_P99_RATIO_MAX, *run.p99_ms)
        elif run.question == "rescore":
            what = f"CPU s per 1M customers to re-score {run.row}"
            yield _at_most(what, RESCORE_SECONDS_MAX, Spread.of([run.worker_us]), 1)


def _times(what: str, wanted: float, base: float, found: float) -> Target:
    times = found / base if base > 0 else None
    measured = "–" if times is None else f"{times:.2f}"
    return Target(what, f"≤ {wanted:g} ×", measured, None if times is None else times <= wanted)


def _at_least(what: str, wanted: float, found: Spread | None) -> Target:
    measured = "–" if found is None else found.text(2)
    met = None if found is None else found.median >= wanted
    return Target(what, f"≥ {wanted:g} ×", measured, met)


def _at_most(what: str, wanted: float, found: Spread | None, digits: int) -> Target:
    measured = "–" if found is None else found.text(digits)
    return Target(
        what, f"≤ {wanted:g}", measured, None if found is None else found.median <= wanted
    )
