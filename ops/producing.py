"""Publishing transactions, no faster than the workers count them.

Pacing is by the workers' own checkpoints: a broker that keeps little (the embedded one) must not
forget a record before it was counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError

from schemas.dead_letter import Header
from state.store import Store
from streams.kafka_refusals import kafka_error
from streams.publisher import open_producer
from streams.settings import Settings

_LINGER_MS = 25  # the embedded broker hands out one message set per fetch: fuller ones are faster
_CHECK_EVERY = 500  # records between two looks at the workers' progress


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the workers have come, summed over all partitions."""

    read: int
    applied: int
    duplicates: int
    dead: int
    forwarded: int
    customers: int
    clock_us: int


async def progress_of(store: Store, settings: Settings, partitions: int) -> Progress:
    """Read all checkpoints."""
    checkpoints = [await store.checkpoint(partition) for partition in range(partitions)]
    topic = settings.transactions_topic
    return Progress(
        read=sum(checkpoint.next_offsets.get(topic, 0) for checkpoint in checkpoints),
        applied=sum(checkpoint.applied for checkpoint in checkpoints),
        duplicates=sum(checkpoint.duplicates for checkpoint in checkpoints),
        dead=sum(checkpoint.dead for checkpoint in checkpoints),
        forwarded=sum(checkpoint.forwarded for checkpoint in checkpoints),
        customers=sum(checkpoint.customers for checkpoint in checkpoints),
        clock_us=max(checkpoint.clock_us for checkpoint in checkpoints),
    )


class PacedProducer:
    """Publishes transactions keyed by customer, as Kafka's own producers place them.

    Parameters
    ----------
    settings : Settings
    unread : async callable
        How many records the workers have not counted yet, given how many were published.
    unread_max : int
        Publishing pauses above it.
    """

    def __init__(
        self,
        settings: Settings,
        unread: Callable[[int], Awaitable[int]] | None = None,
        unread_max: int = 20_000,
    ) -> None:
        self._settings = settings
        self._unread = unread
        self._unread_max = unread_max
        self._producer: Any = None
        self._pending: list[Any] = []
        self.published = 0

    async def __aenter__(self) -> PacedProducer:
        topic = self._settings.transactions_topic
        self._producer = await open_producer(self._settings, linger_ms=_LINGER_MS, topics=[topic])
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._producer.stop()

    async def send(
        self, value: bytes, customer_id: str | None, headers: Sequence[Header] = ()
    ) -> None:
        """Publish one transaction; waits while the workers are too far behind."""
        try:
            self._pending.append(
                await self._producer.send(
                    self._settings.transactions_topic,
                    value=value,
                    key=None if customer_id is None else customer_id.encode(),
                    headers=list(headers),
                )
            )
        except KafkaError as error:
            raise kafka_error(self._settings, error, "did not take a transaction") from error
        self.published += 1
        if self.published % _CHECK_EVERY == 0:
            await self._wait_for_workers()

    async def _wait_for_workers(self) -> None:
        if self._unread is None:
            return
        while await self._unread(self.published) > self._unread_max:
            await asyncio.sleep(0.05)

    async def flush(self) -> None:
        """Wait until Kafka has all that was sent."""
        try:
            await asyncio.gather(*self._pending)
        except KafkaError as error:
            raise kafka_error(self._settings, error, "did not take a transaction") from error
        self._pending.clear()
