"""Purchases at a steady rate for an hour: a population that moves on, so that memory may come to rest.

Each customer buys some thirty times within days and then never again: silence has work to do, ledgers
and remembered ids stop growing, and a worker's cache is soon full of customers of all ages.
"""

from __future__ import annotations

import threading
import time
from random import Random

from confluent_kafka import KafkaException, Producer

from tests.chaos.transactions import Transaction, outgoing

_FIRST_DAY = 12_000  # 2002: an hour at a day in five seconds takes two years
_SECONDS_PER_DAY = 5.0
_DAY_US = 86_400_000_000
_PURCHASES_EACH = 30
_ACTIVE = 4_000  # customers who buy at the same time
_TICK_SECONDS = 0.02


class SteadyFlow:
    """A producer in a thread of its own; librdkafka, so that the machine is left to the workers.

    Parameters
    ----------
    kafka : host:port
    topic : str
    rate : a second
    seed : int
    """

    def __init__(self, kafka: str, topic: str, rate: float, seed: int) -> None:
        self._topic = topic
        self._rate = rate
        self._random = Random(f"{seed}:steady")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady flow")
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 10,
                "message.timeout.ms": 0,
                "queue.buffering.max.messages": 2_000_000,
                "log_level": 0,
            }
        )
        self.sent = 0
        self.failed = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Send no more, and wait until Kafka has all of it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            due = int((time.monotonic() - began) * self._rate)
            while self.sent < due:
                self._send(self.sent)
                self.sent += 1
            self._producer.poll(0)
            time.sleep(_TICK_SECONDS)
        self._producer.flush()

    def _send(self, number: int) -> None:
        oldest = number // _PURCHASES_EACH
        days = number / (self._rate * _SECONDS_PER_DAY)
        record = outgoing(
            Transaction(
                transaction_id=f"s{number}",
                customer_id=f"c{oldest + self._random.randrange(_ACTIVE)}",
                occurred_us=int((_FIRST_DAY + days) * _DAY_US),
                units=self._random.randrange(1, 20_000) * 100,
                is_refund=False,
            )
        )
        while True:
            try:
                self._producer.produce(
                    self._topic, record.value, record.key, on_delivery=self._told
                )
            except BufferError:  # Kafka is away: wait for room
                self._producer.poll(0.5)
            else:
                return

    def _told(self, error: KafkaException | None, _message: object) -> None:
        self.failed += error is not None
