"""How long a change takes from its purchase's production to whoever listens, at a steady rate.

Owns which changes count: the contender is up before the clock runs, its first seconds do not count,
and a contender that does not keep up is called saturated instead of slow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.bench.flow import rows_of, send_steadily
from ops.bench.installation import Installation
from ops.bench.job import Job
from ops.bench.throughput import Cost, cost_of, until_counted

WARM_UP_PURCHASES = 200
"""In the topic before the clock runs: whoever has counted them is up."""
EDGES_MS = (1, 2, 3, 4, 6, 8, 12, 16, 25, 35, 50, 75, 100, 150, 250, 500, 1_000, 10_000)
"""Upper edges of the histogram's bins."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One run.

    Attributes
    ----------
    rate : float
        Purchases a second.
    changes : int
        Measured: caused by purchases after the warm-up.
    p50_ms, p99_ms, p999_ms, max_ms : float or None
        None: the contender did not keep up.
    histogram : list of int
        Changes up to each of `EDGES_MS`, and beyond the last.
    cost : Cost
        CPU seconds per million purchases at this rate.
    """

    rate: float
    changes: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    histogram: list[int]
    cost: Cost

    @property
    def kept_up(self) -> bool:
        """Whether all was counted in time."""
        return self.p50_ms is not None


@dataclass(frozen=True, slots=True)
class Course:
    """Of a run.

    Attributes
    ----------
    rate : float
        Purchases a second.
    warm_up_seconds : float
        At the rate, not measured: caches fill, connections grow their buffers.
    seconds : float
        Measured.
    """

    rate: float
    warm_up_seconds: float
    seconds: float

    @property
    def begins(self) -> int:
        """Row of the job at which the measurement begins."""
        return WARM_UP_PURCHASES + int(self.rate * self.warm_up_seconds)

    @property
    def purchases(self) -> int:
        """How many it takes."""
        return WARM_UP_PURCHASES + int(self.rate * (self.warm_up_seconds + self.seconds))


def measure_latency(installation: Installation, job: Job, course: Course) -> Latency:
    """Send a job at a rate to a contender that has its first purchases already.

    Parameters
    ----------
    installation : Installation
        Reads a topic that holds `WARM_UP_PURCHASES` of the job.
    job : Job
        Ends with the run.

    Raises
    ------
    StalledError, ConfigurationError, HelperError
        The contender does not count, has ended, or a helper has.
    """
    until_counted(installation, WARM_UP_PURCHASES)
    seen = send_steadily(installation, job, WARM_UP_PURCHASES, course.rate)
    cost = cost_of(seen.before, seen.after, seen.counted - WARM_UP_PURCHASES)
    measured = latencies_ms(job, seen.times, seen.arrivals, course.begins)
    return summarise(measured, course.rate, cost, kept_up=seen.kept_up)


def latencies_ms(
    job: Job,
    times: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    begins: int,
    start: int = WARM_UP_PURCHASES,
) -> NDArray[np.float64]:
    """From production to arrival, of each change whose purchase came after the warm-up.

    Parameters
    ----------
    times, arrivals : int64
        See `Observed`; of the rows from `start` on.
    begins : int
        Row of the job from which on changes count.
    start : int
        First row that was sent at the rate.
    """
    rows = rows_of(job, arrivals)
    counts = rows >= begins
    produced = times[rows[counts] - start]
    found: NDArray[np.float64] = (arrivals[counts, 0] - produced) / 1e6
    return found


def summarise(measured: NDArray[np.float64], rate: float, cost: Cost, *, kept_up: bool) -> Latency:
    """Percentiles and histogram; none of a contender that did not keep up."""
    if not kept_up or not len(measured):
        return Latency(rate, len(measured), None, None, None, None, [], cost)
    p50, p99, p999 = np.percentile(measured, (50, 99, 99.9)).tolist()
    bins = np.searchsorted(EDGES_MS, measured)
    histogram = np.bincount(bins, minlength=len(EDGES_MS) + 1).tolist()
    return Latency(rate, len(measured), p50, p99, p999, float(measured.max()), histogram, cost)
