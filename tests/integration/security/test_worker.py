"""A worker behind locks: known producers, known readers, and a demo of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path

import pytest

from ops.change_feed import change_of, open_consumer, records_to_end
from ops.producing import PacedProducer, progress_of
from ops.stack.local import LocalStack
from ops.stack.topics import declared_topics, ensure_topics
from schemas.errors import ConfigurationError
from state.redis_store import RedisStore
from streams.connections import kafka_access, redis_store
from streams.settings import Settings
from tests.support.purchases import Purchase, Run, cdnow_of
from tests.support.seat import (
    CONFIG,
    PARTITIONS,
    SETTINGS,
    WAIT_SECONDS_MAX,
    Seat,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("certificate", [False, True], ids=["password", "certificate"])
async def test_worker_counts_purchases_of_known_producers_and_tells_known_readers(
    stack: LocalStack, tmp_path: Path, certificate: bool
) -> None:
    def sits(user: str) -> Seat:
        return Seat(stack, user, certificate=certificate)

    purchases = [
        Purchase(
            f"{certificate}-{p.customer_id}", p.day, p.cents, f"{certificate}-{p.transaction_id}"
        )
        for p in cdnow_of(300)
    ]
    plain = await Run(PARTITIONS, Settings(first_fit_customers=10**9)).start()
    await plain.feed(purchases, 500)
    store = redis_store(sits("support").settings)  # who looks need not be able to change anything
    before = await progress_of(store, SETTINGS, PARTITIONS)
    worker = sits("worker").start_worker(tmp_path / "worker.log")
    try:
        async with PacedProducer(sits("producer").settings) as producer:
            for purchase in purchases:
                await producer.send(purchase.value, purchase.customer_id)
            await producer.send(b'{"amount": "nothing"}', f"{certificate}-00009")
            await producer.flush()
        expected = before.applied + len(purchases)
        await until_counted(store, expected, worker, tmp_path / "worker.log")
        found = await hashes(store)
        erased = sits("eraser").run("erase", f"{certificate}-00009", "--yes", "--json")
        assert erased.returncode == 0, erased.stderr
        assert json.loads(erased.stdout)["letters_deleted"] == 1
    finally:
        worker.terminate()
        assert worker.wait(WAIT_SECONDS_MAX) == 0, said_in(tmp_path / "worker.log")
        await store.close()
    for customer_id, fields in plain.hashes().items():
        for name in ("frequency", "t_x_days", "first_purchase_at", "monetary_total"):
            assert found[customer_id][name] == fields[name], customer_id

    async with open_consumer(sits("reader").settings, SETTINGS.changes_topic) as (feed, partitions):
        changes = [change_of(record) async for record in records_to_end(feed, partitions)]
    told = [c["customer_id"] for c in changes if c["sequence"] == 1]
    assert len(told) == len(set(told))
    assert set(plain.hashes()) <= set(told)

    support = sits("support")
    for words in (["lookup"], ["explain"]):
        said = support.run(*words, f"{certificate}-00003", "--json")
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["frequency"] == 5
    tailed = support.run("tail", "--from-start", "--no-follow", "--json")
    assert len(tailed.stdout.splitlines()) == len(changes)
    verified = sits("auditor").run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    refused = support.run("erase", f"{certificate}-00008", "--yes")
    assert refused.returncode == CONFIG
    assert "does not let" in refused.stderr
    refused = support.run("verify")
    assert refused.returncode == CONFIG
    assert "does not let" in refused.stderr
    assert "use topic 'partition-journal'" in refused.stderr


async def until_counted(
    store: RedisStore, count: int, worker: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (progress := await progress_of(store, SETTINGS, PARTITIONS)).applied < count:
        assert worker.poll() is None, said_in(log)
        assert time.monotonic() < deadline, f"{progress}\n{said_in(log)}"
        await asyncio.sleep(0.05)
    assert (progress.applied, progress.duplicates) == (count, 0)
    for partition in range(PARTITIONS):  # and all of it is published
        while await store.outbox(partition, "", 1):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def said_in(log: Path) -> str:
    return log.read_text()


async def hashes(store: RedisStore) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for partition in range(PARTITIONS):
        cursor, ids = await store.customers(partition, 0, 10_000)
        while cursor:
            cursor, more = await store.customers(partition, cursor, 10_000)
            ids += more
        rows = await store.load_many(partition, ids)
        found |= {ident: dict(row or {}) for ident, row in zip(ids, rows, strict=True)}
    return found


async def test_worker_may_make_and_use_what_a_demo_makes(stack: LocalStack, tmp_path: Path) -> None:
    seat, run = Seat(stack, "worker"), "everscore-demo-4711"
    fields = [field for field in Settings.model_fields if field.endswith("_topic")]
    names = {field: f"{run}.{field}" for field in fields}
    demo = {**names, "group": run, "key_prefix": "demo-4711:"}
    settings = Settings(**seat.settings.model_dump(exclude={"owner"}) | demo)
    topics = declared_topics(settings, PARTITIONS)
    made = await ensure_topics(settings.kafka, topics, kafka_access(settings))
    assert set(made.created) == set(names.values())
    changes = {name.upper(): value for name, value in demo.items()}
    worker = seat.start_worker(tmp_path / "worker.log", **changes)
    store = redis_store(settings)
    purchases = cdnow_of(100)
    try:
        async with PacedProducer(settings) as producer:
            for purchase in purchases:
                await producer.send(purchase.value, purchase.customer_id)
            await producer.flush()
        await until_counted(store, len(purchases), worker, tmp_path / "worker.log")
        async with open_consumer(settings, settings.changes_topic) as (feed, partitions):
            assert [record async for record in records_to_end(feed, partitions)]
    finally:
        worker.terminate()
        worker.wait(WAIT_SECONDS_MAX)
        await store.close()
    elsewhere = Settings(**settings.model_dump() | {"samples_topic": "not-a-demo"})
    with pytest.raises(ConfigurationError, match="'not-a-demo'"):
        await ensure_topics(settings.kafka, declared_topics(elsewhere, 1), kafka_access(settings))
