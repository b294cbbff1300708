"""The batch transport under real worker processes: order, acknowledgement, seeks, rebalances.

Run as a program, this file is the worker: one agent that appends what it sees to a journal.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Set
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from ops.embedded.kafka_broker import EmbeddedKafka

pytestmark = pytest.mark.integration
GROUP = "journal-keepers"
START_SECONDS_MAX = 30.0


class Worker:
    """A worker process and its journal."""

    def __init__(self, broker: str, directory: Path, **options: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.journal_path = directory / "journal.jsonl"
        self.log_path = directory / "worker.log"
        words = {"broker": broker, "journal": str(self.journal_path), "topics": ["a"], **options}
        root = str(Path(__file__).parents[2])
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, json.dumps(words)],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": root},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def journal(self, kind: str = "batch") -> list[dict[str, Any]]:
        if not self.journal_path.exists():
            return []
        # The last line may be half written.
        lines = self.journal_path.read_text().split("\n")[:-1]
        return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]

    def wait_for(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not met():
            assert self.process.poll() is None or met(), self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def wait_for_records(self, count: int) -> None:
        self.wait_for(lambda: sum(entry["count"] for entry in self.journal()) >= count)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS_MAX)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


@pytest.fixture
def broker() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"a": 2, "b": 2}) as kafka:
        yield kafka


@pytest.fixture
def start(broker: EmbeddedKafka, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(**options: Any) -> Worker:
        started.append(Worker(broker.bootstrap, tmp_path / f"worker-{len(started)}", **options))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


def fill(broker: EmbeddedKafka, topic: str, count: int, value: bytes = b"record") -> None:
    """Put `count` records into each of the topic's two partitions."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "message.max.bytes": 4_000_000, "log_level": 0}
    )
    for number in range(count):
        for partition in (0, 1):
            producer.produce(topic, key=str(number), value=value, partition=partition)
        producer.poll(0)
    assert producer.flush(20) == 0


