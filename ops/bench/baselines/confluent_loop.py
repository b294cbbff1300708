"""Baseline (a): a loop by hand over confluent-kafka, numpy and pipelined HSETs.

Keeps all customers it has met in memory, reads the others back from Redis, writes each batch in one
round trip and lets librdkafka commit what was written. At least once: a crash counts some twice.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from redis import Redis

from ops.bench.baselines.customers import FIELDS, Customer, Scorer, advance
from ops.bench.baselines.task import (
    COUNTED,
    CUSTOMER,
    FETCHING,
    Purchase,
    Task,
    change_body,
    decode_purchase,
    read_task,
)

# With 500 the worker's CPU per purchase is 13 % more, with 5,000 the same.
BATCH_RECORDS_MAX = 2_000
# How long a batch waits to be full: half of it is added to the latency at low rates.
BATCH_SECONDS_MAX = 0.01


class Loop:
    """Consumer, producer, Redis and everybody met so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._redis = Redis(host="127.0.0.1", port=task.redis_port)
        self._scorer = Scorer(task.card)
        self._customers: dict[str, Customer] = {}
        self._producer = Producer({"bootstrap.servers": task.kafka, "linger.ms": 1})
        self._consumer = Consumer(
            {
                "bootstrap.servers": task.kafka,
                "group.id": task.group,
                "auto.offset.reset": "earliest",
                "enable.auto.offset.store": False,
                **FETCHING,
            }
        )
        self._consumer.subscribe([task.topic])
        self._stopped = False

    def stop(self, *_: object) -> None:
        """End after the batch at hand."""
        self._stopped = True

    def run(self) -> None:
        """Count until told to stop."""
        while not self._stopped:
            taken = self._consumer.consume(BATCH_RECORDS_MAX, BATCH_SECONDS_MAX)
            self._producer.poll(0)
            if messages := [message for message in taken if message.error() is None]:
                self._count(messages)
        self._producer.flush()
        self._consumer.close()

    def _count(self, messages: Sequence[Any]) -> None:
        purchases = [decode_purchase(message.value()) for message in messages]
        self._read_missing(purchases)
        touched, changes = advance(self._customers, purchases, self._scorer)
        with self._redis.pipeline(transaction=False) as pipe:
            for customer_id, customer in touched.items():
                pipe.hset(CUSTOMER + customer_id, mapping=customer.hash_fields())
            pipe.incrby(COUNTED, len(messages))
            pipe.execute()
        for change in changes:
            message, purchase = messages[change.row], purchases[change.row]
            self._producer.produce(
                self._task.changes_topic,
                change_body(
                    purchase.customer_id,
                    change.previous,
                    change.current,
                    purchase.occurred_at,
                    change.prob_alive,
                    (message.partition(), message.offset()),
                ),
                message.key(),
            )
        last = {message.partition(): message.offset() for message in messages}
        self._consumer.store_offsets(
            offsets=[TopicPartition(self._task.topic, p, at + 1) for p, at in last.items()]
        )

    def _read_missing(self, purchases: Sequence[Purchase]) -> None:
        """Whoever is not in memory may be known from before."""
        missing = {p.customer_id for p in purchases} - self._customers.keys()
        if not missing:
            return
        with self._redis.pipeline(transaction=False) as pipe:
            for customer_id in missing:
                pipe.hmget(CUSTOMER + customer_id, FIELDS)
            for customer_id, fields in zip(missing, pipe.execute(), strict=True):
                if (customer := Customer.of(fields)) is not None:
                    self._customers[customer_id] = customer


def main() -> None:
    """Run until SIGTERM."""
    loop = Loop(read_task())
    signal.signal(signal.SIGTERM, loop.stop)
    loop.run()


if __name__ == "__main__":
    main()
