"""Publishes messages with an idempotent producer and waits until the brokers have them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailableError
from state.codec import Message
from streams.settings import Settings

# A dead letter carries its record's bytes: what a broker let in must go out again.
_REQUEST_BYTES_MAX = 64 * 1024 * 1024


class Publisher:
    """One producer of a worker.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Any = None

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        BrokerUnavailableError
            No broker answers.
        """
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            enable_idempotence=True,
            acks="all",
            linger_ms=2,
            max_batch_size=256 * 1024,
            max_request_size=_REQUEST_BYTES_MAX,
        )
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise BrokerUnavailableError(
                f"Kafka at {self._settings.kafka} does not answer: {error}"
            ) from error

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send in order and wait for all acknowledgements.

        Raises
        ------
        BrokerUnavailableError
            Some were not acknowledged; whether they arrived is not known.
        """
        try:
            pending = [
                await self._producer.send(
                    message.topic,
                    value=message.value,
                    key=message.key,
                    partition=message.partition,
                    timestamp_ms=message.timestamp_ms,
                    headers=[(name, bytes(value)) for name, value in message.headers],
                )
                for message in messages
            ]
            await asyncio.gather(*pending)
        except KafkaError as error:
            raise BrokerUnavailableError(
                f"Kafka at {self._settings.kafka} did not take {len(messages)} messages: {error!r}"
            ) from error

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(await self._producer.partitions_for(topic))

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()
