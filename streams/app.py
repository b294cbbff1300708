"""The Faust app of one worker: transport, agents, timers, and how it ends.

A worker that meets an unexpected error exits at once, without committing, and says why: what it did
not commit is read again by the next owner.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping, Set
from functools import wraps
from typing import Any, TypeVar

import faust
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.types import TP

from schemas.errors import ConfigurationError, PipelineError
from state.store import Store
from streams.allocation import give_large_blocks_back
from streams.connections import kafka_access
from streams.event_loops import use_fast_loops
from streams.kafka_refusals import kafka_error, kafka_refusal
from streams.settings import Settings
from streams.transport import SCHEME, batch_topic, batch_transport
from streams.worker import ScoringWorker

EXIT_SOFTWARE = 70  # sysexits.h: our own bug, or a state of the world we must not go on in
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78

_END_SECONDS_MAX = 5.0  # after all is published and all connections of ours are closed; 0.1 s

# Batches, not records, that wait for the agent: enough to keep it busy, little to throw away. Faust lets
# one partition that it holds back go on at each look at a queue at most 0.4 full. With 4 that is a queue
# of one, and on a busy machine changes came up to 12 s late.
_BATCHES_WAITING_MAX = 16

Result = TypeVar("Result")


class _NoTables(TableManager):
    """Faust's table manager without tables: it would look for some for a second at every start."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _ReadersBoot(BootStrategy):
    """What Faust starts, without a producer of its own: ours is idempotent."""

    enable_kafka_producer = False


class _App(faust.App):
    BootStrategy = _ReadersBoot


class _PlainWorker(faust.Worker):
    """Faust's worker without its spinner and the second it waits for stragglers when it ends."""

    async def _sentinel_task(self) -> None: ...


def exit_code(error: BaseException) -> int:
    """What a process that stops because of an error tells its parent."""
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIG
    if isinstance(error, PipelineError) and error.retriable:
        return EXIT_UNAVAILABLE
    return EXIT_SOFTWARE


def stop_at_once(error: BaseException) -> None:
    """End the process without committing, closing or acknowledging anything."""
    if isinstance(error, PipelineError):
        sys.stderr.write(f"everscore worker stops: {error}\n")
    else:
        traceback.print_exception(error)
        sys.stderr.write(
            f"everscore worker stops on an unexpected error: {type(error).__name__}: {error}\n"
        )
    sys.stderr.flush()
    os._exit(exit_code(error))


def _or_stop(step: Callable[..., Awaitable[Result]]) -> Callable[..., Awaitable[Result]]:
    """The same step, but an error ends the process instead of being handled by Faust."""

    @wraps(step)
    async def run(*args: Any) -> Result:
        try:
            return await step(*args)
        except Exception as error:
            stop_at_once(error)
            raise

    return run


def build_app(settings: Settings, store: Store) -> faust.App:
    """The Faust app of one worker."""
    app = _App(
        settings.group,
        broker=f"{SCHEME}://{settings.kafka}",
        datadir=tempfile.mkdtemp(prefix="everscore-"),  # Faust insists on one; nothing is kept
        autodiscover=False,
        web_enabled=False,
        consumer_group_instance_id=settings.instance,
        topic_disable_leader=True,
        topic_allow_declare=False,
        agent_supervisor="mode.CrashingSupervisor",
        TableManager=_NoTables,
        stream_buffer_maxsize=_BATCHES_WAITING_MAX,
        stream_recovery_delay=0.0,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 4,
        broker_commit_interval=1.0,
        consumer_max_fetch_size=settings.fetch_bytes_max,
    )
    worker = ScoringWorker(store, settings)
    transport = batch_transport(app)
    transport.fetch_wait_ms_max = settings.fetch_max_wait_ms
    transport.read_records_max = settings.slice_records_max
    transport.access = kafka_access(settings)

    def fail(error: BaseException) -> None:
        if isinstance(error, KafkaError) and error.retriable:
            stop_at_once(kafka_error(settings, error, "does not answer"))
        else:
            stop_at_once(kafka_refusal(settings, f"Kafka at {settings.kafka}", error) or error)

    transport.fail = fail

    async def positions(assigned: Set[TP]) -> Mapping[TP, int]:
        await worker.start(app)
        return await worker.positions(assigned)

    transport.positions = _or_stop(positions)

    async def transactions(stream: Any) -> None:
        await count_stream(worker, stream)

    async def samples(stream: Any) -> None:
        async for event in stream.noack().events():
            for record in event.value.records:
                worker.learner.keeper.report(record.key, record.value)
            event.ack()

    app.agent(batch_topic(app, *settings.input_topics), name="transactions")(transactions)
    app.agent(batch_topic(app, settings.samples_topic), name="samples")(samples)
    timers = timers_of(worker)
    app.task(timers.run)

    async def end(*_: Any, **__: Any) -> None:
        await timers.stop(worker.close)
        end_soon(app)

    app.on_before_shutdown.connect(end)  # no partition is ours any more
    return app


async def count_stream(worker: ScoringWorker, stream: Any) -> None:
    """Count what the input topics bring; only what was counted is acknowledged.

    Batch by batch within a partition, partitions side by side: while Redis takes a slice of one, that of
    another is decoded and scored.
    """
    count = _or_stop(worker.count)

    async def settle(event: Any) -> None:
        if await count(event.value):
            event.ack()

    at_work: dict[int, asyncio.Task[None]] = {}
    try:
        async for event in stream.noack().events():
            partition = event.value.partition
            if partition in at_work:
                await at_work[partition]
            at_work[partition] = asyncio.create_task(settle(event))
        await asyncio.gather(*at_work.values())
    finally:
        for task in at_work.values():
            task.cancel()


def timers_of(worker: ScoringWorker) -> Timers:
    """All that a worker does for ever beside its agents."""
    return Timers(
        worker.relay.run,
        worker.sweep_forever,
        worker.watch_over_store_forever,
        worker.follow_scorecards_forever,
        worker.learn_forever,
        worker.beat_forever,
    )


def end_soon(app: faust.App) -> None:
    """Let the process end within seconds: nothing is left to do but to stop Faust's threads.

    Seldom, one of them waits for ever for an answer of the consumer's thread, which has ended.
    """
    code = EXIT_SOFTWARE if app.crashed else 0
    last = threading.Timer(_END_SECONDS_MAX, os._exit, (code,))
    last.daemon = True
    last.start()


class Timers:
    """What a worker does for ever beside its agents; any error of theirs ends the process.

    Parameters
    ----------
    *forever : async callables
        The first outlives the others: it finishes what they began.
    """

    def __init__(self, *forever: Callable[[], Awaitable[None]]) -> None:
        self._forever = [_or_stop(step) for step in forever]
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Start everything, and wait."""
        self._tasks = [asyncio.ensure_future(step()) for step in self._forever]
        await asyncio.wait(self._tasks)

    async def stop(self, finish: Callable[[], Awaitable[None]]) -> None:
        """End all but the first, then finish, then end the first."""
        for task in self._tasks[1:]:
            task.cancel()
        await finish()
        for task in self._tasks[:1]:
            task.cancel()


def run_worker(settings: Settings, store: Store) -> None:
    """Work until a signal says stop, or an error makes it impossible."""
    give_large_blocks_back()
    use_fast_loops()
    worker = _PlainWorker(
        build_app(settings, store), loglevel="WARNING", quiet=True, redirect_stdouts=False
    )
    worker.spinner = None
    worker.execute_from_commandline()
