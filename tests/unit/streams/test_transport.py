"""The batch transport's account of partitions, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import faust
import pytest
from aiokafka.errors import UnsupportedCodecError
from faust.types import TP, Message
from mode import Service

from schemas.errors import ConfigurationError
from streams.batch_consumer import BatchConsumer
from streams.consumer_thread import Read
from streams.record_batches import OffsetsLostError, RecordBatch, RecordBatchSchema, message_of
from streams.transport import Transport, batch_topic, batch_transport

HERE, THERE = TP("transactions", 0), TP("transactions", 1)


class Record(NamedTuple):
    offset: int
    timestamp: int = 1_700_000_000_000
    timestamp_type: int = 0


class SizedRecord(NamedTuple):
    offset: int
    value: bytes | None
    key: bytes | None = None


def records(first: int, past_last: int) -> list[Record]:
    return [Record(offset) for offset in range(first, past_last)]


class FakeThread(Service):
    """Stands for the consumer thread: a log of 100 records from offset 10 on."""

    def __init__(self) -> None:
        super().__init__()
        self.seeks: list[tuple[dict[TP, int], int]] = []
        self.counted: int | None = None

    def assignment(self) -> set[TP]:
        return {HERE, THERE}

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 10)

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 110)

    async def committed(self, tps: Set[TP]) -> dict[TP, int | None]:
        return dict.fromkeys(tps, self.counted)

    async def seek_epoch(self, offsets: Mapping[TP, int], epoch: int) -> None:
        self.seeks.append((dict(offsets), epoch))


@pytest.fixture
def app(tmp_path: Any) -> faust.App:
    app = faust.App("unit", broker="batch://127.0.0.1:1", datadir=tmp_path, web_enabled=False)
    app.consumer_generation_id = 7
    return app


@pytest.fixture
async def consumer(app: faust.App, monkeypatch: pytest.MonkeyPatch) -> BatchConsumer:
    monkeypatch.setattr(BatchConsumer, "_new_consumer_thread", lambda _: FakeThread())
    delivered: list[Message] = []

    async def callback(message: Message) -> None:
        message.incref()
        delivered.append(message)

    async def nothing(*_: Any) -> None: ...

    async def positions(assigned: Set[TP]) -> Mapping[TP, int]:
        return {HERE: 20}

    batch_transport(app).positions = positions
    consumer = BatchConsumer(
        app.transport,
        callback=callback,
        on_partitions_revoked=nothing,
        on_partitions_assigned=nothing,
    )
    consumer.delivered = delivered  # type: ignore[attr-defined]
    await consumer.seek_to_committed()
    return consumer


async def deliver(consumer: BatchConsumer, tp: TP, first: int, past_last: int) -> Message:
    epoch = consumer._partitions[tp].epoch
    await consumer._deliver(tp, Read(epoch, records(first, past_last), past_last, 110))
    return consumer.delivered[-1]  # type: ignore[attr-defined,no-any-return]


def test_named_partition_resumes_where_the_hook_says_and_others_at_the_earliest(
    consumer: BatchConsumer,
) -> None:
    thread: Any = consumer._thread
    assert thread.seeks == [({HERE: 20, THERE: 10}, 1)]


@pytest.mark.parametrize("offset", [9, 111])
async def test_position_outside_the_log_is_refused(consumer: BatchConsumer, offset: int) -> None:
    async def positions(assigned: Set[TP]) -> Mapping[TP, int]:
        return {THERE: offset}

    batch_transport(consumer.app).positions = positions
    with pytest.raises(OffsetsLostError, match=f"must resume at offset {offset}"):
        await consumer.seek_to_committed()


async def never_counted(assigned: Set[TP]) -> Mapping[TP, int]:
    return dict.fromkeys(assigned, 0)


async def test_new_installation_on_a_trimmed_log_starts_at_its_first_record(
    consumer: BatchConsumer,
) -> None:
    batch_transport(consumer.app).positions = never_counted
    assert await consumer.seek_to_committed() == {HERE: 10, THERE: 10}


async def test_store_that_forgot_what_a_trimmed_log_no_longer_holds_stops_the_worker(
    consumer: BatchConsumer,
) -> None:
    batch_transport(consumer.app).positions = never_counted
    thread: Any = consumer._thread
    thread.counted = 60
    with pytest.raises(OffsetsLostError, match=r"counted to offset 60 before.*log begins at 10"):
        await consumer.seek_to_committed()


async def test_missing_hook_is_refused(consumer: BatchConsumer) -> None:
    batch_transport(consumer.app).positions = None
    with pytest.raises(ConfigurationError):
        await consumer.seek_to_committed()


async def test_batch_is_one_message_at_its_last_offset(consumer: BatchConsumer) -> None:
    message = await deliver(consumer, HERE, 20, 25)
    batch = message.value
    assert isinstance(batch, RecordBatch)
    assert (batch.first_offset, batch.next_offset, len(batch.records)) == (20, 25, 5)
    assert (message.offset, message.tp, message.generation_id) == (24, HERE, 7)


async def test_unacknowledged_batch_holds_back_all_later_offsets(consumer: BatchConsumer) -> None:
    first = await deliver(consumer, HERE, 20, 25)
    second = await deliver(consumer, HERE, 25, 30)
    assert second.ack(consumer)
    assert consumer._new_offset(HERE) is None
    assert first.ack(consumer)
    assert consumer._new_offset(HERE) == 30


async def test_second_acknowledgement_changes_nothing(consumer: BatchConsumer) -> None:
    message = await deliver(consumer, HERE, 20, 25)
    assert consumer.ack(message)
    assert not consumer.ack(message)
    assert consumer._new_offset(HERE) == 25


async def test_acknowledgement_by_the_stream_itself_counts_too(consumer: BatchConsumer) -> None:
    message = await deliver(consumer, HERE, 20, 25)
    message.acked = True  # what Faust's compiled stream does, besides writing to _acked
    consumer._acked[HERE].append(24)
    assert set(consumer._filter_tps_with_pending_acks()) == {HERE, THERE}
    assert consumer._new_offset(HERE) == 25
    assert not consumer._acked


async def test_batch_disowned_by_a_seek_is_skipped_and_its_acknowledgement_ignored(
    consumer: BatchConsumer,
) -> None:
    message = await deliver(consumer, HERE, 20, 25)
    await consumer.seek_partition(HERE, 15)
    assert message.generation_id != consumer.app.consumer_generation_id
    assert not consumer.ack(message)
    assert consumer._new_offset(HERE) is None
    again = await deliver(consumer, HERE, 15, 30)
    assert again.value.first_offset == 15  # type: ignore[union-attr]


async def test_records_read_before_a_seek_are_dropped(consumer: BatchConsumer) -> None:
    old = consumer._partitions[HERE].epoch
    await consumer.seek_partition(HERE, 50)
    await consumer._deliver(HERE, Read(old, records(20, 25), 25, 110))
    assert consumer.delivered == []  # type: ignore[attr-defined]


async def test_seek_of_a_partition_we_do_not_own_does_nothing(consumer: BatchConsumer) -> None:
    await consumer.seek_partition(TP("transactions", 9), 0)
    thread: Any = consumer._thread
    assert len(thread.seeks) == 1


async def test_revoked_partition_is_forgotten(consumer: BatchConsumer) -> None:
    message = await deliver(consumer, HERE, 20, 25)
    await consumer.on_partitions_revoked({HERE})
    assert consumer.lag(HERE) is None
    assert not consumer.caught_up(HERE)
    assert not consumer.ack(message)
    assert consumer.lag(THERE) == 100


class ReadingThread(FakeThread):
    """Counts what is asked of it; there is nothing to read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, tps: Set[TP], seconds: float) -> dict[TP, Read]:
        self.reads += 1
        return {}


