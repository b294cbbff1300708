"""One simulated installation: log, Redis, group and worker processes that run the production code.

Owns how a worker process is put together, dies and comes back. What goes wrong is `faults`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

from faust.types import TP

from schemas.errors import BrokerUnavailableError, StoreUnavailableError
from streams import app as production
from streams.worker import ScoringWorker
from tests.simulation.consumer import Consumer, Stream
from tests.simulation.group import Group
from tests.simulation.kafka import Brokers, Log, Producer, Reader
from tests.simulation.loop import Process, SimulatedLoop, current_process
from tests.simulation.redis import Network, UnexpectedError
from tests.simulation.scenario import Scenario
from tests.simulation.trace import Trace
from tests.simulation.workload import ARRIVAL_US, Producers

_BACK_SECONDS_MAX = 3.0  # until a worker that ended is started again
_EXPECTED_ENDS = (UnexpectedError, BrokerUnavailableError)
_OUTPUT_PARTITIONS = 3


class World:
    """Everything there is.

    Attributes
    ----------
    workers : dict of name to Worker
        Those that run now.
    failures : list of str
        What no worker may do.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.loop = SimulatedLoop(scenario.random("schedule"))
        self.trace = Trace(self.loop.time)
        settings = scenario.settings
        topics = dict.fromkeys(settings.input_topics, scenario.partitions)
        for topic in (settings.changes_topic, settings.dead_letter_topic, settings.samples_topic):
            topics[topic] = _OUTPUT_PARTITIONS
        topics[settings.journal_topic] = scenario.partitions
        topics[settings.scorecards_topic] = 1
        self.log = Log(topics, scenario.random("log"))
        self.brokers = Brokers(self.loop, self.log, scenario.random("kafka"), self.trace)
        self.redis = Network(self.loop, scenario.random("redis"), self.trace, self.now_ms)
        self.group = Group(
            self.brokers,
            settings.input_topics,
            scenario.partitions,
            settings.session_timeout_seconds,
            scenario.random("group"),
            self.trace,
        )
        self.producers = Producers(scenario, self.log, self.trace)
        self.workers: dict[str, Worker] = {}
        self.failures: list[str] = []
        self.restarts = True
        self._random = scenario.random("world")
        self._ids = scenario.random("ids")
        self._jumped_us = 0
        self._incarnations = 0

    # --- clocks ----------------------------------------------------------------------------------

    def now_us(self) -> int:
        """The wall clock, microseconds since 1970."""
        return ARRIVAL_US + self._jumped_us + round(self.loop.time() * 1e6)

    def now_ms(self) -> int:
        """The wall clock, milliseconds since 1970."""
        return self.now_us() // 1000

    def jump(self, microseconds: int) -> None:
        """Let the wall clock run on while nobody does anything."""
        self._jumped_us += microseconds

    # --- workers ---------------------------------------------------------------------------------

    def start_worker(self, name: str) -> None:
        """Start a process that works under a name."""
        self._incarnations += 1
        process = Process(f"{name}.{self._incarnations}")
        process.on_death.append(partial(self._bury, name, process))
        self.trace.add(process, "starts")
        self.workers[name] = Worker(self, process)

    def _bury(self, name: str, process: Process) -> None:
        self.trace.add(process, "is dead")
        del self.workers[name]
        self.redis.cut_off.discard(process)
        self.redis.unexpected.pop(process, None)
        self.brokers.cut_off.discard(process)
        self.loop.outside(self._random.random() * _BACK_SECONDS_MAX, self.start_worker, name)

    def _stop_at_once(self, error: BaseException) -> None:
        process = current_process()
        if not process.alive:
            return
        self.trace.add(process, "stops:", repr(error))
        expected: tuple[type[BaseException], ...] = _EXPECTED_ENDS
        if not self.workers[process.name.partition(".")[0]].began:
            expected += (StoreUnavailableError,)  # whoever starts it may start it again
        if not isinstance(error, expected):
            self.failures.append(f"{process} stopped: {error!r}")
        process.kill()

    def _publisher(self, _: Any) -> Producer:
        return Producer(self.brokers, current_process(), self.now_ms)

    def _reader(self, **_: Any) -> Reader:
        return Reader(self.brokers, current_process())

    def _uuid(self) -> UUID:
        return UUID(int=self._ids.getrandbits(128), version=4)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Put our clocks, chance and servers where the production code looks for them."""
        clock = SimpleNamespace(time_ns=lambda: self.now_us() * 1000)
        with ExitStack() as seams:
            for name, ours in {
                "streams.sweeps.time": clock,
                "streams.worker.Publisher": self._publisher,
                "streams.ownership.monotonic": self.loop.time,
                "streams.patience.monotonic": self.loop.time,
                "streams.patience._said": {},
                "streams.holdings.uuid4": self._uuid,
                "streams.journal.AIOKafkaConsumer": self._reader,
                "streams.app.stop_at_once": self._stop_at_once,
            }.items():
                seams.enter_context(patch(name, ours))
            seams.enter_context(self.trace.listening(self._speaker))
            try:
                yield
            finally:
                self.loop.dispose()

    def _speaker(self) -> object:
        try:
            return current_process()
        except Exception:
            return "nobody"


class Worker:
    """One worker process: what `streams.app.build_app` puts together, without Faust."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self.process = process
        self.worker: ScoringWorker | None = None
        world.loop.spawn(process, production._or_stop(self._live)())

    @property
    def began(self) -> bool:
        """Whether it has found its servers, and from then on waits for them."""
        return self.worker is not None and hasattr(self.worker, "engine")

    async def _live(self) -> None:
        world, process = self._world, self.process
        scenario = world.scenario
        settings = scenario.settings.model_copy(update={"owner": process.name})
        worker = ScoringWorker(world.redis.client(process), settings)  # type: ignore[arg-type]

        async def positions(assigned: Set[TP]) -> Mapping[TP, int]:
            await worker.start(SimpleNamespace(consumer=consumer))  # type: ignore[arg-type]
            return await worker.positions(assigned)

        consumer = Consumer(
            world.brokers,
            process,
            production._or_stop(positions),
            settings.slice_records_max * scenario.batch_slices_max,
        )
        self.timers = production.timers_of(worker)
        self._close = worker.close
        self._consumer = consumer
        self.worker = worker
        for work in (
            partial(world.group.attend, process, consumer),
            consumer.fetch_forever,
            partial(production.count_stream, worker, Stream(consumer)),
            self.timers.run,
        ):
            world.loop.spawn(process, production._or_stop(work)())

    def stop(self) -> None:
        """SIGTERM: finish what is at work, say goodbye, publish what is left."""
        self._world.trace.add(self.process, "is asked to stop")
        self._world.loop.spawn(self.process, self._end())

    async def _end(self) -> None:
        if self.process.stalled:
            return
        await self._consumer.revoke()
        self._world.group.leave(self.process)
        await self.timers.stop(self._close)
        self.process.kill()
