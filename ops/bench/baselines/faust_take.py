"""Baseline (d): stock Faust, `take` batches, numpy and pipelined HSETs.

What Faust's own documentation leads to: one agent, a stream taken in batches, a topic to send to. Faust
commits what it has read when it has read it: a crash loses a batch or counts it twice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import faust
from redis.asyncio import Redis

from ops.bench.baselines.customers import FIELDS, Customer, Scorer, advance
from ops.bench.baselines.task import (
    COUNTED,
    CUSTOMER,
    Purchase,
    Task,
    change_body,
    decode_purchase,
    read_task,
)

# 200 cost 7 % more CPU per purchase, 4,000 no less: Faust hands over one record after the other.
BATCH_RECORDS_MAX = 1_000
BATCH_SECONDS_MAX = 0.05


class Counter:
    """Redis and everybody met so far."""

    def __init__(self, task: Task, changes: faust.TopicT) -> None:
        self._changes = changes
        self._redis = Redis(host="127.0.0.1", port=task.redis_port)
        self._scorer = Scorer(task.card)
        self._customers: dict[str, Customer] = {}

    async def count(self, events: Sequence[Any]) -> None:
        """Count one batch."""
        purchases = [decode_purchase(event.value) for event in events]
        await self._read_missing(purchases)
        touched, changes = advance(self._customers, purchases, self._scorer)
        async with self._redis.pipeline(transaction=False) as pipe:
            for customer_id, customer in touched.items():
                pipe.hset(CUSTOMER + customer_id, mapping=customer.hash_fields())
            pipe.incrby(COUNTED, len(purchases))
            await pipe.execute()
        for change in changes:
            message, purchase = events[change.row].message, purchases[change.row]
            body = change_body(
                purchase.customer_id,
                change.previous,
                change.current,
                purchase.occurred_at,
                change.prob_alive,
                (message.partition, message.offset),
            )
            await self._changes.send(key=message.key, value=body)

    async def _read_missing(self, purchases: Sequence[Purchase]) -> None:
        missing = {p.customer_id for p in purchases} - self._customers.keys()
        if not missing:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for customer_id in missing:
                pipe.hmget(CUSTOMER + customer_id, FIELDS)
            for customer_id, fields in zip(missing, await pipe.execute(), strict=True):
                if (customer := Customer.of(fields)) is not None:
                    self._customers[customer_id] = customer


def build_app(task: Task) -> faust.App:
    """The app: one agent."""
    app = faust.App(
        task.group,
        broker=f"kafka://{task.kafka}",
        datadir=task.folder,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        value_serializer="raw",
        key_serializer="raw",
        broker_max_poll_records=BATCH_RECORDS_MAX,
    )
    transactions = app.topic(task.topic, value_type=bytes, value_serializer="raw")
    changes = app.topic(task.changes_topic, value_type=bytes, value_serializer="raw")

    @app.agent(transactions)
    async def count(stream: Any) -> None:
        counter = Counter(task, changes)
        async for events in stream.take_events(BATCH_RECORDS_MAX, within=BATCH_SECONDS_MAX):
            await counter.count(events)

    return app


def main() -> None:
    """Run until SIGTERM."""
    task = read_task()
    sys.argv[1:] = ["worker", "--loglevel", "warn", "--without-web"]
    build_app(task).main()


if __name__ == "__main__":
    main()
