"""From a seed to a verdict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from schemas.errors import InvariantError
from tests.simulation.checks import Violation, check, is_at_rest, left_to_do
from tests.simulation.faults import faults_of, heal, idle_rollback, unanswered, unexpected
from tests.simulation.scenario import Scenario, scenario_of
from tests.simulation.trace import Trace
from tests.simulation.workload import jump_us
from tests.simulation.world import World

_BURST_SECONDS = 1.0
_STORMS, _STORM_SECONDS = 3, 2.0
_QUIET_SECONDS_MAX = 90.0  # four times what a forsaken partition and a dead worker take together
_STILL_SECONDS = 2.5  # at rest so long: whatever looks now and then has looked twice


@dataclass(frozen=True)
class Verdict:
    """What came of a seed.

    Attributes
    ----------
    seed : int
    broken : str
        What does not hold, line by line; empty if everything does.
    steps : int
    digest : str
        Of everything that happened.
    trace : Trace
    """

    seed: int
    broken: str
    steps: int
    digest: str
    trace: Trace

    def __str__(self) -> str:
        if not self.broken:
            return f"seed {self.seed}: everything holds after {self.steps:,} steps"
        return f"seed {self.seed}:\n{self.broken}\nAgain: make simulate SEED={self.seed} TRACE=60"


def simulate(seed: int) -> Verdict:
    """Run one seed to its end."""
    scenario = scenario_of(seed)
    world = World(scenario)
    broken = ""
    with world.running():
        try:
            world.loop.run_until_complete(_everything(world, scenario))
            check(world)
        except (Violation, InvariantError) as violation:
            broken = str(violation)
        steps = world.loop.steps
    return Verdict(seed, broken, steps, world.trace.digest(), world.trace)


def brokenness(seed: int) -> tuple[int, str]:
    """Of one seed among many: itself, and what does not hold; empty if everything does."""
    verdict = simulate(seed)
    return seed, str(verdict) if verdict.broken else ""


async def _everything(world: World, scenario: Scenario) -> None:
    coordinator = asyncio.ensure_future(world.group.coordinate())
    for number in range(scenario.workers):
        world.start_worker(f"worker{number}")
    await _time_of_trouble(world, scenario)
    heal(world)
    world.trace.add("everybody", "is well")
    await _come_to_rest(world)
    coordinator.cancel()


async def _time_of_trouble(world: World, scenario: Scenario) -> None:
    random = scenario.random("faults")
    faults = faults_of(scenario, random)
    plan = [(moment, None) for moment in _moments(scenario, random, scenario.bursts)]
    plan += zip(_moments(scenario, random, len(faults)), faults, strict=True)
    running = []
    for moment, fault in sorted(plan, key=lambda step: step[0]):
        await asyncio.sleep(moment - world.loop.time())
        if fault is None:
            world.jump(jump_us(random, scenario))
            world.producers.burst(world.now_us())
        else:
            running.append(asyncio.ensure_future(fault(world, random)))
    for ending in running:
        await ending
    await _last_words(world, random)


async def _last_words(world: World, random: Random) -> None:
    """The last records meet trouble, too: none comes after them to show that they were lost."""
    possible = [None, unanswered, unexpected]
    fault = random.choice([*possible, idle_rollback] if world.scenario.rollbacks else possible)
    if fault is not None:
        world.producers.burst(world.now_us())
        await fault(world, random)


def _moments(scenario: Scenario, random: Random, count: int) -> list[float]:
    """When things happen: in some worlds much of it at once."""
    end = scenario.bursts * _BURST_SECONDS
    if not scenario.storms:
        return [random.random() * end for _ in range(count)]
    storms = [end * number / _STORMS for number in range(1, _STORMS + 1)]
    return [random.choice(storms) + random.random() * _STORM_SECONDS for _ in range(count)]


async def _come_to_rest(world: World) -> None:
    deadline = world.loop.time() + _QUIET_SECONDS_MAX
    still_since = None
    while world.loop.time() < deadline:
        await asyncio.sleep(0.5)
        if world.failures:
            raise Violation("\n".join(world.failures))
        if not is_at_rest(world):
            still_since = None
        elif still_since is None:
            still_since = world.loop.time()
        elif world.loop.time() - still_since >= _STILL_SECONDS:
            return
    raise Violation("\n".join(["it does not come to rest:", *left_to_do(world)]))
