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

from ops.bench.job import Job, make_job
from ops.bench.servers import job_producer, produce

_TICK_SECONDS = 0.001
_FLUSH_SECONDS_MAX = 60.0


class Pace(msgspec.Struct, frozen=True):
    """What to send.

    Attributes
    ----------
    topic : str
        There already, and empty but for the purchases before `start`.
    start, end : int
        Rows of the job to send; the ones before `start` are in the topic.
    rate : float
        Per second.
    times : str
        File for the times: nanoseconds, int64, one per row sent.
    """

    kafka: str
    topic: str
    copies: int
    start: int
    end: int
    rate: float
    linger_ms: float
    times: str


def send(pace: Pace, job: Job, producer: Producer) -> np.ndarray:
    """Send the rows when they are due; what is late is sent at once."""
    times = np.zeros(pace.end - pace.start, dtype=np.int64)
    partitions = job.partitions.tolist()
    began = time.monotonic()
    sent = pace.start
    while sent < pace.end:
        due = min(pace.end, pace.start + int((time.monotonic() - began) * pace.rate) + 1)
        for row in range(sent, due):
            times[row - pace.start] = time.monotonic_ns()
            produce(producer, pace.topic, job.keys[row], job.values[row], partitions[row])
        sent = due
        producer.poll(0)
        time.sleep(_TICK_SECONDS)
    return times


def main() -> None:
    """Say when ready, wait for the word to begin, send."""
    pace = msgspec.json.decode(sys.argv[1], type=Pace)
    job = make_job(pace.copies, pace.end)
    producer = job_producer(pace.kafka, linger_ms=pace.linger_ms)
    producer.list_topics(pace.topic, _FLUSH_SECONDS_MAX)  # connected before the clock runs
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    times = send(pace, job, producer)
    left = producer.flush(_FLUSH_SECONDS_MAX)
    if left:
        raise SystemExit(f"the broker has not taken {left} purchases")
    np.save(Path(pace.times), times)


if __name__ == "__main__":
    main()
