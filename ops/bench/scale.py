"""How Everscore's cost grows, and with what: scenario by scenario, each checked.

Owns the course of a scenario, and which figures are its answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ops.bench.checking import Oracles
from ops.bench.contenders import EVERSCORE, Engines
from ops.bench.flow import rows_of, send_steadily
from ops.bench.installation import Installation, installed
from ops.bench.rescoring import publish_new_scorecard, rescored, verify
from ops.bench.scale_jobs import QUESTIONS, Scenario
from ops.bench.servers import Broker, append_job, write_job
from ops.bench.throughput import StalledError, measure_throughput, until_counted
from schemas.errors import ConfigurationError, PipelineError

SIZES = (1_000, 100_000, 1_000_000)
"""Known customers."""
_LOOK_SECONDS = 0.05
_IDLE_SECONDS = 5.0
_WARM_UP_SECONDS, _UNDISTURBED_SECONDS = 5.0, 10.0
_SETTLED_SECONDS_MAX = 600.0
# Workers are halted while so many purchases are written, in less than a session; of more they count some
# before all are there.
_HALTED_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took: seconds by the clock, CPU seconds of worker and Redis, and of how many things."""

    seconds: float
    worker: float
    redis: float
    count: int
    p99_ms: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Scaled:
    """One scenario's run.

    Attributes
    ----------
    worker_us, redis_us : float
        CPU microseconds per purchase, or per customer whom silence or a scorecard concerns.
    idle_cores : float
        Of the worker, afterwards, while nothing happens and everybody rests.
    redis_bytes : float
        Per known customer, everything in Redis.
    p99_ms : (float, float) or None
        From production to change, before and during what was measured, where purchases flow.
    """

    question: str
    row: str
    count: int
    per_second: float
    worker_us: float
    redis_us: float
    worker_mb: float
    redis_bytes: float
    idle_cores: float
    p99_ms: tuple[float, float] | None = None


@dataclass
class ScaleResults:
    """Runs that were found right, and what failed."""

    runs: list[Scaled] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class ScaleError(PipelineError):
    """A scenario's end state or changes are not what its job leads to."""


def run_scale(
    broker: Broker,
    questions: Sequence[str],
    sizes: Sequence[int],
    copies: int,
    say: Callable[[str], None],
) -> ScaleResults:
    """Ask questions.

    Parameters
    ----------
    questions : sequence of str
        See `check_questions`.
    sizes : sequence of int
        Known customers, ascending.
    copies : int
        Of CDNOW, where it is the job.
    """
    results = ScaleResults()
    number = 0
    for name in questions:
        for scenario in QUESTIONS[name](sizes, copies):
            number += 1
            try:
                found = run_scenario(broker, scenario, f"scale-{number}")
            except PipelineError as error:
                results.failures.append(f"{name}, {scenario.row}: {error}")
                say(f"  {name}, {scenario.row}: failed: {error}")
                continue
            results.runs.append(found)
            say(
                f"  {name}, {found.row}: {found.per_second:,.0f} a second, worker "
                f"{found.worker_us:.1f} µs, Redis {found.redis_us:.1f} µs each"
            )
    return results


def check_questions(questions: Sequence[str]) -> None:
    """Refuse what is no question.

    Raises
    ------
    ConfigurationError
        Names those there are.
    """
    for name in questions:
        if name not in QUESTIONS:
            raise ConfigurationError(
                f"{name!r} is no question of scale.", hint=f"They are {', '.join(QUESTIONS)}."
            )


def run_scenario(broker: Broker, scenario: Scenario, name: str) -> Scaled:
    """One scenario on a broker; its name begins all names there.

    Raises
    ------
    ScaleError
        The oracle or `everscore verify` disagrees.
    StalledError, ConfigurationError
        A worker does not get to the end, or has ended.
    """
    topic = f"{name}.transactions"
    write_job(broker, topic, scenario.job.first(scenario.before))
    with installed(
        EVERSCORE, broker, Engines(), topic, name, workers=scenario.workers
    ) as installation:
        until_counted(installation, scenario.before)
        _rest(installation, scenario.workers)
        cost = _measure(broker, scenario, installation, topic)
        peak, redis_mb = installation.uses().worker.peak_mb, installation.redis_mb()
        idle = _idle_cores(installation)
        installation.end()
        if scenario.rescores:
            verify(installation)
        else:
            verdict = Oracles(scenario.job).judge(installation)
            if verdict.differences:
                raise ScaleError(f"the oracle found {verdict}")
    return Scaled(
        scenario.question,
        scenario.row,
        cost.count,
        cost.count / cost.seconds,
        cost.worker / cost.count * 1e6,
        cost.redis / cost.count * 1e6,
        peak,
        redis_mb * 2**20 / len(set(scenario.job.customer_ids)),
        idle,
        cost.p99_ms,
    )


