"""What happens to Kafka and Redis, and to the way to them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable

from tests.chaos.crew import Worker
from tests.chaos.stage import Stage
from tests.chaos.tcp_proxy import Door, LoseReply, Marker
from tests.chaos.worker_faults import commit

_CUT_BACK_SECONDS = 1.0  # what an append-only file flushed once a second may lose
_LOSE_SECONDS_MAX = 30.0


async def restart_broker(stage: Stage) -> None:
    """A clean stop and start."""
    await _measured(stage, stage.kafka.restart_cleanly())


async def kill_broker(stage: Stage) -> None:
    """kill -9 of the only broker, and its start."""
    await _measured(stage, stage.kafka.restart_killed())


async def kill_redis(stage: Stage) -> None:
    """kill -9, and a start with all that was answered."""
    await _measured(stage, stage.place.redis.restart_killed())


async def cut_back_redis(stage: Stage) -> None:
    """kill -9, and a start without the last second or so, from a random byte on."""

    async def cut_back() -> None:
        lost = await stage.place.redis.restart_cut_back(stage.random, _CUT_BACK_SECONDS)
        stage.note("bytes of the append-only file lost", lost)

    await _measured(stage, cut_back())


async def flush(stage: Stage) -> None:
    """FLUSHALL by somebody's hand."""
    await _measured(stage, stage.place.redis.client.flushall())


async def _measured(stage: Stage, fault: Awaitable[object]) -> None:
    since = time.monotonic()
    await fault
    stage.recoveries.append(await stage.watch.moved_on(since))


async def fill_redis(stage: Stage) -> None:
    """No write is taken for as long as a full Redis stays full."""
    client = stage.place.redis.client
    await client.config_set("maxmemory", "1")
    await asyncio.sleep(stage.full_seconds)
    await client.config_set("maxmemory", "0")
    stage.recoveries.append(await stage.watch.moved_on(time.monotonic()))


async def promote(stage: Stage) -> None:
    """A replica that lags becomes the primary, while one worker still writes to the old one.

    Every other time that worker is stopped meanwhile, as one that does not hear of the promotion,
    and writes what it had in hand when it wakes.
    """
    replica, replication, old = stage.replica, stage.replication, stage.place.redis
    assert replica is not None
    assert replication is not None
    replication.flowing.clear()  # from here on the replica learns nothing
    await asyncio.sleep(stage.random.uniform(0.3, 1.2))
    straggler = stage.somebody()
    stopped = stage.faults % 2 == 1
    since = time.monotonic()
    if stopped:
        straggler.signal(signal.SIGSTOP)
    await replica.follow(None)
    await replication.cut()
    replication.flowing.set()
    behind = await stage.place.commits(old) - await stage.place.commits(replica)
    stage.note("commits that the replica lacked", behind)
    stage.place.redis, stage.replica = replica, old
    for worker in stage.crew.workers:
        if worker is not straggler:
            await _switch(worker, replica.address)
    before = await stage.place.commits(old)
    if stopped:
        await asyncio.sleep(stage.random.uniform(0.2, 0.8) * stage.session_seconds)
        straggler.signal(signal.SIGCONT)
    await asyncio.sleep(stage.random.uniform(0.3, 2.0))
    stage.note("commits to the old primary meanwhile", await stage.place.commits(old) - before)
    await _switch(straggler, replica.address)
    stage.recoveries.append(await stage.watch.moved_on(since))
    replication.address = replica.address
    await old.follow(("127.0.0.1", replication.port))
    await old.until_synced()


async def _switch(worker: Worker, address: tuple[str, int]) -> None:
    assert worker.door is not None
    worker.door.address = address
    await worker.door.cut()


async def restart_producer(stage: Stage) -> None:
    """The producer ends and starts; not knowing what had arrived, it sends its last records again."""
    assert stage.load is not None
    await _measured(stage, stage.load.restart_producer())


async def disturb_link(stage: Stage) -> None:
    """Delay, cut, and a reply lost after it took effect: to Redis and to Kafka, in turn."""
    worker = stage.somebody()
    assert worker.door is not None
    assert stage.kafka_door is not None
    ways = [_delay, _cut, _lose_reply]
    to_kafka = stage.faults % 2 == 1
    way, door = ways[stage.faults // 2 % 3], stage.kafka_door if to_kafka else worker.door
    changes = stage.place.settings.changes_topic.encode()
    await way(stage, door, production_of(changes) if to_kafka else commit())
    stage.recoveries.append(await stage.watch.moved_on(time.monotonic()))


async def _delay(stage: Stage, door: Door, _marker: Marker) -> None:
    door.delay_seconds = stage.random.uniform(0.05, 0.5)
    await asyncio.sleep(stage.random.uniform(1.0, 3.0))
    door.delay_seconds = 0.0


async def _cut(stage: Stage, door: Door, _marker: Marker) -> None:
    door.closed = True
    stage.note("connections cut", await door.cut())
    await asyncio.sleep(stage.random.uniform(0.0, 2.0))
    door.closed = False


async def _lose_reply(stage: Stage, door: Door, marker: Marker) -> None:
    tap = door.tap = LoseReply(marker)
    async with asyncio.timeout(_LOSE_SECONDS_MAX):
        await tap.done.wait()
    stage.note("replies lost after they took effect")
    door.tap = None


def production_of(topic: bytes) -> Marker:
    """A request of Kafka's protocol: four bytes of length, two of which kind, 0 is Produce."""
    return lambda data: data[4:6] == b"\0\0" and topic in data


async def nothing(stage: Stage) -> None:
    """The records themselves are the fault."""
