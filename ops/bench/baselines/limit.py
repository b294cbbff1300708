"""Baseline (e), the limit: decode, keep four numbers, one packed MSET per batch; nothing is scored.

What no worker in Python that keeps its state in Redis can go below by much. Writes no change.
"""

from __future__ import annotations

import signal
import socket
from typing import Any

import hiredis
from confluent_kafka import Consumer

from ops.bench.baselines.customers import Customer, split_moment
from ops.bench.baselines.task import (
    COUNTED,
    CUSTOMER,
    FETCHING,
    PACKED,
    Task,
    decode_purchase,
    read_task,
)

BATCH_RECORDS_MAX = 5_000
BATCH_SECONDS_MAX = 0.02
_ANSWER = b"+OK\r\n"


def run(task: Task) -> None:
    """Count until the process ends."""
    redis = socket.create_connection(("127.0.0.1", task.redis_port))
    consumer = Consumer(
        {
            "bootstrap.servers": task.kafka,
            "group.id": task.group,
            "auto.offset.reset": "earliest",
            **FETCHING,
        }
    )
    consumer.subscribe([task.topic])
    customers: dict[str, Customer] = {}
    counted = 0
    while True:
        values: list[Any] = [
            message.value()
            for message in consumer.consume(BATCH_RECORDS_MAX, BATCH_SECONDS_MAX)
            if message.error() is None
        ]
        if not values:
            continue
        touched: dict[str, Customer] = {}
        for value in values:
            purchase = decode_purchase(value)
            customer_id = purchase.customer_id
            day, _ = split_moment(purchase.occurred_at)
            customer = customers.get(customer_id)
            if customer is None:
                customer = customers[customer_id] = Customer(day)
            customer.book(day, purchase.amount)
            touched[customer_id] = customer
        counted += len(values)
        words: list[Any] = ["MSET", COUNTED, counted]
        for customer_id, c in touched.items():
            words.append(CUSTOMER + customer_id)
            words.append(PACKED.pack(c.first_day, c.last_day, c.frequency, c.later_total))
        redis.sendall(hiredis.pack_command(tuple(words)))
        answer = b""
        while len(answer) < len(_ANSWER):
            answer += redis.recv(len(_ANSWER))
        if answer != _ANSWER:
            raise SystemExit(f"Redis answered {answer!r} to MSET")


def main() -> None:
    """Run until SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run(read_task())


if __name__ == "__main__":
    main()
