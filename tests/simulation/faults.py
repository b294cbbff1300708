"""What goes wrong: each fault is a coroutine that belongs to no process and heals in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

from schemas.scorecard import LifecycleThresholds, Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from streams import app as production
from streams.patience import outlast
from tests.simulation.kafka import Brokers
from tests.simulation.redis import Network
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

_CRASH_STEPS_MAX = 150
_STALL_SECONDS_MAX = 9.0  # three sessions
_AWAY_SECONDS_MAX = 4.0
_LOST_WRITES_MAX = 40
_BURSTS_MEANWHILE = 4
_RECONNECT_SECONDS_MAX = 4.0

Fault = Callable[[World, Random], Awaitable[None]]


def _someone(world: World, random: Random) -> str | None:
    names = sorted(world.workers)
    return random.choice(names) if names else None


async def crash(world: World, random: Random) -> None:
    """Kill -9 between two awaits."""
    name = _someone(world, random)
    if name is not None:
        world.workers[name].process.steps_left = random.randrange(_CRASH_STEPS_MAX)


async def crash_unpublished(world: World, random: Random) -> None:
    """Kill -9 of a worker that can hardly publish, and whose successor can hardly either."""
    going_on = asyncio.ensure_future(_go_on(world, random, seconds=6))
    await asyncio.sleep(random.random() * 2)
    await crash(world, random)
    await going_on


async def _go_on(world: World, random: Random, seconds: float) -> None:
    """Purchases are made, whatever happens; Kafka has too few replicas in sync to take writes."""
    if world.scenario.zombies:
        world.brokers.refusal_chance = random.choice((0.0, 0.5, 0.8))
    for _ in range(_BURSTS_MEANWHILE):
        await asyncio.sleep(random.random() * 2 * seconds / _BURSTS_MEANWHILE)
        world.producers.burst(world.now_us())
    world.brokers.refusal_chance = 0.0


async def restart(world: World, random: Random) -> None:
    """SIGTERM."""
    name = _someone(world, random)
    if name is not None:
        world.workers[name].stop()


async def stall(world: World, random: Random) -> None:
    """SIGSTOP, and SIGCONT when another may have the partitions."""
    name = _someone(world, random)
    if name is None:
        return
    process = world.workers[name].process
    world.trace.add(process, "is stalled")
    process.stall()
    await asyncio.sleep(random.random() * _STALL_SECONDS_MAX)
    world.trace.add(process, "goes on")
    process.wake(world.loop)


async def isolate(world: World, random: Random) -> None:
    """One worker hears nothing of Kafka, of Redis, or of both."""
    name = _someone(world, random)
    if name is None:
        return
    process = world.workers[name].process
    sides = random.choice(([world.brokers], [world.redis], [world.brokers, world.redis]))
    world.trace.add(process, "is cut off from", [type(side).__name__ for side in sides])
    for side in sides:
        side.cut_off.add(process)
    await asyncio.sleep(random.random() * _STALL_SECONDS_MAX)
    world.trace.add(process, "is connected again")
    for side in sides:
        side.cut_off.discard(process)


async def redis_trouble(world: World, random: Random) -> None:
    """A bad line, or no line at all, to Redis."""
    await _trouble(world, random, world.redis)


async def kafka_trouble(world: World, random: Random) -> None:
    """A bad line, or no line at all, to Kafka."""
    await _trouble(world, random, world.brokers)


async def _trouble(world: World, random: Random, side: Brokers | Network) -> None:
    name = type(side).__name__
    if random.random() < 0.3:
        world.trace.add(name, "is away")
        side.away = True
    else:
        side.fault_chance = random.choice((0.05, 0.2, 0.5))
        world.trace.add(name, "fails at times:", side.fault_chance)
    await asyncio.sleep(random.random() * _AWAY_SECONDS_MAX)
    world.trace.add(name, "is well again")
    side.away, side.fault_chance = False, 0.0


async def unexpected(world: World, random: Random) -> None:
    """Workers meet an error that nobody foresaw, as they next read or write states."""
    for name in sorted(world.workers):
        if random.random() < 0.6:
            request = random.choice(("load_many", "commit_slice", "commit_slice"))
            world.redis.unexpected[world.workers[name].process] = request
    await asyncio.sleep(random.random())


async def unanswered(world: World, random: Random) -> None:
    """Redis loses a good part of all requests and replies for a moment."""
    world.redis.fault_chance = 0.5
    await asyncio.sleep(random.random())
    world.redis.fault_chance = 0.0


async def disturbed_timer(world: World, random: Random) -> None:
    """The due queue says that a customer is due who is not; whoever takes over next reads it."""
    memory = world.redis.primary.memory
    known = sorted(memory.hashes)
    if not known:
        return
    partition, customer_id = random.choice(known)
    clock_us = memory.checkpoints[partition].clock_us
    at = clock_us / 1e6 - world.scenario.settings.lateness_seconds - random.random() * 1e6
    world.trace.add("due queue", "is disturbed for", customer_id)
    world.redis.primary.ask("disturb_timer", (partition, customer_id, at), {}, world.now_ms())
    for worker in list(world.workers.values()):
        worker.process.kill()


async def rollback(world: World, random: Random) -> None:
    """Redis loses its last writes, all of them, or fails over to a replica that lags."""
    lose_writes(world, random)
    await asyncio.sleep(
        random.choice((0.0, 1.0))
    )  # a purchase finds out, or the look once a second
    await _go_on(world, random, seconds=2)


async def idle_rollback(world: World, random: Random) -> None:
    """The same while nothing is bought."""
    await asyncio.sleep(2.0)
    lose_writes(world, random)


def lose_writes(world: World, random: Random) -> None:
    """Cut Redis back, at once or while workers still talk to a server that is no longer meant."""
    journal = world.redis.primary.journal
    lost = random.choice((1, 2, random.randint(1, _LOST_WRITES_MAX)))
    length = max(0, len(journal) - lost)
    if random.random() < 0.5:  # between a commit and what would have trimmed it
        while length and journal[length - 1].name != "commit_slice":
            length -= 1
    how = random.choice(("crash", "crash", "failover", "failover", "flush"))
    world.trace.add("Redis", f"{how}: loses", f"{len(journal) - length} of {len(journal)} writes")
    if how == "flush":
        world.redis.primary.cut([])
    elif how == "crash":
        world.redis.away = True
        world.redis.primary.cut(journal[:length])
        world.loop.outside(random.random() * _AWAY_SECONDS_MAX, world.redis.come_back)
    else:
        world.redis.promote(length)
        for worker in [world.workers[name] for name in sorted(world.workers)]:
            delay = random.random() * _RECONNECT_SECONDS_MAX if world.scenario.zombies else 0.0
            world.loop.outside(delay, world.redis.reconnect, worker.process)


async def swap(world: World, random: Random) -> None:
    """A worker has learnt a new scorecard, and publishes it."""
    name = _someone(world, random)
    worker = world.workers[name].worker if name is not None else None
    if name is None or worker is None:
        return

    async def learn() -> None:
        """As `ScoringWorker.learn_forever` does it."""
        if not worker.ready.is_set() or not worker.engine.owned:
            return
        used = await outlast("learning", worker._scorecard_in_use)
        card = scorecard(used.number + 1, random)
        world.trace.add(name, "has learnt", card.version)
        await outlast("learning", partial(worker._publish_scorecard, card))

    world.loop.spawn(world.workers[name].process, production._or_stop(learn)())


def scorecard(number: int, random: Random) -> Scorecard:
    """One that scores differently from the others."""
    base = bootstrap_scorecard()
    fading = random.choice((0.4, 0.5, 0.7))
    often = random.choice((0.5, 1.0, 2.0))
    return base.model_copy(
        update={
            "number": number,
            "origin": Origin.FITTED,
            "lifecycle": LifecycleThresholds(fading=fading, lost=0.25),
            "centroids": tuple((p, f + often, m) for p, f, m in base.centroids),
        }
        | (RENAMED if number % 3 == 2 else {})
    )


# As an operator's overrides leave it; not by chance, which would change what every seed means.
RENAMED = {
    "segments": ("VIP", "Loyal", "Champions", "Hibernating"),
    "default_segments": ("Champions", "Loyal", "At-Risk", "Hibernating"),
    "offers": ("early-access", None, None, "we-miss-you"),
}


def faults_of(scenario: Scenario, random: Random) -> list[Fault]:
    """The faults of one seed, in order."""
    possible: list[Fault] = [crash, crash, restart, unexpected, disturbed_timer, redis_trouble]
    if scenario.zombies:
        possible += [stall, stall, isolate, kafka_trouble, crash_unpublished, crash_unpublished]
    if scenario.rollbacks:
        possible += [rollback] * 4
    if scenario.swaps:
        possible += [swap] * 4
    return [random.choice(possible) for _ in range(scenario.faults)]


def heal(world: World) -> None:
    """End whatever still goes wrong."""
    world.brokers.refusal_chance = 0.0
    for side in (world.brokers, world.redis):
        side.away, side.fault_chance = False, 0.0
        side.cut_off.clear()
    world.redis.unexpected.clear()
    for worker in world.workers.values():
        worker.process.steps_left = None
        world.redis.reconnect(worker.process)
        if worker.process.stalled:
            worker.process.wake(world.loop)
