"""A job sent at a steady rate to a contender at work, and what a plain listener hears of it.

Owns the two helper processes: the one that sends, the one that listens.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ops.bench.contenders import REPOSITORY
from ops.bench.installation import Installation, Uses
from ops.bench.job import Job
from ops.bench.listener import Listening
from ops.bench.pacer import Pace, Records
from ops.stack.at_hand import StackKind
from ops.stack.processes import launcher
from schemas.errors import PipelineError

# Of a producer that cares for latency; librdkafka's default is 5. The in-memory broker hands out one
# message set per fetch, however small: there it takes fuller ones to get anywhere.
_LINGER_MS = {StackKind.LOCAL: 1.0, StackKind.EMBEDDED: 25.0}
_BEHIND_SECONDS_MAX = 10.0  # after the last purchase; who needs longer has not kept up
_ARRIVAL_SECONDS = 1.0  # for the last changes to arrive
_LOOK_SECONDS = 0.01
_PROCESS_SECONDS_MAX = 300.0


class HelperError(PipelineError):
    """The process that sends or that listens has failed."""


@dataclass(frozen=True)
class Observed:
    """What was sent and heard; times are nanoseconds of the monotonic clock.

    Attributes
    ----------
    times : int64, shape (purchases sent,)
        When each was handed to the producer.
    arrivals : int64, shape (changes, 3)
        When each change arrived, partition and offset of the purchase that caused it.
    before, after : Uses
    counted : int
        Purchases in the end.
    kept_up : bool
        Whether all was counted in time.
    """

    times: NDArray[np.int64]
    arrivals: NDArray[np.int64]
    before: Uses
    after: Uses
    counted: int
    kept_up: bool


def send_steadily(
    installation: Installation,
    job: Job,
    start: int,
    rate: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> Observed:
    """Send a job from a row on.

    Parameters
    ----------
    installation : Installation
        Reads a topic that holds the job's rows before `start`, and has counted them.
    rate : float
        Purchases a second.
    meanwhile : callable
        Called when the clock runs.

    Raises
    ------
    ConfigurationError, HelperError
        The contender has ended, or a helper has.
    """
    settings = installation.settings
    with tempfile.TemporaryDirectory(prefix="everscore-bench-") as made:
        folder = Path(made)
        times, arrivals, records = (folder / name for name in ("times.npy", "arrivals.npy", "job"))
        rows = Records(job.keys[start:], job.values[start:], job.partitions[start:].tolist())
        records.write_bytes(msgspec.msgpack.encode(rows))
        pace = Pace(
            settings.kafka,
            settings.transactions_topic,
            str(records),
            rate,
            _LINGER_MS[installation.broker.kind],
            str(times),
        )
        listening = Listening(settings.kafka, settings.changes_topic, str(arrivals))
        with helper("listener", listening) as listener:
            with helper("pacer", pace) as pacer:
                before = installation.uses()
                tell(pacer, "begin\n")
                meanwhile()
                wait_for_end(pacer, "pacer")
            kept_up = _catches_up(installation, len(job))
            after, counted = installation.uses(), installation.counted()
            time.sleep(_ARRIVAL_SECONDS)
            listener.communicate(timeout=_PROCESS_SECONDS_MAX)
        return Observed(np.load(times), np.load(arrivals), before, after, counted, kept_up)


def rows_of(job: Job, arrivals: NDArray[np.int64]) -> NDArray[np.int64]:
    """The job's row that caused each change that arrived."""
    _, partitions, offsets = arrivals.T
    rows = np.empty(len(arrivals), dtype=np.int64)
    for partition, places in enumerate(job.rows_by_partition):
        here = partitions == partition
        rows[here] = places[offsets[here]]
    return rows


def _catches_up(installation: Installation, total: int) -> bool:
    deadline = time.monotonic() + _BEHIND_SECONDS_MAX
    while installation.counted() < total or not installation.published():
        installation.check()
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


@contextmanager
def helper(name: str, told: msgspec.Struct) -> Iterator[subprocess.Popen[str]]:
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


def tell(process: subprocess.Popen[str], word: str) -> None:
    """Write to a helper's standard input."""
    if process.stdin is not None:
        process.stdin.write(word)
        process.stdin.flush()


def wait_for_end(process: subprocess.Popen[str], name: str) -> None:
    """Wait until a helper has done what it was told.

    Raises
    ------
    HelperError
        It does not end.
    """
    try:
        process.wait(_PROCESS_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise HelperError(f"The benchmark's {name} does not end.") from None
