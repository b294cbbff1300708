"""The course of a whole benchmark: rounds, in each of them every contender once, in turning order.

Owns the order and what becomes of a run that fails: it is told and not quoted, and the others go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ops.bench.checking import Oracles
from ops.bench.contenders import Contender, Engines
from ops.bench.installation import installed
from ops.bench.job import Job
from ops.bench.latency import WARM_UP_PURCHASES, Course, Latency, measure_latency
from ops.bench.scale import SIZES, Scaled, check_questions, run_scale
from ops.bench.servers import Broker, refuse_what_does_not_fit, running_broker, write_job
from ops.bench.surroundings import busy_cores, describe_machine, describe_versions
from ops.bench.throughput import Throughput, measure_throughput
from ops.stack.at_hand import StackKind
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError, PipelineError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes
    ----------
    runs : int
        Of each contender.
    rates : sequence of float
        Purchases a second, for the latency; none: no latency.
    warm_up_seconds, seconds : float
        Of each latency run.
    throughput : bool
        Whether to measure it.
    scale : sequence of str
        Questions of `ops.bench.scale`, asked once after all rounds.
    sizes : sequence of int
        Known customers, for these.
    """

    kind: StackKind
    job: Job
    contenders: Sequence[Contender]
    engines: Engines
    machine: StackSettings
    runs: int = 5
    rates: Sequence[float] = (2_000.0, 10_000.0)
    warm_up_seconds: float = 5.0
    seconds: float = 20.0
    throughput: bool = True
    scale: Sequence[str] = ()
    sizes: Sequence[int] = SIZES

    def courses(self) -> list[Course]:
        """Of the latency runs."""
        return [Course(rate, self.warm_up_seconds, self.seconds) for rate in self.rates]


@dataclass
class Results:
    """What came of it; lists are by round, None where a run failed.

    Attributes
    ----------
    loads : list of float
        The machine's load average before each run.
    busy : list of float
        Cores that others kept busy before each round.
    checked : int
        Runs that an oracle agreed with.
    """

    plan: Plan
    broker: str = ""
    machine: str = ""
    versions: str = ""
    began: str = ""
    throughput: dict[str, list[Throughput | None]] = field(default_factory=dict)
    latency: dict[float, dict[str, list[Latency | None]]] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    checked: int = 0
    failures: list[str] = field(default_factory=list)
    scale: list[Scaled] = field(default_factory=list)


