"""How fast a contender counts a job that is in Kafka already, and what that takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.bench.installation import Installation, Uses
from schemas.errors import PipelineError

_LOOK_SECONDS = 0.01
_STALLED_SECONDS = 60.0  # a start, with its imports and its place in the group, takes up to ten
_SETTLED_SECONDS_MAX = 600.0  # a worker whose sweeps lag behind its counting
_EVENTS = 1_000_000


class StalledError(PipelineError):
    """A contender has stopped counting before the job's end."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds per million purchases."""

    worker: float
    redis: float
    broker: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """One run.

    Attributes
    ----------
    events : int
        Purchases counted while it was measured.
    events_per_second : float
        From the first purchase seen counted to the last, its changes published.
    settled_per_second : float
        The same until silence, too, has done all that was due by the job's end.
    cost : Cost
        Until settled.
    worker_mb, redis_mb : float
        The worker's memory at its peak; Redis's in the end.
    median_bytes, mean_bytes : float
        Of Redis for a customer, all in.
    """

    events: int
    events_per_second: float
    settled_per_second: float
    cost: Cost
    worker_mb: float
    redis_mb: float
    median_bytes: float
    mean_bytes: float


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    counted: int
    uses: Uses


def measure_throughput(installation: Installation, total: int, before: int = 0) -> Throughput:
    """Watch a contender count a job.

    Parameters
    ----------
    total : int
        Purchases of the job.
    before : int
        Of these counted already.

    Raises
    ------
    StalledError
        It does not get to the end.
    ConfigurationError
        It has ended.
    """
    first = _first_look(installation, total, before)
    until_counted(installation, total)
    _until(installation, installation.published, "publish all changes")
    published_at = time.monotonic()
    _until(installation, installation.settled, "do all that silence was due to")
    last = _look(installation)
    events = total - first.counted
    return Throughput(
        events,
        events / (published_at - first.at),
        events / (last.at - first.at),
        cost_of(first.uses, last.uses, events),
        last.uses.worker.peak_mb,
        installation.redis_mb(),
        *installation.customer_bytes(),
    )


def cost_of(before: Uses, after: Uses, events: int) -> Cost:
    """What so many purchases took."""
    per = _EVENTS / events
    return Cost(
        (after.worker.cpu_seconds - before.worker.cpu_seconds) * per,
        (after.redis.cpu_seconds - before.redis.cpu_seconds) * per,
        (after.broker.cpu_seconds - before.broker.cpu_seconds) * per,
    )


def _look(installation: Installation) -> _Look:
    uses = installation.uses()
    return _Look(time.monotonic(), installation.counted(), uses)


def _first_look(installation: Installation, total: int, counted: int) -> _Look:
    """Where the measurement begins: at the first purchase seen counted, the start is over.

    A job that is over by then is measured from the last look at which nothing was.
    """
    deadline = time.monotonic() + _STALLED_SECONDS
    before = look = _look(installation)
    while look.counted <= counted:
        if time.monotonic() > deadline:
            raise _stalled(installation, counted, total)
        before = look
        time.sleep(_LOOK_SECONDS)
        look = _look(installation)
    return look if look.counted < total else before


def until_counted(installation: Installation, total: int) -> None:
    """Wait until so many are counted.

    Raises
    ------
    StalledError, ConfigurationError
        See `measure_throughput`.
    """
    most, since = 0, time.monotonic()
    while (counted := installation.counted()) < total:
        if counted > most:
            most, since = counted, time.monotonic()
        elif time.monotonic() - since > _STALLED_SECONDS:
            raise _stalled(installation, counted, total)
        installation.check()
        time.sleep(_LOOK_SECONDS)


def until_settled(installation: Installation, total: int) -> None:
    """Wait until so many are counted, and silence has done all that was due by then.

    Raises
    ------
    StalledError, ConfigurationError
        See `measure_throughput`.
    """
    until_counted(installation, total)
    _until(installation, installation.settled, "come to rest")


def _until(installation: Installation, done: Callable[[], bool], what: str) -> None:
    """Wait for what comes after the counting."""
    deadline = time.monotonic() + _SETTLED_SECONDS_MAX
    while not done():
        installation.check()
        if time.monotonic() > deadline:
            name = installation.contender.name
            raise StalledError(f"{name} does not {what}: {installation.log()}")
        time.sleep(_LOOK_SECONDS)


def _stalled(installation: Installation, counted: int, total: int) -> StalledError:
    return StalledError(
        f"{installation.contender.name} has counted {counted:,} of {total:,} and no more for "
        f"{_STALLED_SECONDS:.0f} s: {installation.log()}"
    )
