"""Reading the journal back: the marks that Kafka has and a checkpoint lacks.

There are none unless Redis was rolled back or flushed after they were published. A worker comes to them
again at the same places, and so tells the same history with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailableError
from schemas.mark import Mark, decode_mark
from state.store import Checkpoint
from streams.connections import kafka_access
from streams.kafka_refusals import kafka_error
from streams.settings import Settings

# Records of an input topic read from its end; twice as many each time that this was not enough.
_LAST_RECORDS = 4
_READ_MS = 200
_READ_SECONDS_MAX = 30.0


class KafkaJournal:
    """The journal as a worker reads it; one partition at a time.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: Any = None
        self._lock = asyncio.Lock()

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> tuple[list[Mark], int]:
        """The marks that follow a checkpoint's last one, in order, and how far the journal was read.

        Old marks may stand among later ones: whoever recovers an outbox publishes them again.

        Raises
        ------
        ConfigurationError
            Kafka refuses us.
        BrokerUnavailableError
            It does not answer.
        """
        async with self._asked("did not show the journal") as consumer:
            tp = TopicPartition(self._settings.journal_topic, partition)
            consumer.assign([tp])
            first, end = await self._bounds(tp)
            start = min(max(first, checkpoint.journal_from), end)
            records = await self._read(tp, start, end)
        found = [decode_mark(record.value) for record in records]
        return chain_after(checkpoint.mark, found), end

    async def scorecards(self) -> dict[str, bytes]:
        """All scorecards ever published, by version.

        Raises
        ------
        ConfigurationError
            Kafka refuses us.
        BrokerUnavailableError
            It does not answer.
        """
        async with self._asked("did not show the scorecards") as consumer:
            tp = TopicPartition(self._settings.scorecards_topic, 0)
            consumer.assign([tp])
            records = await self._read(tp, *await self._bounds(tp))
        return {record.key.decode(): record.value for record in records}

    async def end(self, topic: str, partition: int) -> int:
        """Offset after the last record of an input topic's partition, whatever markers follow it.

        Raises
        ------
        ConfigurationError
            Kafka refuses us.
        BrokerUnavailableError
            It does not answer.
        """
        async with self._asked("did not show its end") as consumer:
            tp = TopicPartition(topic, partition)
            consumer.assign([tp])
            first, end = await self._bounds(tp)
            page = _LAST_RECORDS
            while True:
                start = max(first, end - page)
                records = await self._read(tp, start, end)
                if records or start == first:
                    return records[-1].offset + 1 if records else start
                page *= 2

    @asynccontextmanager
    async def _asked(self, failed: str) -> AsyncIterator[Any]:
        """The consumer, for one question at a time; what Kafka has against it becomes our error."""
        async with self._lock:
            try:
                yield await self._open()
            except KafkaError as error:
                raise kafka_error(self._settings, error, failed) from error

    async def _bounds(self, tp: TopicPartition) -> tuple[int, int]:
        first = await self._consumer.beginning_offsets([tp])
        return first[tp], (await self._consumer.end_offsets([tp]))[tp]

    async def _read(self, tp: TopicPartition, start: int, end: int) -> list[Any]:
        records: list[Any] = []
        self._consumer.seek(tp, start)
        async with _in_time():
            while await self._consumer.position(tp) < end:
                for batch in (await self._consumer.getmany(timeout_ms=_READ_MS)).values():
                    records += batch
        return records

    async def _open(self) -> Any:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._settings.kafka,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",  # as purchases are read
                fetch_max_wait_ms=self._settings.fetch_max_wait_ms,
                **kafka_access(self._settings),
            )
            try:
                await consumer.start()
            except KafkaError:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_READ_SECONDS_MAX):
            yield
    except TimeoutError:
        raise BrokerUnavailableError(
            f"Kafka did not show its records in {_READ_SECONDS_MAX:.0f} s."
        ) from None


def chain_after(last: Mark | None, found: list[Mark]) -> list[Mark]:
    """The marks that follow one another from `last` on; of two that follow the same, the first told.

    Examples
    --------
    >>> place = {"clock_us": 0, "scorecard": "bootstrap-0", "reading": "t"}
    >>> one = Mark.after(None, offsets={"t": 0}, **place)
    >>> two = Mark.after(one, offsets={"t": 5}, **place)
    >>> late = Mark.after(one, offsets={"t": 7}, **place)
    >>> chain_after(one, [one, two, late]) == [two]
    True
    """
    following: dict[str, Mark] = {}
    for mark in found:
        following.setdefault(mark.previous, mark)
    chain: list[Mark] = []
    at = "" if last is None else last.id
    while at in following:
        chain.append(following.pop(at))
        at = chain[-1].id
    return chain
