"""One row from its first server to its verdict."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, TypeVar

from ops.demo import child_environment
from tests.chaos.crew import REPOSITORY, Crew
from tests.chaos.evidence import LogError, end_of_log, gather
from tests.chaos.kafka import ChaosKafka
from tests.chaos.load import Load
from tests.chaos.oracle import Verdict, judge
from tests.chaos.place import Place
from tests.chaos.redis_server import ChaosRedis
from tests.chaos.rows import Row
from tests.chaos.stage import Stage
from tests.chaos.tcp_proxy import Door
from tests.chaos.watch import StuckError, Watch

_CAUGHT_UP_SECONDS_MAX = 180.0
_VERIFY_SECONDS_MAX = 300.0

Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes
    ----------
    transactions, customers : int
    rate : float
        Transactions a second while faults strike.
    session_seconds : float
        Silence after which Kafka calls a worker dead.
    full_seconds : float
        How long a full Redis stays full.
    pauses : (float, float)
        Shortest and longest time of flow before a fault, seconds.
    """

    transactions: int
    customers: int
    rate: float
    session_seconds: float
    full_seconds: float
    pauses: tuple[float, float]


# Session timeout as Everscore has it by default: recovery is to be that of an installation as it comes.
FULL = Scale(100_000, 5_000, 1_500.0, 10.0, 60.0, (0.5, 2.0))
SHORT = Scale(3_000, 300, 1_000.0, 3.0, 3.0, (0.3, 0.8))


@dataclass
class Outcome:
    """What became of a row.

    Attributes
    ----------
    failures : list of str
        Empty if all is as it must be.
    """

    row: Row
    verdict: Verdict = field(default_factory=Verdict)
    faults: int = 0
    recoveries: list[float] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def late(self) -> bool:
        """Whether a recovery took longer than it may: for a machine that has nothing else to do."""
        return self.recovery_max is not None and self.recovery_max > self.row.seconds_max

    @property
    def passed(self) -> bool:
        """Whether all is as it must be, and in time."""
        return not self.failures and not self.late

    @property
    def recovery_p50(self) -> float | None:
        """Median of the recoveries, seconds."""
        return median(self.recoveries) if self.recoveries else None

    @property
    def recovery_max(self) -> float | None:
        """The longest recovery, seconds."""
        return max(self.recoveries, default=None)


async def run_row(
    row: Row, kafka: ChaosKafka, folder: Path, seed: int, scale: Scale, faults: int, say: Say
) -> Outcome:
    """Run a row; what goes wrong stands in the outcome."""
    began = time.monotonic()
    outcome = Outcome(row)
    try:
        async with AsyncExitStack() as until:
            await _run(row, kafka, folder, seed, scale, faults, say, outcome, until)
    except (StuckError, LogError, TimeoutError) as error:
        outcome.failures.append(f"{type(error).__name__}: {error}")
    outcome.seconds = time.monotonic() - began
    return outcome


async def _run(
    row: Row,
    kafka: ChaosKafka,
    folder: Path,
    seed: int,
    scale: Scale,
    faults: int,
    say: Say,
    outcome: Outcome,
    until: AsyncExitStack,
) -> None:
    redis = await until.enter_async_context(running_redis(folder / "redis"))
    place = Place(f"{row.name}-{seed}", kafka, redis, scale.session_seconds)
    await place.prepare()
    crew = Crew(place, folder, row.proxied, row.kafka_proxied)
    until.push_async_callback(crew.dismiss)
    sent = row.records(seed, scale.transactions, scale.customers)
    load, watch = Load(place, sent, scale.rate), Watch(place, crew)
    stage = Stage(
        kafka, place, crew, watch, load, Random(f"{seed}:{row.name}"),
        scale.session_seconds, scale.full_seconds,
    )  # fmt: skip
    outcome.recoveries, outcome.notes = stage.recoveries, stage.notes
    if row.kafka_proxied:
        stage.kafka_door = await kafka.proxy_door().open()
        until.push_async_callback(stage.kafka_door.shut)
    if row.replicated:
        await _replicate(stage, folder, until)
    await until.enter_async_context(meanwhile(watch.run()))
    await until.enter_async_context(meanwhile(crew.replace_fallen_forever()))
    await until.enter_async_context(meanwhile(redis.watch_file()))
    await crew.start(row.workers)
    await watch.shared()
    flowing = await until.enter_async_context(meanwhile(load.run()))
    for number in range(faults):
        load.allow((number + 1) / faults)
        await asyncio.sleep(stage.random.uniform(*scale.pauses))
        await load.reach((number + stage.random.random()) / faults)
        await row.inject(stage)
        stage.faults = outcome.faults = number + 1
        last = f", recovered in {stage.recoveries[-1]:.1f} s" if stage.recoveries else ""
        say(f"{row.name}: {number + 1} of {faults}, {load.sent:,} sent{last}")
    load.finish()
    await flowing
    await until_counted(stage)
    await watch.shared()  # one that has only just started has no clean end yet
    await crew.terminate(list(crew.workers))
    stage.note("sent again by the producer", load.sent_again)
    outcome.failures += crew.complaints
    evidence = await gather(place, sent)
    verifying = await until.enter_async_context(meanwhile(verify(place)))
    outcome.verdict = await asyncio.to_thread(judge, evidence)
    stage.note("customers on a border to the last bit", outcome.verdict.undecided)
    outcome.failures += await verifying
    outcome.failures += outcome.verdict.said
    if not outcome.verdict.clean and not outcome.verdict.said:
        outcome.failures.append("the oracle differs")


async def _replicate(stage: Stage, folder: Path, until: AsyncExitStack) -> None:
    replica = stage.replica = await until.enter_async_context(running_redis(folder / "replica"))
    way = stage.replication = await Door(stage.place.redis.address).open()
    until.push_async_callback(way.shut)
    await replica.follow(("127.0.0.1", way.port))
    await replica.until_synced()


async def until_counted(stage: Stage, seconds_max: float = _CAUGHT_UP_SECONDS_MAX) -> None:
    """Wait until all is read, published and nobody is due.

    Raises
    ------
    StuckError
        It does not come to that.
    """
    end = await end_of_log(stage.place)

    def all_read() -> bool:
        return sum(position.offset for position in stage.watch.positions.values()) >= end

    await stage.watch.until(all_read, f"{end} records being read", seconds_max)
    deadline = time.monotonic() + seconds_max
    while not await stage.place.is_settled():
        if time.monotonic() > deadline:
            raise StuckError(f"the outbox or the due queue stays full\n{stage.crew.logs()}")
        await asyncio.sleep(0.05)


async def verify(place: Place, seconds_max: float = _VERIFY_SECONDS_MAX) -> list[str]:
    """What `everscore verify` has against it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.cli.main", "verify",
        cwd=REPOSITORY,
        env={**child_environment(place.settings), "EVERSCORE_REDIS": place.redis_url,
             "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds_max):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode == 0:
        return []
    return [f"everscore verify: exit code {process.returncode}", *said.decode().splitlines()[:20]]


@asynccontextmanager
async def running_redis(folder: Path) -> AsyncIterator[ChaosRedis]:
    server = ChaosRedis(folder)
    server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, Result]) -> AsyncIterator[asyncio.Task[Result]]:
    """Something that goes on until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