@pytest.fixture
def reading(consumer: BatchConsumer) -> ReadingThread:
    thread = ReadingThread()
    consumer._thread = thread  # type: ignore[assignment]
    consumer.transport.read_records_max = 10
    consumer.resume_flow()
    consumer._active_partitions = {HERE, THERE}
    return thread


async def reads_on(consumer: BatchConsumer) -> asyncio.Task[None]:
    reading = asyncio.create_task(consumer._read_and_deliver())
    for _ in range(10):
        await asyncio.sleep(0)
    return reading


async def test_backlog_is_read_ahead_by_four_reads_of_records(
    consumer: BatchConsumer, reading: ReadingThread
) -> None:
    message = await deliver(consumer, HERE, 20, 40)
    await deliver(consumer, THERE, 10, 29)
    await consumer._read_and_deliver()
    assert reading.reads == 1  # 39 records wait
    await deliver(consumer, THERE, 29, 39)
    waits = await reads_on(consumer)
    assert reading.reads == 1
    consumer.ack(message)
    await waits
    assert reading.reads == 2


async def test_what_comes_while_small_batches_wait_is_read_when_the_last_is_done_with(
    consumer: BatchConsumer, reading: ReadingThread
) -> None:
    here = await deliver(consumer, HERE, 20, 21)
    there = await deliver(consumer, THERE, 10, 19)
    waits = await reads_on(consumer)
    consumer.ack(there)
    for _ in range(10):
        await asyncio.sleep(0)
    assert reading.reads == 0
    consumer.ack(here)
    await waits
    assert reading.reads == 1