def _measure(broker: Broker, scenario: Scenario, installation: Installation, topic: str) -> Cost:
    if scenario.rescores:
        if scenario.live_rate:
            return _rescore_live(scenario, installation)
        return _until(
            installation, scenario.before, lambda: publish_new_scorecard(installation), rescored
        )
    if scenario.due:
        return _until(
            installation,
            scenario.due,
            lambda: append_job(broker, topic, scenario.job, scenario.before),
            lambda at_work: at_work.counted() == len(scenario.job) and at_work.settled(),
        )
    if scenario.restart:
        installation.end()
        append_job(broker, topic, scenario.job, scenario.before)
        installation.start()
    elif len(scenario.job) - scenario.before <= _HALTED_MAX:
        with installation.halted():
            append_job(broker, topic, scenario.job, scenario.before)
    else:
        append_job(broker, topic, scenario.job, scenario.before)
    found = measure_throughput(installation, len(scenario.job), scenario.before)
    per = found.events / 1e6
    seconds = found.events / found.settled_per_second
    return Cost(seconds, found.cost.worker * per, found.cost.redis * per, found.events)


def _rescore_live(scenario: Scenario, installation: Installation) -> Cost:
    """A new scorecard while purchases flow, and what their changes feel of it."""
    costs: list[Cost] = []
    moments: list[int] = []

    def meanwhile() -> None:
        time.sleep(_WARM_UP_SECONDS)
        moments.append(time.monotonic_ns())
        time.sleep(_UNDISTURBED_SECONDS)
        moments.append(time.monotonic_ns())
        costs.append(
            _until(
                installation,
                scenario.before,
                lambda: publish_new_scorecard(installation),
                rescored,
            )
        )
        moments.append(time.monotonic_ns())

    job, before = scenario.job, scenario.before
    seen = send_steadily(installation, job, before, scenario.live_rate, meanwhile)
    if not seen.kept_up:
        raise ScaleError(f"{scenario.live_rate:,.0f} purchases a second were too many.")
    rows = rows_of(job, seen.arrivals)
    live = rows >= before
    produced = seen.times[rows[live] - before]
    waited = (seen.arrivals[live, 0] - produced) / 1e6
    begin, published, done = moments
    undisturbed = waited[(produced >= begin) & (produced < published)]
    disturbed = waited[(produced >= published) & (produced < done)]
    if not len(undisturbed) or not len(disturbed):
        raise ScaleError("No purchase was made while the scorecard came into use.")
    p99 = float(np.percentile(undisturbed, 99)), float(np.percentile(disturbed, 99))
    return replace(costs[0], p99_ms=p99)


def _until(
    installation: Installation,
    count: int,
    begin: Callable[[], None],
    done: Callable[[Installation], bool],
) -> Cost:
    """What it takes from an occasion until something is done."""
    before, at = installation.uses(), time.monotonic()
    begin()
    while not done(installation):
        installation.check()
        if time.monotonic() - at > _SETTLED_SECONDS_MAX:
            raise StalledError(f"Not done after {_SETTLED_SECONDS_MAX:.0f} s: {installation.log()}")
        time.sleep(_LOOK_SECONDS)
    after, seconds = installation.uses(), time.monotonic() - at
    return Cost(
        seconds,
        after.worker.cpu_seconds - before.worker.cpu_seconds,
        after.redis.cpu_seconds - before.redis.cpu_seconds,
        count,
    )


def _rest(installation: Installation, workers: int) -> None:
    """Wait until everybody is at work, all is published and silence has nothing left to do."""
    deadline = time.monotonic() + _SETTLED_SECONDS_MAX
    while installation.owners() < workers or not installation.settled():
        installation.check()
        if time.monotonic() > deadline:
            raise StalledError(f"The workers do not come to rest: {installation.log()}")
        time.sleep(_LOOK_SECONDS)


def _idle_cores(installation: Installation) -> float:
    before = installation.uses().worker.cpu_seconds
    time.sleep(_IDLE_SECONDS)
    return (installation.uses().worker.cpu_seconds - before) / _IDLE_SECONDS
