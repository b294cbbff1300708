"""Dead letters as Kafka has them: how many of which kind, and the latest with their reasons.

Reads; what becomes of them is decided at a terminal, by `everscore dlq`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from pydantic import ValidationError

from ops.change_feed import open_consumer
from schemas.dead_letter import DeadLetter
from schemas.errors import PipelineError
from streams.settings import Settings

LATEST_MAX = 50
_READ_BACK_MAX = 20_000  # of all partitions: who has more of them needs a terminal
_READ_MS = 1_000
_AT_ONCE = 200
_RETRY_SECONDS = 5.0

_log = logging.getLogger("everscore.api")


class Letter(NamedTuple):
    """One dead letter without its bytes."""

    at: str
    died_at: datetime
    letter: DeadLetter


class DeadLetters:
    """The tail of the topic of dead letters.

    Attributes
    ----------
    following : bool
        Kafka is being read at this moment.
    reasons : Counter
        How many of each error class, of those read.
    latest : deque of Letter
        The newest last.
    """

    def __init__(self) -> None:
        self.following = False
        self.reasons: Counter[str] = Counter()
        self.latest: deque[Letter] = deque(maxlen=LATEST_MAX)

    def begin(self) -> None:
        """Forget all."""
        self.reasons.clear()
        self.latest.clear()

    def add(self, record: Any) -> None:
        """Count one record; what is no dead letter of ours counts as such."""
        try:
            letter = DeadLetter.from_headers(record.headers)
        except ValidationError:
            self.reasons["not a dead letter of ours"] += 1
            return
        self.reasons[letter.error_class] += 1
        died_at = datetime.fromtimestamp(record.timestamp / 1000, tz=UTC)
        self.latest.append(Letter(f"{record.partition}:{record.offset}", died_at, letter))

    async def run(self, settings: Settings) -> None:
        """Read until cancelled; a broker that is away is waited for, and named once."""
        said = ""
        while True:
            try:
                async with open_consumer(settings, settings.dead_letter_topic) as opened:
                    said = ""
                    await self._follow(*opened)
            except (PipelineError, KafkaError) as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("dead letters cannot be read: %s", said)
            finally:
                self.following = False
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, consumer: Any, partitions: list[Any]) -> None:
        self.begin()
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        share = _READ_BACK_MAX // len(partitions)
        for partition in partitions:
            consumer.seek(partition, max(begins[partition], ends[partition] - share))
        self.following = True
        while True:
            found = await consumer.getmany(timeout_ms=_READ_MS, max_records=_AT_ONCE)
            for records in found.values():
                for record in records:
                    self.add(record)
            await asyncio.sleep(0)