def committed(broker: EmbeddedKafka, topic: str) -> dict[int, int]:
    """Kafka's committed offsets, 0 where there are none."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP, "log_level": 0})
    try:
        asked = [TopicPartition(topic, partition) for partition in (0, 1)]
        return {tp.partition: max(tp.offset, 0) for tp in consumer.committed(asked, timeout=10)}
    finally:
        consumer.close()


def spans(entries: list[dict[str, Any]], topic: str, partition: int) -> list[tuple[int, int]]:
    return [
        (entry["first"], entry["next"])
        for entry in entries
        if (entry["topic"], entry["partition"]) == (topic, partition)
    ]


def joined(found: list[tuple[int, int]]) -> tuple[int, int]:
    """Start and end of spans that follow one another without gap or overlap."""
    assert found
    for before, after in pairwise(found):
        assert before[1] == after[0]
    return found[0][0], found[-1][1]


def test_every_record_of_two_topics_arrives_once_in_order_and_in_batches(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 3_000)
    fill(broker, "b", 1_000)
    worker = start(topics=["a", "b"], records_max=400)
    worker.wait_for_records(8_000)
    worker.wait_for(lambda: committed(broker, "b") == {0: 1_000, 1: 1_000})
    worker.wait_for(
        lambda: worker.journal("lag")[-1:] != [] and worker.journal("lag")[-1]["lag"] == 0
    )
    assert worker.terminate() == 0, worker.log()
    batches = worker.journal()
    assert {joined(spans(batches, "a", partition)) for partition in (0, 1)} == {(0, 3_000)}
    assert {joined(spans(batches, "b", partition)) for partition in (0, 1)} == {(0, 1_000)}
    assert max(entry["count"] for entry in batches) == 400
    assert committed(broker, "a") == {0: 3_000, 1: 3_000}


def test_batch_that_raises_stops_the_worker_and_is_not_committed(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 3_000)
    worker = start(records_max=250, raise_at=6)
    assert worker.process.wait(START_SECONDS_MAX) != 0
    batches = worker.journal()
    assert len(batches) == 6, "nothing is processed after the failure"
    assert "the sixth batch" in worker.log()
    failed = batches[-1]
    assert committed(broker, "a")[failed["partition"]] == failed["first"]


def test_batch_stuck_at_sigterm_is_not_committed(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 1_000)
    worker = start(records_max=100, stall_at=4, stall_seconds=60, finish_seconds_max=1.0)
    worker.wait_for(lambda: len(worker.journal()) == 4)
    started = time.monotonic()
    assert worker.terminate() == 0, worker.log()
    assert time.monotonic() - started < 10
    stuck = worker.journal()[-1]
    assert committed(broker, "a")[stuck["partition"]] == stuck["first"]


def test_batch_that_finishes_after_sigterm_is_committed_and_is_the_last(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 1_000)
    worker = start(records_max=100, stall_at=4, stall_seconds=0.5)
    worker.wait_for(lambda: len(worker.journal()) == 4)
    assert worker.terminate() == 0, worker.log()
    assert len(worker.journal()) == 4
    last = worker.journal()[-1]
    assert committed(broker, "a")[last["partition"]] == last["next"]


def test_positions_hook_decides_and_kafkas_committed_offset_does_not(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 1_000)
    first = start()
    first.wait_for_records(2_000)
    assert first.terminate() == 0, first.log()
    assert committed(broker, "a") == {0: 1_000, 1: 1_000}

    second = start(positions={"a-0": 640})  # partition 1 is not named: from the earliest record
    second.wait_for_records(1_360)
    assert second.terminate() == 0, second.log()
    assert joined(spans(second.journal(), "a", 0)) == (640, 1_000)
    assert joined(spans(second.journal(), "a", 1)) == (0, 1_000)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"positions_raise": True}, "the store is gone"),
        ({"positions": {"a-0": 11}}, "must resume at offset 11, but the log holds 0 to 10"),
    ],
)
def test_unknown_or_impossible_position_stops_the_worker(
    broker: EmbeddedKafka, start: Callable[..., Worker], options: dict[str, Any], complaint: str
) -> None:
    fill(broker, "a", 10)
    worker = start(**options)
    assert worker.process.wait(START_SECONDS_MAX) != 0
    assert worker.journal() == []
    assert complaint in worker.log()


def test_seek_partition_reads_again_and_drops_what_was_queued(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 2_000)
    worker = start(records_max=100, seek_at=9, seek_to=30)
    worker.wait_for(lambda: all(value == 2_000 for value in committed(broker, "a").values()))
    assert worker.terminate() == 0, worker.log()
    batches = worker.journal()
    sought = batches[8]
    before = spans(batches[:8], "a", sought["partition"])
    after = spans(batches[9:], "a", sought["partition"])
    assert not before or joined(before)[1] == sought["first"]
    assert joined(after) == (30, 2_000)
    assert joined(spans(batches, "a", 1 - sought["partition"])) == (0, 2_000)


def test_record_larger_than_the_fetch_size_does_not_stall_the_partition(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 3, value=bytes(1_500_000))
    worker = start(fetch_bytes_max=65_536)
    worker.wait_for_records(6)
    assert worker.terminate() == 0, worker.log()
    assert joined(spans(worker.journal(), "a", 0)) == (0, 3)


def test_slow_agent_bounds_what_is_buffered(
    broker: EmbeddedKafka, start: Callable[..., Worker]
) -> None:
    fill(broker, "a", 4_000)
    worker = start(records_max=20, stall_seconds=0.005)
    worker.wait_for_records(8_000)
    assert worker.terminate() == 0, worker.log()
    assert joined(spans(worker.journal(), "a", 0)) == (0, 4_000)
    # the queue's 16, one at work, and one of each partition on its way into the queue
    assert 8 <= max(entry["pending"] for entry in worker.journal()) <= 16 + 1 + 2


def test_rebalance_hands_partitions_over_without_loss(
    broker: EmbeddedKafka, start: Callable[..., Worker], tmp_path: Path
) -> None:
    fill(broker, "a", 3_000)
    fill(broker, "b", 3_000)
    shared = {"topics": ["a", "b"], "records_max": 50, "stall_seconds": 0.03}
    progress = tmp_path / "progress"
    progress.mkdir()
    first = start(progress=str(progress), **shared)
    first.wait_for_records(1_000)
    second = start(progress=str(progress), **shared)
    second.wait_for_records(1_000)
    own = {(entry["topic"], entry["partition"]) for entry in second.journal()}
    assert len({partition for _, partition in own}) == 1, "equal partitions share a worker"
    assert second.terminate() == 0, second.log()
    first.wait_for(lambda: [int(path.read_text()) for path in progress.iterdir()] == [3_000] * 4)
    assert first.terminate() == 0, first.log()
    counted = [entry for worker in (first, second) for entry in worker.journal("counted")]
    for topic in ("a", "b"):
        for partition in (0, 1):
            assert joined(sorted(spans(counted, topic, partition))) == (0, 3_000)


def _worker(words: dict[str, Any]) -> None:
    import faust
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from faust.tables.manager import TableManager
    from faust.types import TP

    from streams import consumer_thread
    from streams.transport import BatchConsumer, RecordBatch, batch_topic, batch_transport

    class UnhurriedAssignor(RangePartitionAssignor):  # type: ignore[misc]
        """The in-memory broker refuses a member that asks for its share after the leader did."""

        @classmethod
        def assign(cls, *arguments: Any) -> Any:
            time.sleep(0.1)
            return super().assign(*arguments)

    consumer_thread.RangePartitionAssignor = UnhurriedAssignor

    class NoTables(TableManager):
        async def on_start(self) -> None:  # without the pause in which tables may register
            await self._update_channels()
            await self.recovery.start()

    class ShortWorker(faust.Worker):
        async def _sentinel_task(self) -> None: ...  # Faust's last pause of one second

    app = faust.App(
        GROUP,
        broker=f"batch://{words['broker']}",
        datadir=tempfile.mkdtemp(dir="."),
        web_enabled=False,
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        agent_supervisor="mode.CrashingSupervisor",
        TableManager=NoTables,
        stream_buffer_maxsize=16,
        broker_max_poll_records=words.get("records_max", 500),
        consumer_max_fetch_size=words.get("fetch_bytes_max", 1_048_576),
        broker_commit_interval=0.2,
        # The in-memory broker keeps a rejoining group waiting for a session timeout less a second.
        broker_session_timeout=3.0,
        broker_heartbeat_interval=0.3,
    )
    journal = Path(words["journal"])
    progress = Path(words["progress"]) if "progress" in words else None

    def note(kind: str, **facts: Any) -> None:
        with journal.open("a") as lines:
            lines.write(json.dumps({"kind": kind, **facts}) + "\n")

    def progress_path(tp: TP) -> Path:
        assert progress is not None
        return progress / f"{tp.topic}-{tp.partition}"

    def progress_of(tp: TP) -> int:
        return int(progress_path(tp).read_text()) if progress_path(tp).exists() else 0

    async def positions(assigned: Set[TP]) -> Mapping[TP, int]:
        if words.get("positions_raise"):
            raise ConnectionError("the store is gone")
        if progress is not None:
            return {tp: progress_of(tp) for tp in assigned}
        named = words.get("positions", {})
        return {tp: named[f"{tp[0]}-{tp[1]}"] for tp in assigned if f"{tp[0]}-{tp[1]}" in named}

    transport = batch_transport(app)
    transport.positions = positions
    transport.finish_seconds_max = words.get("finish_seconds_max", 5.0)

    @app.agent(batch_topic(app, *words["topics"]))
    async def keep(stream: Any) -> None:
        number = 0
        async for event in stream.noack().events():
            number += 1
            batch: RecordBatch = event.value
            consumer = app.consumer
            assert isinstance(consumer, BatchConsumer)
            tp = TP(batch.topic, batch.partition)
            facts = {"topic": tp.topic, "partition": tp.partition,
                     "first": batch.first_offset, "next": batch.next_offset}  # fmt: skip
            pending = sum(len(partition.pending) for partition in consumer._partitions.values())
            note("batch", count=len(batch.records), pending=pending, **facts)
            if number == words.get("raise_at"):
                raise RuntimeError("the sixth batch")
            if number == words.get("seek_at"):
                await consumer.seek_partition(tp, words["seek_to"])
                assert not event.ack(), "disowned by the seek"
                continue
            if "stall_seconds" in words and words.get("stall_at", number) == number:
                await asyncio.sleep(words["stall_seconds"])
            if progress is not None and progress_of(tp) == batch.first_offset:
                note("counted", **facts)
                new = progress_path(tp).with_suffix(f".{os.getpid()}")
                new.write_text(str(batch.next_offset))
                new.rename(progress_path(tp))
            event.ack()

    @app.timer(0.1)
    async def lag() -> None:
        consumer = app.consumer
        assert isinstance(consumer, BatchConsumer)
        lags = [consumer.lag(tp) for tp in consumer.assignment()]
        if lags and None not in lags:
            note("lag", lag=sum(lag for lag in lags if lag is not None))

    ShortWorker(app, loglevel="INFO", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    _worker(json.loads(sys.argv[1]))
