"""Baseline (b): a Bytewax dataflow.

Its own Kafka source and sink, its keyed state, a sink for Redis. Source batches are decoded as wholes;
state and score are by customer, as its keyed operators are. The two sinks know nothing of each
other: a change may leave before Redis has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main
from redis import Redis

from ops.bench.baselines.customers import Customer, HashFields, Scorer, split_moment
from ops.bench.baselines.task import (
    COUNTED,
    CUSTOMER,
    FETCHING,
    Card,
    Purchase,
    Task,
    change_body,
    decode_purchase,
    read_task,
)

BATCH_RECORDS_MAX = 1_000  # Bytewax's own default; 200 and 5,000 cost the same within 10 %


class Read(NamedTuple):
    """A purchase and where it stood."""

    purchase: Purchase
    partition: int
    offset: int


class Scored(NamedTuple):
    """What a customer's hash must hold now, and the change if there was one."""

    fields: HashFields
    change: bytes | None


class CustomerLogic(StatefulBatchLogic[Read, Scored, Customer]):
    """One customer."""

    def __init__(self, state: Customer | None, scorer: Scorer) -> None:
        self._customer = state
        self._scorer = scorer

    def on_batch(self, values: list[Read]) -> tuple[Iterable[Scored], bool]:
        """Count purchases, score after each."""
        return [self._count(value) for value in values], StatefulBatchLogic.RETAIN

    def _count(self, read: Read) -> Scored:
        purchase = read.purchase
        day, gone = split_moment(purchase.occurred_at)
        customer = self._customer
        if customer is None:
            customer = self._customer = Customer(day)
        customer.book(day, purchase.amount)
        t_x = customer.last_day - customer.first_day
        customer.prob_alive, segment = self._scorer.score(
            customer.frequency, t_x, gone, customer.monetary_value
        )
        change = None
        if segment != customer.segment:
            change = change_body(
                purchase.customer_id,
                customer.segment,
                segment,
                purchase.occurred_at,
                customer.prob_alive,
                (read.partition, read.offset),
            )
            customer.segment = segment
        return Scored(customer.hash_fields(), change)

    def snapshot(self) -> Customer | None:
        """What recovery would keep."""
        return self._customer


class _RedisPartition(StatelessSinkPartition[tuple[str, Scored]]):
    def __init__(self, redis_port: int) -> None:
        self._redis = Redis(host="127.0.0.1", port=redis_port)

    def write_batch(self, items: list[tuple[str, Scored]]) -> None:
        """Each customer once, in one round trip."""
        latest = dict(items)
        with self._redis.pipeline(transaction=False) as pipe:
            for customer_id, scored in latest.items():
                pipe.hset(CUSTOMER + customer_id, mapping=scored.fields)
            pipe.incrby(COUNTED, len(items))
            pipe.execute()


class RedisSink(DynamicSink[tuple[str, Scored]]):
    """Writes customers' hashes."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _RedisPartition:
        """One connection per worker."""
        return _RedisPartition(self._redis_port)


def _decoded(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, Read]]:
    found = []
    for message in messages:
        purchase = decode_purchase(message.value)
        found.append((purchase.customer_id, Read(purchase, message.partition, message.offset)))
    return found


def _changes(items: list[tuple[str, Scored]]) -> list[KafkaSinkMessage[bytes, bytes]]:
    return [
        KafkaSinkMessage(customer_id.encode(), scored.change)
        for customer_id, scored in items
        if scored.change is not None
    ]


def _logic(card: Card) -> Any:
    scorer = Scorer(card)
    return lambda state: CustomerLogic(state, scorer)


def build_flow(task: Task) -> Dataflow:
    """Source → decode → by customer: state and score → Redis and Kafka."""
    flow = Dataflow("segments")
    source = kop.input(
        "transactions",
        flow,
        brokers=[task.kafka],
        topics=[task.topic],
        add_config={name: str(value) for name, value in FETCHING.items()},
        batch_size=BATCH_RECORDS_MAX,
    )
    read: KeyedStream[Read] = op.flat_map_batch("decode", source.oks, _decoded)
    scored = op.stateful_batch("score", read, _logic(task.card))
    op.output("redis", scored, RedisSink(task.redis_port))
    changes = op.flat_map_batch("changes", scored, _changes)
    kop.output(
        "segment-changes",
        changes,
        brokers=[task.kafka],
        topic=task.changes_topic,
        add_config={"linger.ms": "1"},
    )
    return flow


def main() -> None:
    """Run until SIGTERM."""
    cli_main(build_flow(read_task()))


if __name__ == "__main__":
    main()
