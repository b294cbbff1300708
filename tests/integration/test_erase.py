"""`everscore erase` on real servers: what goes, what stays, and what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.change_feed import change_of
from schemas.erasure import tombstone_name
from streams.homes import home_partition
from tests.support.access import open_async_redis
from tests.support.installation import Installation
from tests.support.purchases import cdnow_of
from tests.support.services import Services

pytestmark = pytest.mark.integration

CUSTOMER = "00003"
BAD = [
    (b'{"transaction_id": "x", "customer_id": "00003", "amount": 1}', "00003"),
    (b'{"customer_id": "00003", ', None),
    (b'{"transaction_id": "y", "customer_id": "00004", "amount": 1}', "00004"),
    (b"no json at all", None),
]


@pytest.fixture
async def counting(services: Services, tmp_path: Path) -> AsyncIterator[Installation]:
    """A worker that has counted some hundreds of customers, and bad records of two of them."""
    values = [(purchase.value, purchase.customer_id) for purchase in cdnow_of(300)]
    async with Installation(services, tmp_path) as here:
        worker = here.start_worker()
        await here.produce(values + BAD)
        await here.until(lambda progress: progress.read == len(values) + len(BAD))
        await here.settled()
        yield here
        worker.terminate()
        assert await asyncio.to_thread(worker.wait) == 0


async def keys_naming(here: Installation, customer_id: str) -> list[str]:
    """Whatever Redis holds under the customer's name, or with it inside."""
    prefix = here.settings.key_prefix
    found = []
    async with open_async_redis(here.settings) as redis:
        async for key in redis.scan_iter(f"{prefix}*"):
            kind = (await redis.type(key)).decode()
            dump = {
                "hash": redis.hgetall,
                "string": redis.get,
                "zset": lambda name: redis.zrange(name, 0, -1),
                "stream": redis.xrange,
            }[kind]
            held = await dump(key)
            if customer_id in key.decode() or f"'{customer_id}'" in repr(held):
                found.append(key.decode())
    return found


async def test_nothing_names_the_customer_any_more_and_the_receipt_says_what_was_done(
    counting: Installation,
) -> None:
    here = counting
    assert await keys_naming(here, CUSTOMER)
    said = await here.run("erase", CUSTOMER, "--yes", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    receipt = json.loads(said.stdout)
    home = home_partition(CUSTOMER, here.partitions)
    assert receipt["customer_id"] == CUSTOMER
    assert receipt["was_known"]
    assert receipt["record"].startswith(f"{here.settings.transactions_topic} {home}:")
    assert receipt["tombstone"] == tombstone_name(CUSTOMER)
    assert receipt["letters_deleted"] == 2
    assert receipt["letters_rewritten"] == 2
    assert await keys_naming(here, CUSTOMER) == []

    letters = await here.records(here.settings.dead_letter_topic)
    assert sorted(letter.value for letter in letters) == sorted(value for value, _ in BAD[2:])
    assert {letter.key for letter in letters} == {b"00004", None}
    samples = await here.records(here.settings.samples_topic)
    assert [one.value for one in samples if one.key == CUSTOMER.encode()][-1] is None
    changes = [
        change_of(record)
        for record in await here.records(here.settings.changes_topic)
        if record.key == CUSTOMER.encode()
    ]
    assert [change["sequence"] for change in changes] == list(range(1, receipt["changes"] + 1))
    assert [change["cause"] for change in changes][-2:] == ["erasure", "erasure"]
    assert {change["current"] for change in changes[-2:]} == {None}

    looked = await here.run("lookup", CUSTOMER)
    assert looked.returncode == 3
    assert "was erased" in looked.stderr


async def test_replay_of_the_same_purchases_brings_nobody_back_and_verify_understands_it(
    counting: Installation,
) -> None:
    here = counting
    assert (await here.run("erase", CUSTOMER, "--yes")).returncode == 0
    before = await here.progress()
    theirs = [p for p in cdnow_of(300) if p.customer_id == CUSTOMER]
    await here.produce([(purchase.value, CUSTOMER) for purchase in theirs])
    await here.until(lambda progress: progress.read == before.read + len(theirs))
    await here.settled()
    assert await keys_naming(here, CUSTOMER) == []
    verified = await here.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def test_flushed_redis_is_counted_again_without_the_customer(counting: Installation) -> None:
    here = counting
    assert (await here.run("erase", CUSTOMER, "--yes")).returncode == 0
    before = await here.progress()
    async with open_async_redis(here.settings) as redis:
        await redis.flushall()
    await here.until(lambda progress: progress.read == before.read)
    await here.settled()
    assert await keys_naming(here, CUSTOMER) == []
    verified = await here.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def test_tombstone_that_a_hand_removed_is_found_and_rebuilt(counting: Installation) -> None:
    here = counting
    assert (await here.run("erase", CUSTOMER, "--yes")).returncode == 0
    home = home_partition(CUSTOMER, here.partitions)
    async with open_async_redis(here.settings) as redis:
        await redis.delete(f"{here.settings.key_prefix}erased:{home}")
    verified = await here.run("verify")
    assert verified.returncode == 1
    assert f"tombstone '{tombstone_name(CUSTOMER)}' is missing" in verified.stdout
    async with open_async_redis(here.settings) as redis:
        await redis.hset(f"{here.settings.key_prefix}erased:{home}", "0" * 32, "7 7")
    assert f"tombstone '{'0' * 32}' is of nobody" in (await here.run("verify")).stdout
    rebuilt = await here.run("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    verified = await here.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert await keys_naming(here, CUSTOMER) == []


async def test_customer_nobody_knew_is_kept_away_too(counting: Installation) -> None:
    said = await counting.run("erase", "nobody-9", "--yes")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "there was none" in said.stdout


async def test_without_a_worker_it_says_that_it_stands_in_the_log(
    services: Services, tmp_path: Path
) -> None:
    async with Installation(services, tmp_path) as here:
        worker = here.start_worker()
        await here.produce([(purchase.value, purchase.customer_id) for purchase in cdnow_of(5)])
        await here.until(lambda progress: progress.customers == 5)
        worker.terminate()
        assert await asyncio.to_thread(worker.wait) == 0
        said = await here.run("erase", CUSTOMER, "--yes", "--wait", "0.5")
        assert said.returncode == 69
        assert "no worker has come to it in 0.5 s" in said.stderr
        assert len(said.stderr.splitlines()) == 1
        worker = here.start_worker()
        await here.until(lambda progress: progress.customers == 4)
        worker.terminate()
        assert await asyncio.to_thread(worker.wait) == 0


async def test_what_cannot_be_a_customer_id_is_refused(counting: Installation) -> None:
    said = await counting.run("erase", "a b*", "--yes")
    assert said.returncode == 65
    assert "'a b*' is not a customer id" in said.stderr
