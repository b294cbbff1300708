"""A worker whose one agent appends what it sees to a journal; a program for transport tests."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import faust
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.types import TP

from streams import consumer_thread
from streams.app import end_soon
from streams.batch_consumer import BatchConsumer
from streams.connections import kafka_access
from streams.record_batches import RecordBatch
from streams.settings import Settings
from streams.transport import batch_topic, batch_transport


class UnhurriedAssignor(RangePartitionAssignor):  # type: ignore[misc]
    """The in-memory broker refuses a member that asks for its share after the leader did."""

    @classmethod
    def assign(cls, *arguments: Any) -> Any:
        time.sleep(0.1)
        return super().assign(*arguments)


class NoTables(TableManager):
    async def on_start(self) -> None:  # without the pause in which tables may register
        await self._update_channels()
        await self.recovery.start()


class ReadersBoot(BootStrategy):
    enable_kafka_producer = False


class ReadingApp(faust.App):
    BootStrategy = ReadersBoot


class ShortWorker(faust.Worker):
    async def _sentinel_task(self) -> None: ...  # Faust's last pause of one second


def main(words: dict[str, Any]) -> None:
    if words["in_memory"]:
        consumer_thread.RangePartitionAssignor = UnhurriedAssignor
    app = ReadingApp(
        words["group"],
        broker=f"batch://{Settings().kafka}",
        broker_client_id=words.get("client_id", "journal"),
        datadir=tempfile.mkdtemp(dir="."),
        web_enabled=False,
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        agent_supervisor="mode.CrashingSupervisor",
        TableManager=NoTables,
        stream_buffer_maxsize=16,
        consumer_max_fetch_size=words.get("fetch_bytes_max", 1_048_576),
        broker_commit_interval=0.2,
        # The in-memory broker keeps a rejoining group waiting for a session timeout less a second.
        broker_session_timeout=words["session_seconds"],
        broker_heartbeat_interval=0.3,
    )
    batch_transport(app).read_records_max = words.get("records_max", 500)
    journal, prefix = Path(words["journal"]), words["prefix"]
    progress = Path(words["progress"]) if "progress" in words else None

    def note(kind: str, **facts: Any) -> None:
        with journal.open("a") as lines:
            lines.write(json.dumps({"kind": kind, **facts}) + "\n")

    def short(tp: TP) -> str:
        return f"{tp.topic.removeprefix(prefix)}-{tp.partition}"

    def progress_path(tp: TP) -> Path:
        assert progress is not None
        return progress / short(tp)

    def progress_of(tp: TP) -> int:
        return int(progress_path(tp).read_text()) if progress_path(tp).exists() else 0

    async def positions(assigned: Set[TP]) -> Mapping[TP, int]:
        if words.get("positions_raise"):
            raise ConnectionError("the store is gone")
        if progress is not None:
            return {tp: progress_of(tp) for tp in assigned}
        if words.get("resume_committed"):
            thread = app.consumer._thread
            ask = thread._ensure_consumer().committed
            found = {tp: await thread.call_thread(ask, tp) or 0 for tp in assigned}
            note("resumed", **{short(tp): offset for tp, offset in found.items()})
            return found
        named = words.get("positions", {})
        return {tp: named[short(tp)] for tp in assigned if short(tp) in named}

    class NotingConsumer(BatchConsumer):
        async def on_partitions_revoked(self, revoked: set[TP]) -> None:
            note("revoking", partitions=sorted(map(short, revoked)))
            await super().on_partitions_revoked(revoked)
            note("revoked", partitions=sorted(map(short, revoked)))

    transport = batch_transport(app)
    transport.access = kafka_access(Settings())  # of the environment
    transport.Consumer = NotingConsumer  # type: ignore[misc]
    transport.positions = positions
    transport.finish_seconds_max = words.get("finish_seconds_max", 5.0)

    @app.agent(batch_topic(app, *(prefix + name for name in words["topics"])))
    async def keep(stream: Any) -> None:
        number = 0
        async for event in stream.noack().events():
            number += 1
            batch: RecordBatch = event.value
            consumer = app.consumer
            assert isinstance(consumer, BatchConsumer)
            tp = TP(batch.topic, batch.partition)
            facts = {"topic": tp.topic.removeprefix(prefix), "partition": tp.partition,
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
                new = progress.parent / f"{short(tp)}.{os.getpid()}"
                new.write_text(str(batch.next_offset))
                new.rename(progress_path(tp))
            note("done", **facts)
            event.ack()

    @app.timer(0.1)
    async def lag() -> None:
        consumer = app.consumer
        assert isinstance(consumer, BatchConsumer)
        lags = [consumer.lag(tp) for tp in consumer.assignment()]
        if lags and None not in lags:
            note("lag", lag=sum(lag for lag in lags if lag is not None))

    async def end(*_: Any, **__: Any) -> None:
        end_soon(app)

    app.on_before_shutdown.connect(end)
    ShortWorker(app, loglevel="INFO", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
