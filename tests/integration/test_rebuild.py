"""`everscore rebuild` on real servers: whatever was done to Redis, `verify` then has nothing to say."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ops.change_feed import change_of
from ops.stack.topics import Topic
from streams.homes import home_partition
from tests.integration.test_verify import send
from tests.support.access import open_async_redis
from tests.support.installation import REPOSITORY, Installation
from tests.support.purchases import Purchase, cdnow_of
from tests.support.services import Services

pytestmark = pytest.mark.integration

CUSTOMER = "00003"
SECONDS = 120


@pytest.fixture
async def counted(services: Services, tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation with learnt scorecards, dead letters and foreign records, its worker gone."""
    purchases = cdnow_of(1_200)
    async with Installation(services, tmp_path) as here:
        worker = here.start_worker()
        values: list[tuple[bytes, str | None]] = [(p.value, p.customer_id) for p in purchases]
        values[500:500] = [(b"{", "x"), (b"not a transaction", None)]
        values[900:950] = [(value, None) for value, _ in values[900:950]]
        await here.produce(values)
        await here.until(lambda p: p.read == len(values))
        await here.until(lambda p: p.applied == len(purchases))
        while len((await here.store.checkpoint(0)).adoptions) < 2:  # until something is learnt
            await asyncio.sleep(0.1)
        while not await all_rescored(here):
            await asyncio.sleep(0.1)
        await here.settled()
        worker.terminate()
        assert await asyncio.to_thread(worker.wait) == 0
        yield here


async def all_rescored(here: Installation) -> bool:
    """Whether everybody is scored by the scorecard that their partition has in use."""
    checkpoints = [await here.store.checkpoint(p) for p in range(here.partitions)]
    in_use = [checkpoint.adoptions[-1][1].encode() for checkpoint in checkpoints]
    return all(
        fields["scorecard"] == in_use[home_partition(customer_id, here.partitions)]
        for customer_id, fields in (await here.hashes()).items()
    )


async def delete(redis: Any, pattern: str) -> None:
    keys = [key async for key in redis.scan_iter(pattern, count=1_000)]
    if keys:
        await redis.delete(*keys)


async def edit_fields(redis: Any, prefix: str, home: int) -> None:
    key = f"{prefix}customer:{CUSTOMER}"
    await redis.hset(key, mapping={"frequency": "99", "segment": "Nobody", "ledger": b"\x00"})
    await redis.hincrby(f"{prefix}partition:{home}", "applied", 7)


async def delete_customers(redis: Any, prefix: str, home: int) -> None:
    await delete(redis, f"{prefix}customer:0001*")


async def lose_the_due_queue(redis: Any, prefix: str, home: int) -> None:
    await redis.delete(f"{prefix}due:{home}")


async def invent_a_customer(redis: Any, prefix: str, home: int) -> None:
    await redis.hset(f"{prefix}customer:invented", "frequency", "1")
    await redis.zadd(f"{prefix}due:{home}", {"invented": 5.0})


async def lose_a_checkpoint(redis: Any, prefix: str, home: int) -> None:
    await redis.delete(f"{prefix}partition:{home}")


async def lose_the_scorecards(redis: Any, prefix: str, home: int) -> None:
    await redis.delete(f"{prefix}scorecards", f"{prefix}scorecard:current")


async def lose_everything(redis: Any, prefix: str, home: int) -> None:
    await delete(redis, f"{prefix}*")


DAMAGES = (
    edit_fields,
    delete_customers,
    lose_the_due_queue,
    invent_a_customer,
    lose_a_checkpoint,
    lose_the_scorecards,
    lose_everything,
)


async def ends_of(here: Installation, topic: str) -> int:
    return len(await here.records(topic))


async def test_damage_of_every_kind_is_mended_and_nothing_is_told_twice(
    counted: Installation,
) -> None:
    here = counted
    prefix, home = here.settings.key_prefix, home_partition(CUSTOMER, here.partitions)
    before, told = await here.hashes(), await ends_of(here, here.settings.changes_topic)
    async with open_async_redis(here.settings) as redis:
        for damage in DAMAGES:
            await damage(redis, prefix, home)
            found = await here.run("verify", seconds=SECONDS)
            assert found.returncode != 0, damage.__name__
            rebuilt = await here.run("rebuild", seconds=SECONDS)
            assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
            assert len(rebuilt.stdout.splitlines()) == 1
            assert "0 messages told that never were" in rebuilt.stdout
            verified = await here.run("verify", seconds=SECONDS)
            assert verified.returncode == 0, damage.__name__ + verified.stdout + verified.stderr
            assert await here.hashes() == before
            assert await redis.keys(f"{prefix}rebuil*") == []
            assert not await redis.exists(f"{prefix}customer:invented")
    worker = here.start_worker()
    await here.shared_by(1)
    await here.settled()
    worker.terminate()
    assert await asyncio.to_thread(worker.wait) == 0
    assert await ends_of(here, here.settings.changes_topic) == told


