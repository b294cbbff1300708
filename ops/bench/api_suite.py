"""The course of the API's benchmark: rounds, in each of them every number of processes once, in turns.

Owns what becomes of a run that fails: it is told and not quoted, and the others go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ops.bench.api_load import ApiRun, Load, measure_api
from ops.bench.checking import Oracles
from ops.bench.contenders import EVERSCORE, Engines
from ops.bench.installation import installed
from ops.bench.job import Job
from ops.bench.latency import WARM_UP_PURCHASES, Course
from ops.bench.servers import Broker, refuse_what_does_not_fit, running_broker, write_job
from ops.bench.suite import OracleError
from ops.bench.surroundings import busy_cores, describe_machine, describe_versions
from ops.stack.at_hand import StackKind
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError, PipelineError

REQUESTS_MAX = 900.0
"""A second: one key may ask 1,000 times."""


@dataclass(frozen=True)
class ApiPlan:
    """What is to be measured.

    Attributes
    ----------
    job : Job
    runs : int
        Of each number of processes.
    rate : float
        Purchases a second.
    requests : float
        Customers asked for a second.
    processes : sequence of int
        Of the API.
    warm_up_seconds, seconds : float
    """

    kind: StackKind
    job: Job
    machine: StackSettings
    runs: int = 5
    rate: float = 2_000.0
    requests: float = 500.0
    processes: Sequence[int] = (1,)
    warm_up_seconds: float = 30.0
    seconds: float = 20.0

    @property
    def course(self) -> Course:
        """Of the purchases that come while the API is asked."""
        return Course(self.rate, self.warm_up_seconds, self.seconds)

    @property
    def known(self) -> int:
        """Purchases counted before: all that the course leaves."""
        return len(self.job) - int(self.rate * (self.warm_up_seconds + self.seconds))


@dataclass
class ApiResults:
    """What was found.

    Attributes
    ----------
    runs : dict of int to list of ApiRun or None
        By processes, a round each; None: it failed.
    busy : list of float
        Cores that others kept busy before each round.
    loads : list of float
        The machine's load average before each run.
    checked : int
        Runs after which an oracle agreed with every customer and change.
    """

    plan: ApiPlan
    broker: str = ""
    machine: str = ""
    versions: str = ""
    began: str = ""
    runs: dict[int, list[ApiRun | None]] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    checked: int = 0
    failures: list[str] = field(default_factory=list)


def run_api_suite(plan: ApiPlan, say: Callable[[str], None]) -> ApiResults:
    """Measure everything of a plan.

    Raises
    ------
    ConfigurationError
        The plan cannot be carried out here.
    """
    _check(plan)
    refuse_what_does_not_fit(plan.kind, plan.job)
    results = ApiResults(
        plan,
        machine=describe_machine(),
        versions=describe_versions((EVERSCORE,), Engines()),
        began=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs={count: [] for count in plan.processes},
    )
    oracles = Oracles(plan.job)
    for number in range(plan.runs):
        results.busy.append(busy_cores())
        say(
            f"round {number + 1} of {plan.runs}; others keep {results.busy[-1]:.1f} cores busy, load "
            f"average {os.getloadavg()[0]:.1f}"
        )
        turn = number % len(plan.processes)
        for count in (*plan.processes[turn:], *plan.processes[:turn]):
            results.loads.append(os.getloadavg()[0])
            found: ApiRun | None = None
            with running_broker(plan.kind, plan.machine) as broker:
                results.broker = broker.described
                try:
                    found = _measure(plan, broker, f"api-{number}-{count}", count, oracles)
                    results.checked += 1
                    said = f"p99 {found.answers.p99:.1f} ms, HGETALL {found.hgetall.p99:.1f} ms"
                except PipelineError as error:
                    said = f"failed: {error}"
                    results.failures.append(f"{count} processes, round {number + 1}: {error}")
            results.runs[count].append(found)
            say(f"  {count} of the API: {said}")
    return results


def _measure(plan: ApiPlan, broker: Broker, name: str, processes: int, oracles: Oracles) -> ApiRun:
    topic = f"{name}.transactions"
    write_job(broker, topic, plan.job.first(plan.known))
    with installed(EVERSCORE, broker, Engines(), topic, name) as installation:
        load = Load(plan.requests, processes)
        found = measure_api(installation, plan.job, plan.known, plan.course, load)
        installation.end()
        verdict = oracles.judge(installation)
        if verdict.differences:
            raise OracleError(f"the oracle found {verdict}")
        return found


def _check(plan: ApiPlan) -> None:
    if plan.runs < 1:
        raise ConfigurationError(f"{plan.runs} runs measure nothing.", hint="Give at least one.")
    if not 0 < plan.requests <= REQUESTS_MAX:
        raise ConfigurationError(
            f"{plan.requests:g} customers a second.",
            hint=f"Give 1 to {REQUESTS_MAX:g}: a key may ask 1,000 times a second.",
        )
    if min(plan.processes, default=0) < 1:
        raise ConfigurationError(
            f"{list(plan.processes)} processes.", hint="Give at least one, of at least 1."
        )
    if plan.known < WARM_UP_PURCHASES:
        raise ConfigurationError(
            f"{plan.rate:,.0f} purchases a second for {plan.warm_up_seconds + plan.seconds:g} s leave "
            f"{plan.known:,} of {len(plan.job):,} for before.",
            hint="Give more --copies, or fewer --seconds.",
        )