def run_suite(plan: Plan, say: Say) -> Results:
    """Measure everything of a plan.

    Raises
    ------
    ConfigurationError
        The plan cannot be carried out here.
    """
    if plan.runs < 1:
        raise ConfigurationError(f"{plan.runs} runs measure nothing.", hint="Give at least one.")
    for course in plan.courses():
        if course.purchases > len(plan.job):
            raise ConfigurationError(
                f"{course.rate:,.0f} purchases a second for {course.seconds:g} s are "
                f"{course.purchases:,} with the warm-up, and the job has {len(plan.job):,}.",
                hint="Give more --copies or fewer --seconds.",
            )
    check_questions(plan.scale)
    if plan.scale and plan.kind is StackKind.EMBEDDED:
        raise ConfigurationError(
            "The in-memory broker forgets what questions of scale are about.",
            hint="Use --stack local.",
        )
    if plan.throughput:
        refuse_what_does_not_fit(plan.kind, plan.job)
    results = Results(
        plan,
        machine=describe_machine(),
        versions=describe_versions(plan.contenders, plan.engines),
        began=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    stages = [_Stage(plan, plan.job, None)] if plan.throughput else []
    stages += [_Stage(plan, plan.job.spanning(c.purchases), c) for c in plan.courses()]
    for number, broker in enumerate(_brokers(plan)) if stages else ():
        results.broker = broker.described
        results.busy.append(busy_cores())
        say(
            f"round {number + 1} of {plan.runs}; others keep {results.busy[-1]:.1f} cores busy, load "
            f"average {os.getloadavg()[0]:.1f}"
        )
        for stage in stages:
            stage.run(broker, number, results, say)
    if plan.scale:
        _ask_for_scale(plan, results, say)
    return results


def _ask_for_scale(plan: Plan, results: Results, say: Say) -> None:
    say("scale")
    with running_broker(plan.kind, plan.machine) as broker:
        results.broker = broker.described
        found = run_scale(broker, plan.scale, plan.sizes, plan.job.copies, say)
    results.scale = found.runs
    results.checked += len(found.runs)
    results.failures += found.failures


def _brokers(plan: Plan) -> Iterator[Broker]:
    """A broker for each round: a real one lives through all, in memory none keeps more than a round's."""
    if plan.kind is StackKind.EMBEDDED:
        for _ in range(plan.runs):
            with running_broker(plan.kind, plan.machine) as broker:
                yield broker
        return
    with running_broker(plan.kind, plan.machine) as broker:
        for _ in range(plan.runs):
            yield broker


class _Stage:
    """Throughput, or latency at a rate, for all contenders."""

    def __init__(self, plan: Plan, job: Job, course: Course | None) -> None:
        self._plan = plan
        self._job = job
        self._course = course
        self._oracles = Oracles(job)
        self._name = "throughput" if course is None else f"latency-{course.rate:g}"

    def run(self, broker: Broker, number: int, results: Results, say: Say) -> None:
        """One round."""
        contenders = list(self._plan.contenders)
        turn = number % len(contenders)
        whole = f"{self._name}-{number}"
        if self._course is None:
            write_job(broker, whole, self._job)
        for contender in contenders[turn:] + contenders[:turn]:
            if self._course is not None and not contender.tells:
                continue
            results.loads.append(os.getloadavg()[0])
            name = f"{whole}-{contender.name}"
            topic = whole
            if self._course is not None:
                topic = f"{name}.transactions"
                write_job(broker, topic, self._job.first(WARM_UP_PURCHASES))
            try:
                found = self._measure(broker, contender, topic, name, results)
                said = _said(found)
            except PipelineError as error:
                found, said = None, f"failed: {error}"
                results.failures.append(f"{self._name}, round {number + 1}: {error}")
            self._keep(contender, found, results)
            say(f"  {self._name}, {contender.name}: {said}")

    def _measure(
        self, broker: Broker, contender: Contender, topic: str, name: str, results: Results
    ) -> Throughput | Latency:
        with installed(contender, broker, self._plan.engines, topic, name) as installation:
            found: Throughput | Latency
            if self._course is None:
                found = measure_throughput(installation, len(self._job))
            else:
                found = measure_latency(installation, self._job, self._course)
            installation.end()
            if isinstance(found, Latency) and not found.kept_up:
                return found  # nothing of it is quoted but that
            verdict = self._oracles.judge(installation)
            if verdict.differences:
                raise OracleError(f"{contender.name}: the oracle found {verdict}")
            results.checked += 1
            return found

    def _keep(
        self, contender: Contender, found: Throughput | Latency | None, results: Results
    ) -> None:
        if self._course is not None:
            of_rate = results.latency.setdefault(self._course.rate, {})
            kept = found if isinstance(found, Latency) else None
            of_rate.setdefault(contender.name, []).append(kept)
        else:
            fast = found if isinstance(found, Throughput) else None
            results.throughput.setdefault(contender.name, []).append(fast)


class OracleError(PipelineError):
    """A contender's end state or changes are not what the job leads to."""


def _said(found: Throughput | Latency) -> str:
    cost = found.cost
    if isinstance(found, Throughput):
        return (
            f"{found.events_per_second:,.0f} events/s, CPU s per 1M: worker {cost.worker:.1f}, "
            f"Redis {cost.redis:.1f}, broker {cost.broker:.1f}"
        )
    if found.p50_ms is None or found.p99_ms is None or found.p999_ms is None:
        return "did not keep up"
    return f"p50 {found.p50_ms:.1f}, p99 {found.p99_ms:.1f}, p99.9 {found.p999_ms:.1f} ms"