async def test_change_that_was_never_told_is_told_by_the_next_worker(
    counted: Installation, services: Services
) -> None:
    here = counted
    records = await here.records(here.settings.changes_topic)
    lost = [change_of(r)["id"] for r in records if r.key == CUSTOMER.encode()]
    thinned = f"{here.settings.changes_topic}.thinned"
    services.create_topics([Topic(thinned, here.partitions)])
    kept = [r for r in records if r.key != CUSTOMER.encode()]
    await send(here, thinned, kept)
    here.settings = here.settings.model_copy(update={"changes_topic": thinned})

    rebuilt = await here.run("rebuild", seconds=SECONDS)
    assert f"{len(lost)} messages told that never were" in rebuilt.stdout, rebuilt.stderr
    again = await here.run("rebuild", seconds=SECONDS)
    assert "0 messages told that never were" in again.stdout, again.stderr
    here.start_worker()
    await here.shared_by(1)
    await here.settled()
    told = await here.records(thinned)
    assert len(told) == len(records)
    assert [change_of(r)["id"] for r in told if r.key == CUSTOMER.encode()] == lost
    assert (await here.run("verify", seconds=SECONDS)).returncode == 0


async def killed_when(here: Installation, reached: Callable[[], Awaitable[bool]]) -> None:
    """A rebuild that is killed as soon as something is so, or the next moment."""
    process = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "ops.cli.main", "rebuild"],
        cwd=REPOSITORY,
        env=here.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + SECONDS
    while not await reached():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
    process.kill()
    await asyncio.to_thread(process.wait)


@pytest.mark.parametrize("with_worker", [False, True])
async def test_rebuild_killed_anywhere_is_resumed_and_ends_right(
    counted: Installation, *, with_worker: bool
) -> None:
    here = counted
    before = await here.hashes()
    prefix = here.settings.key_prefix
    async with open_async_redis(here.settings) as redis:
        await lose_everything(redis, prefix, 0)
        for partition in range(here.partitions - 1):

            async def is_at_it(partition: int = partition) -> bool:
                return bool(await redis.exists(f"{prefix}rebuild:{partition}"))

            async def has_rows(partition: int = partition) -> bool:
                return bool(await redis.exists(f"{prefix}due:{partition}"))

            await killed_when(here, is_at_it if partition % 2 else has_rows)
        if with_worker:  # it takes over as soon as the reservation of the last one has run out
            here.start_worker()
            await here.shared_by(1)
        last = await here.run("rebuild", seconds=SECONDS)
        assert last.returncode == 0, last.stdout + last.stderr
        if not with_worker:
            assert "more were rebuilt before" in last.stdout
    await here.until(lambda p: p.applied == sum(1 for _ in cdnow_of(1_200)))
    await here.settled()
    assert (await here.run("verify", seconds=SECONDS)).returncode == 0
    if not with_worker:
        assert await here.hashes() == before


async def test_worker_under_load_waits_for_each_partition_and_goes_on(
    counted: Installation,
) -> None:
    here = counted
    worker = here.start_worker()
    await here.shared_by(1)
    day = max(purchase.day for purchase in cdnow_of(1_200)) + 1
    more = [
        Purchase(f"{n % 900:05d}", day + n // 100, 1_000 + n, f"more-{n}") for n in range(6_000)
    ]
    async with open_async_redis(here.settings) as redis:
        # Nothing that a worker would stumble over before it is mended.
        await redis.hset(f"{here.settings.key_prefix}customer:{CUSTOMER}", "frequency", "99")
        load = asyncio.create_task(here.produce([(p.value, p.customer_id) for p in more[:3_000]]))
        rebuilt = await here.run("rebuild", seconds=SECONDS)
        assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
        await load
        await here.produce([(p.value, p.customer_id) for p in more[3_000:]])
    total = len(cdnow_of(1_200)) + len(more)
    await here.until(lambda p: p.applied == total)
    await here.settled()
    assert worker.poll() is None
    with suppress(AttributeError):
        assert "has another owner" in worker.log.read_text()  # type: ignore[attr-defined]
    verified = await here.run("verify", seconds=SECONDS)
    assert verified.returncode == 0, verified.stdout + verified.stderr
