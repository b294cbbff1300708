"""Listens to a topic of changes, from where it ends, and notes when each arrives, from a process of its own.

`python -m ops.bench.listener '<Listening as JSON>'` listens until its standard input ends. It is what
an offer engine would be: a plain consumer that waits for nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Consumer, TopicPartition

_POLL_SECONDS = 0.1
_REQUEST_SECONDS_MAX = 30.0
# The in-memory broker answers an idle fetch only when its time is up.
_FETCH_WAIT_MS = 5


class Listening(msgspec.Struct, frozen=True):
    """Where to listen, and the file for arrivals.

    Attributes
    ----------
    arrivals : str
        int64, shape (n, 3): nanoseconds, partition and offset of the purchase that was the cause.
    """

    kafka: str
    topic: str
    arrivals: str


class _Source(msgspec.Struct, gc=False):
    partition: int
    offset: int


class _Change(msgspec.Struct, gc=False):
    source: _Source
    cause: str = "transaction"


_decode = msgspec.json.Decoder(_Change).decode


def listen(listening: Listening, over: threading.Event) -> list[tuple[int, bytes]]:
    """Take changes as they come; nothing is decoded meanwhile."""
    consumer = Consumer(
        {
            "bootstrap.servers": listening.kafka,
            "group.id": "everscore-bench-listener",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": _FETCH_WAIT_MS,
            "log_level": 0,
        }
    )
    found = consumer.list_topics(listening.topic, _REQUEST_SECONDS_MAX).topics[listening.topic]
    # Where the topic ends now, asked for: OFFSET_END would be looked up when the first changes are there.
    partitions = [TopicPartition(listening.topic, number) for number in found.partitions]
    for partition in partitions:
        _, partition.offset = consumer.get_watermark_offsets(partition, _REQUEST_SECONDS_MAX)
    consumer.assign(partitions)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    taken: list[tuple[int, bytes]] = []
    while not over.is_set():
        message = consumer.poll(_POLL_SECONDS)
        if message is not None and message.error() is None:
            taken.append((time.monotonic_ns(), message.value() or b""))
    consumer.close()
    return taken


def caused_by_purchases(taken: list[tuple[int, bytes]]) -> np.ndarray:
    """Arrivals of the changes that purchases caused; what silence caused nobody produced."""
    found = [
        (at, change.source.partition, change.source.offset)
        for at, body in taken
        for change in [_decode(body)]
        if change.cause == "transaction"
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def main() -> None:
    """Listen until the standard input ends."""
    listening = msgspec.json.decode(sys.argv[1], type=Listening)
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    np.save(Path(listening.arrivals), caused_by_purchases(listen(listening, over)))


if __name__ == "__main__":
    main()
