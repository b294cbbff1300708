"""The broker of a benchmark, real or in memory, as a process whose CPU seconds can be told apart.

Owns its life, its topics and writing the job into it. Redis is no part of it: every run has its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

from confluent_kafka import KafkaException, Producer

from ops.bench.contenders import REPOSITORY
from ops.bench.job import PARTITIONS, Job
from ops.stack.at_hand import StackKind
from ops.stack.java import kafka_version
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import Topic
from schemas.errors import BrokerUnavailableError, ConfigurationError

# The in-memory broker keeps 5 MB of a partition; a record takes some bytes beside its key and value.
_EMBEDDED_BYTES_MAX = 5 * 1024 * 1024
_RECORD_OVERHEAD_BYTES = 16
# With so many partitions it keeps all changes of a job that fits into it.
_EMBEDDED_CHANGES_PARTITIONS = 64
_END_SECONDS_MAX = 10.0
_FLUSH_SECONDS_MAX = 120.0


class Broker(Protocol):
    """A broker that runs."""

    kind: StackKind
    described: str

    @property
    def address(self) -> str:
        """`host:port`."""

    @property
    def pid(self) -> int:
        """Of its process."""

    def create(self, topics: Iterable[Topic]) -> None:
        """Create topics."""


class LocalBroker:
    """A real Apache Kafka; the Redis that comes with it stays idle."""

    kind = StackKind.LOCAL

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self.described = f"Apache Kafka {kafka_version()}"

    @property
    def address(self) -> str:
        """`host:port`."""
        return self._stack.kafka

    @property
    def pid(self) -> int:
        """Of the JVM."""
        pid = self._stack.status()[0].pid
        if pid is None:
            raise BrokerUnavailableError("The benchmark's Kafka has ended.")
        return pid

    def create(self, topics: Iterable[Topic]) -> None:
        """Create topics with their settings."""
        self._stack.create_topics(topics)


class EmbeddedBroker:
    """librdkafka's in-memory broker in a child process."""

    kind = StackKind.EMBEDDED
    described = "librdkafka's in-memory broker"

    def __init__(self, pid: int, ask: IO[str], answers: IO[str]) -> None:
        self._pid = pid
        self._ask, self._answers = ask, answers
        self._address = self._answer()

    @property
    def address(self) -> str:
        """`host:port`."""
        return self._address

    @property
    def pid(self) -> int:
        """Of the process that serves it."""
        return self._pid

    def create(self, topics: Iterable[Topic]) -> None:
        """Create topics; it knows no settings."""
        for topic in topics:
            self._ask.write(json.dumps((topic.name, topic.partitions)) + "\n")
            self._ask.flush()
            self._answer()

    def _answer(self) -> str:
        said = self._answers.readline().strip()
        if not said:
            raise BrokerUnavailableError("The in-memory broker has ended.")
        return said


def changes_partitions(kind: StackKind) -> int:
    """Partitions of a topic of changes, such that all of a job's are kept."""
    return _EMBEDDED_CHANGES_PARTITIONS if kind is StackKind.EMBEDDED else PARTITIONS


def refuse_what_does_not_fit(kind: StackKind, job: Job) -> None:
    """Say so before a broker forgets a job's beginning.

    Raises
    ------
    ConfigurationError
        The job is larger than what the in-memory broker keeps.
    """
    if kind is not StackKind.EMBEDDED:
        return
    records = max(len(rows) for rows in job.rows_by_partition)
    size = job.bytes_of_largest_partition + records * _RECORD_OVERHEAD_BYTES
    if size > _EMBEDDED_BYTES_MAX:
        raise ConfigurationError(
            f"{len(job):,} purchases take {size / 2**20:.1f} MB of a partition, and the in-memory broker "
            "keeps 5.",
            hint="Use fewer --copies, or --stack local.",
        )


@contextmanager
def running_broker(kind: StackKind, machine: StackSettings) -> Iterator[Broker]:
    """A broker of the benchmark's own, gone afterwards.

    Raises
    ------
    ConfigurationError
        It cannot be had here, or containers were asked for.
    """
    if kind is StackKind.LOCAL:
        with LocalStack(machine=machine) as stack:
            yield LocalBroker(stack)
        return
    if kind is not StackKind.EMBEDDED:
        raise ConfigurationError(
            f"--stack {kind}: CPU seconds in containers are not the benchmark's to count.",
            hint="Use --stack local or --stack embedded.",
        )
    with subprocess.Popen(
        [sys.executable, "-m", "ops.bench.embedded_broker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        try:
            if process.stdin is not None and process.stdout is not None:  # pipes, as asked for
                yield EmbeddedBroker(process.pid, process.stdin, process.stdout)
        finally:
            process.communicate(timeout=_END_SECONDS_MAX)


def write_job(broker: Broker, topic: str, job: Job) -> None:
    """Create a topic and write a job to it, every purchase at its partition and offset.

    Raises
    ------
    BrokerUnavailableError
        The broker did not take all of it.
    """
    broker.create([Topic(topic, PARTITIONS)])
    append_job(broker, topic, job, 0)


def append_job(broker: Broker, topic: str, job: Job, start: int) -> None:
    """Write a job from a row on to a topic that holds what comes before.

    Raises
    ------
    BrokerUnavailableError
        See `write_job`.
    """
    producer = job_producer(broker.address, linger_ms=50)
    failures: list[object] = []

    def told(error: object, _message: object) -> None:
        if error is not None:
            failures.append(error)

    places = job.partitions[start:].tolist()
    rows = zip(job.keys[start:], job.values[start:], places, strict=True)
    for key, value, partition in rows:
        produce(producer, topic, key, value, partition, told)
    left = producer.flush(_FLUSH_SECONDS_MAX)
    if left or failures:
        raise BrokerUnavailableError(
            f"The broker has not taken {left + len(failures)} purchases: {failures[:1]}."
        )


def job_producer(address: str, *, linger_ms: float) -> Producer:
    """A producer for jobs: idempotent, so that order and offsets are as the job says."""
    return Producer(
        {
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )


def produce(
    producer: Producer, topic: str, key: bytes, value: bytes, partition: int, told: Any = None
) -> None:
    """Hand one record to the producer, waiting for room."""
    while True:
        try:
            producer.produce(topic, value, key, partition, on_delivery=told)
        except BufferError:
            producer.poll(0.1)
        except KafkaException as error:
            raise BrokerUnavailableError(f"The broker does not take purchases: {error}.") from None
        else:
            return
