"""`everscore verify` on real servers: silent when all is well, and by name when a hand was at work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.change_feed import change_of
from ops.stack.topics import Topic
from ops.verify.compare import verify_partition
from ops.verify.log import open_log
from streams.homes import home_partition
from streams.publisher import open_producer
from tests.support.access import open_async_redis
from tests.support.installation import Installation
from tests.support.purchases import cdnow_of
from tests.support.services import Services

pytestmark = pytest.mark.integration

CUSTOMER = "00003"


@pytest.fixture
async def counted(services: Services, tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation with learnt scorecards, dead letters, duplicates and foreign records; at rest."""
    purchases = cdnow_of(1_200)
    async with Installation(services, tmp_path) as here:
        worker = here.start_worker()
        values: list[tuple[bytes, str | None]] = [(p.value, p.customer_id) for p in purchases]
        values[500:500] = [(b"{", "x"), (b"not a transaction", None), values[17], values[18]]
        values[900:950] = [
            (value, None) for value, _ in values[900:950]
        ]  # keyless: most take a detour
        await here.produce(values)
        await here.until(lambda p: p.read == len(values))
        await here.until(lambda p: p.applied == len(purchases))
        while len((await here.store.checkpoint(0)).adoptions) < 2:  # until something is learnt
            await asyncio.sleep(0.1)
        await here.settled()
        worker.terminate()
        assert await asyncio.to_thread(worker.wait) == 0
        yield here


async def differences_in(here: Installation) -> list[str]:
    """What `verify` finds in the customer's partition."""
    partition = home_partition(CUSTOMER, here.partitions)
    async with open_log(here.settings) as log:
        verdict = await verify_partition(
            here.store, log, here.settings, here.partitions, partition, lambda _: None
        )
    return verdict.differences


async def test_everything_is_compared_and_each_kind_of_damage_is_found(
    counted: Installation,
) -> None:
    here = counted
    plain = await here.run("verify")
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert "records counted once" in plain.stdout
    assert len(plain.stdout.splitlines()) == 1
    side_by_side = await here.run("verify", "--jobs", "2", seconds=120)
    assert (side_by_side.returncode, side_by_side.stdout) == (0, plain.stdout)
    progress = await here.progress()
    assert progress.dead == 2
    assert progress.duplicates == 2
    assert progress.forwarded > 0

    prefix = here.settings.key_prefix
    key = f"{prefix}customer:{CUSTOMER}"
    async with open_async_redis(here.settings) as redis:
        home = home_partition(CUSTOMER, here.partitions)
        kept: dict[bytes, bytes] = await redis.hgetall(key)
        score = await redis.zscore(f"{prefix}due:{home}", CUSTOMER)
        for name in (b"frequency", b"prob_alive", b"expected_purchases_30d", b"rfm", b"sequence"):
            await redis.hset(key, name, b"1" + kept[name])
            (difference,) = await differences_in(here)
            assert f"'{CUSTOMER}': {name.decode()} is " in difference
            await redis.hset(key, name, kept[name])

        await redis.delete(key)
        assert await differences_in(here) == [f"customer '{CUSTOMER}' is missing"]
        said = await here.run("verify")
        assert said.returncode == 1
        assert said.stdout.splitlines() == [f"differs customer '{CUSTOMER}' is missing"]
        said_by_two = await here.run("verify", "--jobs", "2", seconds=120)
        assert (said_by_two.returncode, said_by_two.stdout) == (1, said.stdout)
        await redis.hset(key, mapping=kept)

        await redis.zrem(f"{prefix}due:{home}", CUSTOMER)
        (difference,) = await differences_in(here)
        assert f"'{CUSTOMER}': due at None" in difference
        await redis.zadd(f"{prefix}due:{home}", {CUSTOMER: score})

        await redis.hincrby(f"{prefix}partition:{home}", "applied", 1)
        (difference,) = await differences_in(here)
        assert f"partition {home}: applied is " in difference
        await redis.hincrby(f"{prefix}partition:{home}", "applied", -1)

        cards = await redis.hgetall(f"{prefix}scorecards")
        await redis.hdel(f"{prefix}scorecards", "bootstrap-0")
        assert await differences_in(here) == ["scorecard 'bootstrap-0' is missing"]
        await redis.hdel(f"{prefix}scorecards", "fitted-1")
        said = await here.run("verify")
        assert said.returncode == 70
        assert "was scored by bootstrap-0, fitted-1, which Redis has lost" in said.stderr
        await redis.hset(f"{prefix}scorecards", mapping=cards)
    assert await differences_in(here) == []


async def test_change_dropped_from_the_topic_invented_or_altered_is_found(
    counted: Installation, services: Services
) -> None:
    here = counted
    topic = here.settings.changes_topic
    records = await here.records(topic)
    some = next(r for r in records if r.key == CUSTOMER.encode())
    original = change_of(some)

    altered = json.loads(some.value) | {"prob_alive": 0.123}
    await send(here, topic, [replaced(some, json.dumps(altered).encode(), {})])
    (difference,) = await differences_in(here)
    assert f"change {original['id']} was told with two bodies" in difference

    invented = {"ce_id": b"00000000-0000-5000-8000-000000000000"}
    await send(here, topic, [replaced(some, some.value, invented)])
    assert any("the log does not lead to it" in line for line in await differences_in(here))

    # A topic without that change: all others copied, one left out.
    thinned = f"{topic}.thinned"
    services.create_topics([Topic(thinned, here.partitions)])
    kept = [r for r in records if dict(r.headers)["ce_id"].decode() != original["id"]]
    await send(here, thinned, kept)
    settings = here.settings
    here.settings = settings.model_copy(update={"changes_topic": thinned})
    assert await differences_in(here) == [
        f"customer '{CUSTOMER}': change {original['sequence']} ({original['id']}) was never told"
    ]


def replaced(record: Any, value: bytes, headers: dict[str, bytes]) -> SimpleNamespace:
    """A record like another one."""
    merged = {**dict(record.headers), **headers}
    return SimpleNamespace(key=record.key, value=value, headers=list(merged.items()))


async def send(here: Installation, topic: str, records: Sequence[Any]) -> None:
    producer = await open_producer(here.settings, linger_ms=5)
    sent = [
        await producer.send(topic, record.value, key=record.key, headers=list(record.headers))
        for record in records
    ]
    await asyncio.gather(*sent)
    await producer.stop()
