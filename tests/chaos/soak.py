"""`python -m tests.chaos.soak`: an hour of steady load, a fault every two minutes, memory and verify."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from ops.stack.settings import StackSettings
from tests.chaos import server_faults, worker_faults
from tests.chaos.crew import Crew
from tests.chaos.kafka import ChaosKafka
from tests.chaos.memory import Lifetime, sample_forever
from tests.chaos.place import Place
from tests.chaos.report import machine, versions
from tests.chaos.row_run import meanwhile, running_redis, until_counted, verify
from tests.chaos.soak_report import render
from tests.chaos.stage import Fault, Stage
from tests.chaos.steady_flow import SteadyFlow
from tests.chaos.watch import StuckError, Watch

REPORT = Path(__file__).parents[2] / "ops" / "reports" / "soak.md"
# Not FLUSHALL and no promotion: both would read an hour's log anew, and nothing else would be left.
FAULTS: dict[str, Fault] = {
    "worker kill -9": worker_faults.kill,
    "SIGTERM": worker_faults.terminate,
    "SIGSTOP beyond the session timeout, SIGCONT": worker_faults.zombie,
    "broker clean restart": server_faults.restart_broker,
    "broker kill -9": server_faults.kill_broker,
    "Redis kill -9": server_faults.kill_redis,
    "Redis kill -9, AOF cut back by a second": server_faults.cut_back_redis,
    "Redis out of memory for 10 s": server_faults.fill_redis,
}
_FULL_SECONDS = 10.0
_ALONE_SECONDS = 60.0
_SESSION_SECONDS = 10.0
_WARM_UP_SHARE, _WARM_UP_SECONDS_MAX = 1 / 3, 900.0
# What is meant to grow for a while has to have grown when the warm-up is over: states in the cache, and
# ids of transactions that are remembered, for seven days as it comes.
_LIMITS = {"cache_customers_max": 3_000, "dedup_horizon_days": 300 / 86_400}
_COUNTED_SECONDS_MAX = 1_800.0
_VERIFY_SECONDS_MAX = 3_600.0


@dataclass
class Soaked:
    """What came of it."""

    minutes: float
    rate: float
    seed: int
    machine: str
    versions: str
    warm_up: float
    spared: str = ""
    sent: int = 0
    seconds: float = 0.0
    faults: list[tuple[float, str, float]] = field(default_factory=list)
    lifetimes: dict[str, Lifetime] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def say(line: str) -> None:
    """Progress, as it goes."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run it and write the report."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=5_000.0, help="purchases a second")
    parser.add_argument("--every", type=float, default=120.0, help="seconds between two faults")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--report", type=Path, default=REPORT)
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and data, kept")
    asked = parser.parse_args()
    seed = SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    say(f"seed {seed}")
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # a broker that is away is what we want
    with tempfile.TemporaryDirectory(prefix="everscore-soak-") as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kafka = ChaosKafka(folder, StackSettings())
        kafka.start()
        try:
            soaked = asyncio.run(soak(kafka, folder, asked.minutes, asked.rate, asked.every, seed))
        finally:
            kafka.stop()
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    text, passed = render(soaked)
    asked.report.write_text(text)
    say(text)
    return 0 if passed else 1


async def soak(
    kafka: ChaosKafka, folder: Path, minutes: float, rate: float, every: float, seed: int
) -> Soaked:
    """Load, faults and samples for so many minutes, then `verify`."""
    seconds = minutes * 60
    soaked = Soaked(
        minutes, rate, seed, machine(), versions(kafka),
        min(seconds * _WARM_UP_SHARE, _WARM_UP_SECONDS_MAX),
    )  # fmt: skip
    try:
        async with AsyncExitStack() as until:
            await _soak(kafka, folder, seconds, rate, every, seed, soaked, until)
    except (StuckError, TimeoutError) as error:
        soaked.failures.append(f"{type(error).__name__}: {error}")
    return soaked


async def _soak(
    kafka: ChaosKafka,
    folder: Path,
    seconds: float,
    rate: float,
    every: float,
    seed: int,
    soaked: Soaked,
    until: AsyncExitStack,
) -> None:
    redis = await until.enter_async_context(running_redis(folder / "redis"))
    place = Place(f"soak-{seed}", kafka, redis, _SESSION_SECONDS, **_LIMITS)
    await place.prepare()
    crew = Crew(place, folder)
    until.push_async_callback(crew.dismiss)
    watch = Watch(place, crew)
    random = Random(f"{seed}:soak")
    stage = Stage(kafka, place, crew, watch, None, random, _SESSION_SECONDS, _FULL_SECONDS)
    for work in (watch.run(), crew.replace_fallen_forever(), redis.watch_file()):
        await until.enter_async_context(meanwhile(work))
    workers = await crew.start(3)
    await watch.shared()
    stage.spared = workers[0]
    soaked.spared = workers[0].name
    await until.enter_async_context(meanwhile(sample_forever(crew, soaked.lifetimes)))
    flow = SteadyFlow(kafka.address, place.topic, rate, seed)
    flow.start()
    try:
        await _hold_everything_once(stage)
        await _strike(stage, seconds, every, soaked, flow)
    finally:
        await asyncio.to_thread(flow.finish)
        soaked.sent = flow.sent
    say(f"{flow.sent:,} sent; waiting for the workers")
    await until_counted(stage, _COUNTED_SECONDS_MAX)
    await watch.shared()
    if not workers[0].alive:
        soaked.failures.append(f"{soaked.spared} was to live through, and did not")
    await crew.terminate(list(crew.workers))
    soaked.failures += crew.complaints
    say("verifying")
    soaked.failures += await verify(place, _VERIFY_SECONDS_MAX)


async def _hold_everything_once(stage: Stage) -> None:
    """Kill all but the worker that is to live through: for a while it has everything to catch up with.

    It will have some of it whenever others fall: memory that it never needed before is no leak.
    """
    others = [worker for worker in stage.crew.workers if worker is not stage.spared]
    for worker in others:
        await stage.crew.kill(worker)
    await stage.watch.shared()
    await asyncio.sleep(_ALONE_SECONDS)
    await stage.crew.start(len(others))
    await stage.watch.shared()


async def _strike(
    stage: Stage, seconds: float, every: float, soaked: Soaked, flow: SteadyFlow
) -> None:
    """Faults at random until the time is up."""
    began = time.monotonic()
    at = every
    while at < seconds:
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        name = stage.random.choice(list(FAULTS))
        moment = time.monotonic() - began
        before = len(stage.recoveries)
        await FAULTS[name](stage)
        took = max(stage.recoveries[before:])
        soaked.faults.append((moment, name, took))
        memory = {
            worker.name: f"{soaked.lifetimes[worker.name].samples[-1][1]:.0f} MB"
            for worker in stage.crew.workers
            if worker.name in soaked.lifetimes
        }
        say(
            f"{moment / 60:.1f} min: {name}, recovered in {took:.1f} s; {flow.sent:,} sent; {memory}"
        )
        at = max(at + every, time.monotonic() - began + 1.0)
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
    soaked.seconds = time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
