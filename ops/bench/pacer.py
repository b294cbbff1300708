"""Purchases at a steady rate, from a process of their own, and when each was produced.

`python -m ops.bench.pacer '<Pace as JSON>'`. Times are the monotonic clock's, which on Linux all
processes of a machine share.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Producer

from ops.bench.servers import job_producer, produce

_TICK_SECONDS = 0.001
_FLUSH_SECONDS_MAX = 60.0


class Records(msgspec.Struct, frozen=True):
    """Part of a job, row by row."""

    keys: list[bytes]
    values: list[bytes]
    partitions: list[int]


class Pace(msgspec.Struct, frozen=True):
    """What to send.

    Attributes
    ----------
    topic : str
        There already.
    records : str
        File of the `Records`, MessagePack.
    rate : float
        Per second.
    times : str
        File for the times: nanoseconds, int64, one per record.
    """

    kafka: str
    topic: str
    records: str
    rate: float
    linger_ms: float
    times: str


def send(pace: Pace, records: Records, producer: Producer) -> np.ndarray:
    """Send the records when they are due; what is late is sent at once."""
    count = len(records.values)
    times = np.zeros(count, dtype=np.int64)
    rows = list(zip(records.keys, records.values, records.partitions, strict=True))
    began = time.monotonic()
    sent = 0
    while sent < count:
        due = min(count, int((time.monotonic() - began) * pace.rate) + 1)
        for row in range(sent, due):
            times[row] = time.monotonic_ns()
            produce(producer, pace.topic, *rows[row])
        sent = due
        producer.poll(0)
        time.sleep(_TICK_SECONDS)
    return times


def main() -> None:
    """Say when ready, wait for the word to begin, send."""
    pace = msgspec.json.decode(sys.argv[1], type=Pace)
    records = msgspec.msgpack.decode(Path(pace.records).read_bytes(), type=Records)
    producer = job_producer(pace.kafka, linger_ms=pace.linger_ms)
    producer.list_topics(pace.topic, _FLUSH_SECONDS_MAX)  # connected before the clock runs
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    times = send(pace, records, producer)
    left = producer.flush(_FLUSH_SECONDS_MAX)
    if left:
        raise SystemExit(f"the broker has not taken {left} purchases")
    np.save(Path(pace.times), times)


if __name__ == "__main__":
    main()
