"""How long a change takes from its purchase's production to whoever listens, at a steady rate.

Owns the course of one such run: the contender is up before the clock runs, its first seconds do not
count, and a contender that does not keep up is called saturated instead of slow.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ops.bench.contenders import REPOSITORY
from ops.bench.installation import Installation
from ops.bench.job import Job
from ops.bench.listener import Listening
from ops.bench.pacer import Pace
from ops.bench.throughput import Cost, cost_of, until_counted
from ops.stack.at_hand import StackKind
from ops.stack.processes import launcher
from schemas.errors import PipelineError

WARM_UP_PURCHASES = 200
"""In the topic before the clock runs: whoever has counted them is up."""
# Of a producer that cares for latency; librdkafka's default is 5. The in-memory broker hands out one
# message set per fetch, however small: there it takes fuller ones to get anywhere.
_LINGER_MS = {StackKind.LOCAL: 1.0, StackKind.EMBEDDED: 25.0}
_BEHIND_SECONDS_MAX = 10.0  # after the last purchase; who needs longer has not kept up
_ARRIVAL_SECONDS = 1.0  # for the last changes to arrive
_LOOK_SECONDS = 0.01
_PROCESS_SECONDS_MAX = 300.0
EDGES_MS = (1, 2, 3, 4, 6, 8, 12, 16, 25, 35, 50, 75, 100, 150, 250, 500, 1_000, 10_000)
"""Upper edges of the histogram's bins."""


class HelperError(PipelineError):
    """The process that sends or that listens has failed."""


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
    settings = installation.settings
    with tempfile.TemporaryDirectory(prefix="everscore-bench-") as made:
        times, arrivals = Path(made) / "times.npy", Path(made) / "arrivals.npy"
        pace = Pace(
            settings.kafka, settings.transactions_topic, job.copies,
            WARM_UP_PURCHASES, len(job), course.rate, _LINGER_MS[installation.broker.kind], str(times),
        )  # fmt: skip
        listening = Listening(settings.kafka, settings.changes_topic, str(arrivals))
        with _helper("listener", listening) as listener:
            with _helper("pacer", pace) as pacer:
                before = installation.uses()
                _tell(pacer, "begin\n")
                _await(pacer, "pacer")
            kept_up = _catches_up(installation, len(job))
            after, counted = installation.uses(), installation.counted()
            time.sleep(_ARRIVAL_SECONDS)
            listener.communicate(timeout=_PROCESS_SECONDS_MAX)
        cost = cost_of(before, after, counted - WARM_UP_PURCHASES)
        measured = latencies_ms(job, np.load(times), np.load(arrivals), course.begins)
    return summarise(measured, course.rate, cost, kept_up=kept_up)


def latencies_ms(
    job: Job, times: NDArray[np.int64], arrivals: NDArray[np.int64], begins: int
) -> NDArray[np.float64]:
    """From production to arrival, of each change whose purchase came after the warm-up.

    Parameters
    ----------
    times : int64, shape (purchases sent,)
        Nanoseconds.
    arrivals : int64, shape (changes, 3)
        Nanoseconds, partition, offset.
    begins : int
        Row of the job from which on changes count.
    """
    at, partitions, offsets = arrivals.T
    rows = np.empty(len(arrivals), dtype=np.int64)
    for partition, places in enumerate(job.rows_by_partition):
        here = partitions == partition
        rows[here] = places[offsets[here]]
    counts = rows >= begins
    produced = times[rows[counts] - WARM_UP_PURCHASES]
    found: NDArray[np.float64] = (at[counts] - produced) / 1e6
    return found


def summarise(measured: NDArray[np.float64], rate: float, cost: Cost, *, kept_up: bool) -> Latency:
    """Percentiles and histogram; none of a contender that did not keep up."""
    if not kept_up or not len(measured):
        return Latency(rate, len(measured), None, None, None, None, [], cost)
    p50, p99, p999 = np.percentile(measured, (50, 99, 99.9)).tolist()
    bins = np.searchsorted(EDGES_MS, measured)
    histogram = np.bincount(bins, minlength=len(EDGES_MS) + 1).tolist()
    return Latency(rate, len(measured), p50, p99, p999, float(measured.max()), histogram, cost)


def _catches_up(installation: Installation, total: int) -> bool:
    deadline = time.monotonic() + _BEHIND_SECONDS_MAX
    while installation.counted() < total or not installation.published():
        installation.check()
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


@contextmanager
def _helper(name: str, told: msgspec.Struct) -> Iterator[subprocess.Popen[str]]:
    """A process of ours that is ready; gone afterwards."""
    words = [sys.executable, "-m", f"ops.bench.{name}", msgspec.json.encode(told).decode()]
    with subprocess.Popen(  # noqa: S603 - our own words only
        [*launcher(), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise HelperError(f"The benchmark's {name} did not start.")
            yield process
            if process.returncode != 0:
                raise HelperError(f"The benchmark's {name} ended with code {process.returncode}.")
        finally:
            if process.poll() is None:
                process.kill()


def _tell(process: subprocess.Popen[str], word: str) -> None:
    if process.stdin is not None:
        process.stdin.write(word)
        process.stdin.flush()


def _await(process: subprocess.Popen[str], name: str) -> None:
    try:
        process.wait(_PROCESS_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise HelperError(f"The benchmark's {name} does not end.") from None