async def test_batch_of_a_partition_that_stands_aside_holds_up_no_other(
    consumer: BatchConsumer, reading: ReadingThread
) -> None:
    await deliver(consumer, HERE, 20, 21)
    consumer._active_partitions = {THERE}  # paused
    await (await reads_on(consumer))
    assert reading.reads == 1


async def test_seek_ends_the_wait_for_a_batch_that_it_disowns(
    consumer: BatchConsumer, reading: ReadingThread
) -> None:
    await deliver(consumer, HERE, 20, 21)
    waits = await reads_on(consumer)
    assert reading.reads == 0
    await consumer.seek_partition(HERE, 20)
    await waits
    assert reading.reads == 1


async def test_batch_that_nobody_ends_holds_reading_up_for_a_moment_only(
    consumer: BatchConsumer, reading: ReadingThread
) -> None:
    await deliver(consumer, HERE, 20, 21)
    await consumer._read_and_deliver()
    assert reading.reads == 1


async def test_log_that_went_backwards_is_noticed(consumer: BatchConsumer) -> None:
    with pytest.raises(OffsetsLostError, match="went back from 20 to 12"):
        await deliver(consumer, HERE, 12, 15)


async def test_lag_counts_from_the_first_unacknowledged_offset(consumer: BatchConsumer) -> None:
    assert consumer.lag(HERE) == 90
    first = await deliver(consumer, HERE, 20, 50)
    last = await deliver(consumer, HERE, 50, 110)
    consumer._partitions[HERE].position = 110
    assert consumer.lag(HERE) == 90
    consumer.ack(first)
    assert (consumer.lag(HERE), consumer.caught_up(HERE)) == (60, False)
    consumer.ack(last)
    assert (consumer.lag(HERE), consumer.caught_up(HERE)) == (0, True)


async def test_schema_hands_the_batch_on_untouched(app: faust.App) -> None:
    batch = RecordBatch("transactions", 0, records(3, 5), 3)
    decode = RecordBatchSchema().compile(app)
    event = await decode(message_of(batch, 7), propagate=True)
    assert event.value is batch
    assert isinstance(batch_topic(app, "transactions").schema, RecordBatchSchema)


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([1] * 7, [3, 3, 1]),
        ([50, 50, 1, 99, 1, 1], [2, 2, 2]),
        ([101, 1, 500, 500, 1], [1, 1, 1, 1, 1]),
        ([101], [1]),
        ([None, None, None, None], [3, 1]),
        ([60, None, 41], [2, 1]),
    ],
)
def test_slices_hold_so_many_records_and_bytes_and_one_record_at_least(
    sizes: list[int | None], runs: list[int]
) -> None:
    found = [
        SizedRecord(offset, None if size is None else b"x" * size)
        for offset, size in enumerate(sizes)
    ]
    slices = list(RecordBatch("transactions", 0, found, 0).slices(3, 100))
    assert [len(part) for part in slices] == runs
    assert [record for part in slices for record in part] == found


def test_long_keys_count_towards_the_size_of_a_slice() -> None:
    found = [SizedRecord(offset, None, b"k" * 60) for offset in range(3)]
    assert [len(part) for part in RecordBatch("t", 0, found, 0).slices(3, 100)] == [1, 1, 1]


async def test_codec_that_is_not_installed_is_named_and_ends_the_reading(
    app: faust.App, consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: Any) -> Any:
        raise UnsupportedCodecError("Libraries for zstd compression codec not found")

    ended: list[BaseException] = []
    monkeypatch.setattr(consumer._thread, "read", read, raising=False)
    batch_transport(app).fail = ended.append
    consumer.resume_flow()
    consumer._active_partitions = {HERE}
    with pytest.raises(ConfigurationError, match=r"zstd.*pip install 'aiokafka\[all\]'"):
        await consumer._drain_messages(Service())
    assert isinstance(ended[0], ConfigurationError)


def test_other_transports_are_refused(tmp_path: Any) -> None:
    stock = faust.App("unit", broker="kafka://127.0.0.1:1", datadir=tmp_path)
    with pytest.raises(ConfigurationError, match="batch://"):
        batch_transport(stock)


def test_several_brokers_share_the_scheme(tmp_path: Any) -> None:
    app = faust.App("unit", broker="batch://one:9092,two:9093", datadir=tmp_path)
    assert isinstance(app.transport, Transport)
    assert [(url.host, url.port) for url in app.transport.url] == [("one", 9092), ("two", 9093)]
