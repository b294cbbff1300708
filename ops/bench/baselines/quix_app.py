"""Baseline (c): a Quix Streams application.

Its own state by customer (RocksDB with a changelog topic), its own sink for batches. Sinks are written
at its checkpoints: Redis lags behind the changes by up to the commit interval.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State
from quixstreams.sinks import BatchingSink, SinkBatch
from redis import Redis

from ops.bench.baselines.customers import Customer, Scorer, split_moment
from ops.bench.baselines.task import (
    COUNTED,
    CUSTOMER,
    FETCHING,
    Card,
    Task,
    change_body,
    decode_purchase,
    read_task,
)

# Between two checkpoints, each a flush of producer, RocksDB and sink: 0.1 s costs 7 % more CPU per
# purchase, and with the default of 5 s Redis lags that long.
COMMIT_SECONDS = 1.0

Row = dict[str, Any]


class RedisSink(BatchingSink):
    """Writes each customer once per checkpoint, in one round trip."""

    def __init__(self, redis_port: int) -> None:
        super().__init__()
        self._port = redis_port

    def setup(self) -> None:
        """Connect."""
        self._redis = Redis(host="127.0.0.1", port=self._port)

    def write(self, batch: SinkBatch) -> None:
        """Write a checkpoint's rows of one partition."""
        latest = {item.key: item.value for item in batch}
        with self._redis.pipeline(transaction=False) as pipe:
            for key, row in latest.items():
                pipe.hset(CUSTOMER + key.decode(), mapping=row["fields"])
            pipe.incrby(COUNTED, batch.size)
            pipe.execute()


class Step:
    """State and score of one purchase."""

    def __init__(self, card: Card) -> None:
        self._scorer = Scorer(card)

    def __call__(self, value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> Row:
        """Count it."""
        purchase = decode_purchase(value)
        day, gone = split_moment(purchase.occurred_at)
        known = state.get("customer")
        if known is None:
            customer = Customer(day)
        else:
            customer = Customer(known[0])
            customer.last_day, customer.frequency, customer.later_total = known[1:4]
            customer.segment = known[4]
        customer.book(day, purchase.amount)
        t_x = customer.last_day - customer.first_day
        customer.prob_alive, segment = self._scorer.score(
            customer.frequency, t_x, gone, customer.monetary_value
        )
        previous, customer.segment = customer.segment, segment
        state.set(
            "customer",
            [
                customer.first_day,
                customer.last_day,
                customer.frequency,
                customer.later_total,
                segment,
            ],
        )
        row: Row = {"fields": customer.hash_fields(), "change": None}
        if previous != segment:
            row["change"] = (purchase, previous, segment, customer.prob_alive)
        return row


def _change(row: Row) -> bytes:
    from quixstreams import message_context  # noqa: PLC0415 - set while a message is at hand

    purchase, previous, current, alive = row["change"]
    context = message_context()
    source = (context.partition, context.offset)
    return change_body(purchase.customer_id, previous, current, purchase.occurred_at, alive, source)


def build(task: Task) -> Application:
    """Source → state and score → Redis and Kafka."""
    app = Application(
        broker_address=task.kafka,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        consumer_extra_config=FETCHING,
        producer_extra_config={"linger.ms": 1},
        consumer_poll_timeout=0.05,
        state_dir=task.folder,
        loglevel="WARNING",
    )
    transactions = app.topic(task.topic, value_deserializer="bytes", key_deserializer="bytes")
    changes = app.topic(task.changes_topic, value_serializer="bytes", key_serializer="bytes")
    rows = app.dataframe(transactions).apply(Step(task.card), stateful=True, metadata=True)
    rows.filter(lambda row: row["change"] is not None).apply(_change).to_topic(changes)
    rows.sink(RedisSink(task.redis_port))
    return app


def main() -> None:
    """Run until SIGTERM."""
    build(read_task()).run()


if __name__ == "__main__":
    main()
