"""Purchases at a steady rate for an hour, of customers who come again: memory may come to rest.

A customer buys some thirty times within seconds, that is a day or two of stream time, then falls silent
for three months, and comes again. So silence has work to do all the time, while the number of customers
stays, and their ledgers grow by a few hundred bytes an hour. Ever new customers would fill caches that
take hours to be full, and so hide a leak or pass for one.
"""

from __future__ import annotations

import threading
import time
from random import Random

from confluent_kafka import KafkaException, Producer

from ops.oracle.transaction import Transaction
from tests.chaos.transactions import outgoing

_FIRST_DAY = 12_000  # 2002: an hour takes five years
_SECONDS_PER_DAY = 2.0
_DAY_US = 86_400_000_000
_PURCHASES_EACH = 30
_ROUND_SECONDS = 180.0  # until everybody has been there
_ACTIVE_SECONDS = 3.0  # how long one is
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
        self.customers = int(rate * _ROUND_SECONDS / _PURCHASES_EACH)
        self._active = int(rate * _ACTIVE_SECONDS / _PURCHASES_EACH)
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
        some = number // _PURCHASES_EACH + self._random.randrange(self._active)
        days = number / (self._rate * _SECONDS_PER_DAY)
        record = outgoing(
            Transaction(
                transaction_id=f"s{number}",
                customer_id=f"c{some % self.customers}",
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
