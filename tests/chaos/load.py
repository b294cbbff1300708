"""The producer of a row: a flow that never stops while faults strike, whatever becomes of Kafka.

Paced across the faults: up to its allowance it sends at the row's rate, beyond it a trickle, so that
every fault hits a stream and the transactions last until the last one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka.errors import KafkaError

from streams.publisher import open_producer
from tests.chaos.place import Place
from tests.chaos.transactions import Outgoing

_TICK_SECONDS = 0.01
_TRICKLE_PER_SECOND = 120.0
_TRICKLE_LASTS_SECONDS = 30.0  # the less is left the slower: it never runs out
_FINISH_PER_SECOND = 4_000.0
_PACED_SHARE = 0.8  # the rest is for the trickle, and for the end
_AGAIN = 200  # records that a producer sends again which does not know what became of them
_UNACKNOWLEDGED_MAX = 20_000
_RESTART_SECONDS_MAX = 60.0


class Load:
    """Sends records in order, each until Kafka has acknowledged it.

    Parameters
    ----------
    place : Place
    records : all of them
    rate : per second, within the allowance
    """

    def __init__(self, place: Place, records: Sequence[Outgoing], rate: float) -> None:
        self._place = place
        self._records = records
        self._rate = rate
        self._allowed = 0.0
        self._finishing = False
        self._restart = asyncio.Event()
        self._restarted = asyncio.Event()
        self._pending: set[asyncio.Future[Any]] = set()
        self._producer: Any = None
        self.sent = 0
        self.sent_again = 0

    def allow(self, share: float) -> None:
        """Go on at the full rate up to a share of the whole way."""
        self._allowed = self._at(share)

    async def reach(self, share: float) -> None:
        """Wait until a share of the way is done; it has to be allowed."""
        while self.sent < self._at(share):
            await asyncio.sleep(_TICK_SECONDS)

    def _at(self, share: float) -> float:
        return share * _PACED_SHARE * len(self._records)

    def finish(self) -> None:
        """Send the rest as fast as it goes."""
        self._finishing = True

    async def restart_producer(self) -> None:
        """End the producer and start another, which sends the last records again."""
        self._restarted.clear()
        self._restart.set()
        async with asyncio.timeout(_RESTART_SECONDS_MAX):
            await self._restarted.wait()

    async def run(self) -> None:
        """Send all; returns when Kafka has acknowledged the last."""
        self._producer = await self._open()
        budget, last = 0.0, time.monotonic()
        while self.sent < len(self._records):
            now = time.monotonic()
            budget = min(budget + (now - last) * self._pace(), self._rate)
            last = now
            if self._restart.is_set():
                await self._begin_anew()
            while budget >= 1 and self.sent < len(self._records):
                await self._send(self._records[self.sent])
                self.sent += 1
                budget -= 1
            await asyncio.sleep(_TICK_SECONDS)
        while self._pending:
            await asyncio.sleep(_TICK_SECONDS)
        await self._producer.stop()

    def _pace(self) -> float:
        if len(self._pending) > _UNACKNOWLEDGED_MAX:
            return 0.0
        if self._finishing:
            return max(_FINISH_PER_SECOND, self._rate)
        if self.sent < self._allowed:
            return self._rate
        return min(_TRICKLE_PER_SECOND, (len(self._records) - self.sent) / _TRICKLE_LASTS_SECONDS)

    async def _open(self) -> Any:
        return await open_producer(self._place.settings, linger_ms=5)

    async def _begin_anew(self) -> None:
        self._restart.clear()
        await self._producer.stop()
        self._producer = await self._open()
        for record in self._records[max(0, self.sent - _AGAIN) : self.sent]:
            await self._send(record)
            self.sent_again += 1
        self._restarted.set()

    async def _send(self, record: Outgoing) -> None:
        delivery = await self._producer.send(self._place.topic, record.value, key=record.key)
        self._pending.add(delivery)

        def delivered(future: asyncio.Future[Any]) -> None:
            self._pending.discard(future)
            if isinstance(future.exception(), KafkaError):  # whoever is not told sends again
                task = asyncio.ensure_future(self._send(record))
                self._pending.add(task)
                task.add_done_callback(self._pending.discard)

        delivery.add_done_callback(delivered)
