"""The batch transport under real worker processes: order, acknowledgement, seeks, rebalances."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from ops.demo import child_environment
from ops.stack.topics import Topic
from tests.support.services import Services

pytestmark = pytest.mark.integration
START_SECONDS_MAX = 30.0
_RECORD_BYTES_MAX = 4_000_000


class Worker:
    """A worker process and its journal."""

    def __init__(self, log: Log, directory: Path, **options: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.journal_path = directory / "journal.jsonl"
        self.log_path = directory / "worker.log"
        words = {
            "in_memory": not log.services.real,
            "session_seconds": log.services.session_seconds,
            "prefix": log.prefix,
            "group": log.group,
            "journal": str(self.journal_path),
            "topics": ["a"],
            **options,
        }
        root = str(Path(__file__).parents[2])
        with self.log_path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.journal_worker", json.dumps(words)],
                cwd=directory,
                env=child_environment(log.services.settings()) | {"PYTHONPATH": root},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def journal(self, kind: str | None = "batch") -> list[dict[str, Any]]:
        if not self.journal_path.exists():
            return []
        # The last line may be half written.
        lines = self.journal_path.read_text().split("\n")[:-1]
        return [entry for entry in map(json.loads, lines) if kind in (None, entry["kind"])]

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


class Log:
    """Topics "a" and "b" of two partitions each, and a group, for one test."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.group = services.new_name()
        self.prefix = f"{self.group}."
        large = {"max.message.bytes": str(_RECORD_BYTES_MAX)}
        services.create_topics([Topic(self.prefix + name, 2, large) for name in "ab"])

    def fill(
        self,
        topic: str,
        count: int,
        value: bytes = b"record",
        partitions: Sequence[int] = (0, 1),
    ) -> None:
        """Put `count` records into each of a topic's partitions."""
        producer = Producer(self.services.client(message_max_bytes=_RECORD_BYTES_MAX))
        for number in range(count):
            for partition in partitions:
                producer.produce(
                    self.prefix + topic, key=str(number), value=value, partition=partition
                )
            producer.poll(0)
        assert producer.flush(20) == 0

    def committed(self, topic: str) -> dict[int, int]:
        """Kafka's committed offsets, 0 where there are none."""
        consumer = Consumer(self.services.client(group_id=self.group))
        try:
            asked = [TopicPartition(self.prefix + topic, partition) for partition in (0, 1)]
            return {tp.partition: max(tp.offset, 0) for tp in consumer.committed(asked, timeout=10)}
        finally:
            consumer.close()


@pytest.fixture
def log(services: Services) -> Log:
    return Log(services)


@pytest.fixture
def start(log: Log, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(**options: Any) -> Worker:
        started.append(Worker(log, tmp_path / f"worker-{len(started)}", **options))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


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
    log: Log, start: Callable[..., Worker]
) -> None:
    log.fill("a", 3_000)
    log.fill("b", 1_000)
    worker = start(topics=["a", "b"], records_max=400)
    worker.wait_for_records(8_000)
    worker.wait_for(lambda: log.committed("b") == {0: 1_000, 1: 1_000})
    worker.wait_for(
        lambda: worker.journal("lag")[-1:] != [] and worker.journal("lag")[-1]["lag"] == 0
    )
    assert worker.terminate() == 0, worker.log()
    batches = worker.journal()
    assert {joined(spans(batches, "a", partition)) for partition in (0, 1)} == {(0, 3_000)}
    assert {joined(spans(batches, "b", partition)) for partition in (0, 1)} == {(0, 1_000)}
    assert max(entry["count"] for entry in batches) == 400
    assert log.committed("a") == {0: 3_000, 1: 3_000}


def test_batch_that_raises_stops_the_worker_and_is_not_committed(
    log: Log, start: Callable[..., Worker]
) -> None:
    log.fill("a", 3_000)
    worker = start(records_max=250, raise_at=6)
    assert worker.process.wait(START_SECONDS_MAX) != 0
    batches = worker.journal()
    assert len(batches) == 6, "nothing is processed after the failure"
    assert "the sixth batch" in worker.log()
    failed = batches[-1]
    assert log.committed("a")[failed["partition"]] == failed["first"]


def test_batch_stuck_at_sigterm_is_not_committed(log: Log, start: Callable[..., Worker]) -> None:
    log.fill("a", 1_000)
    worker = start(records_max=100, stall_at=4, stall_seconds=60, finish_seconds_max=1.0)
    worker.wait_for(lambda: len(worker.journal()) == 4)
    started = time.monotonic()
    assert worker.terminate() == 0, worker.log()
    assert time.monotonic() - started < 10
    stuck = worker.journal()[-1]
    assert log.committed("a")[stuck["partition"]] == stuck["first"]


def test_batch_that_finishes_after_sigterm_is_committed_and_is_the_last(
    log: Log, start: Callable[..., Worker]
) -> None:
    log.fill("a", 1_000)
    worker = start(records_max=100, stall_at=4, stall_seconds=0.5)
    worker.wait_for(lambda: len(worker.journal()) == 4)
    assert worker.terminate() == 0, worker.log()
    assert len(worker.journal()) == 4
    last = worker.journal()[-1]
    assert log.committed("a")[last["partition"]] == last["next"]


def test_positions_hook_decides_and_kafkas_committed_offset_does_not(
    log: Log, start: Callable[..., Worker]
) -> None:
    log.fill("a", 1_000)
    first = start()
    first.wait_for_records(2_000)
    assert first.terminate() == 0, first.log()
    assert log.committed("a") == {0: 1_000, 1: 1_000}

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
    log: Log, start: Callable[..., Worker], options: dict[str, Any], complaint: str
) -> None:
    log.fill("a", 10)
    worker = start(**options)
    assert worker.process.wait(START_SECONDS_MAX) != 0
    assert worker.journal() == []
    assert complaint in worker.log()


def test_seek_partition_reads_again_and_drops_what_was_queued(
    log: Log, start: Callable[..., Worker]
) -> None:
    log.fill("a", 2_000)
    worker = start(records_max=100, seek_at=9, seek_to=30)
    worker.wait_for(lambda: all(value == 2_000 for value in log.committed("a").values()))
    assert worker.terminate() == 0, worker.log()
    batches = worker.journal()
    sought = batches[8]
    before = spans(batches[:8], "a", sought["partition"])
    after = spans(batches[9:], "a", sought["partition"])
    assert not before or joined(before)[1] == sought["first"]
    assert joined(after) == (30, 2_000)
    assert joined(spans(batches, "a", 1 - sought["partition"])) == (0, 2_000)


def test_record_larger_than_the_fetch_size_does_not_stall_the_partition(
    log: Log, start: Callable[..., Worker]
) -> None:
    log.fill("a", 3, value=bytes(1_500_000))
    worker = start(fetch_bytes_max=65_536)
    worker.wait_for_records(6)
    assert worker.terminate() == 0, worker.log()
    assert joined(spans(worker.journal(), "a", 0)) == (0, 3)


def test_nothing_is_left_to_read_of_a_log_that_ends_in_an_aborted_transaction(
    log: Log, start: Callable[..., Worker]
) -> None:
    log.services.needs_real_kafka("gives records of transactions a wrong checksum")
    log.fill("a", 10)
    producer = Producer(log.services.client(transactional_id=log.group))
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in (0, 1):
        producer.produce(f"{log.prefix}a", b"never happened", partition=partition)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)
    worker = start()
    worker.wait_for(lambda: worker.journal("lag")[-1:] == [{"kind": "lag", "lag": 0}])
    assert sum(entry["count"] for entry in worker.journal()) == 20
    log.fill("a", 1)
    worker.wait_for_records(22)
    assert worker.terminate() == 0, worker.log()
    assert spans(worker.journal(), "a", 0)[-1] == (12, 13)
    assert log.committed("a") == {0: 13, 1: 13}


def test_slow_agent_bounds_what_is_buffered(log: Log, start: Callable[..., Worker]) -> None:
    log.fill("a", 4_000)
    worker = start(records_max=20, stall_seconds=0.005)
    worker.wait_for_records(8_000)
    assert worker.terminate() == 0, worker.log()
    assert joined(spans(worker.journal(), "a", 0)) == (0, 4_000)
    # four reads, each of one or both partitions, and what came with the last of them
    assert 2 <= max(entry["pending"] for entry in worker.journal()) <= 4 + 2


def test_worker_ends_at_sigterm_although_the_broker_is_gone(
    log: Log, start: Callable[..., Worker]
) -> None:
    log.fill("a", 10)
    worker = start()
    worker.wait_for_records(20)
    with log.services.without_kafka():
        started = time.monotonic()
        assert worker.terminate() == 0, worker.log()
        assert time.monotonic() - started < 15


def test_rebalance_hands_partitions_over_without_loss(
    log: Log, start: Callable[..., Worker], tmp_path: Path
) -> None:
    log.fill("a", 3_000)
    log.fill("b", 3_000)
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


def test_batch_at_work_is_finished_and_committed_before_its_partition_is_given_up(
    log: Log, start: Callable[..., Worker]
) -> None:
    """Both resume at Kafka's committed offsets: what was not committed in time is read twice."""
    log.services.needs_real_kafka("takes no commits while a group rebalances")
    log.fill("a", 200, partitions=(0,))
    shared = {"resume_committed": True, "records_max": 20, "stall_seconds": 0.7}
    # Kafka begins a member's id with this, and shares out in the order of ids.
    first = start(client_id="z", **shared)
    first.wait_for(lambda: len(first.journal()) == 2)
    second = start(client_id="a", **shared)
    second.wait_for(lambda: log.committed("a")[0] == 200)
    for worker in (first, second):
        assert worker.terminate() == 0, worker.log()

    entries = [entry for entry in first.journal(None) if entry["kind"] != "lag"]
    giving_up = next(
        number
        for number, entry in enumerate(entries)
        if entry["kind"] == "revoking" and entry["partitions"]
    )
    at_work, _, finished, gone = entries[giving_up - 1 : giving_up + 3]
    assert [entry["kind"] for entry in (at_work, finished, gone)] == ["batch", "done", "revoked"]
    assert at_work["next"] == finished["next"]
    assert second.journal("resumed")[0] == {"kind": "resumed", "a-0": finished["next"]}
    assert joined(spans(first.journal(), "a", 0)) == (0, finished["next"])
    assert joined(spans(second.journal(), "a", 0)) == (finished["next"], 200)
