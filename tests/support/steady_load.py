"""Purchases at a steady rate, and how long each partition stood still meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from schemas.errors import StoreUnavailableError
from streams.publisher import open_producer
from tests.support.installation import Installation
from tests.support.purchases import Purchase

CUSTOMERS = 2_000
_PER_DAY = 500  # purchases of one day: stream time runs, silence has work to do
_TICK_SECONDS = 0.01
_LOOK_SECONDS = 0.05


@dataclass
class SteadyLoad:
    """A producer that goes on whatever happens to the servers, and a look at the progress."""

    rate: float
    purchases: list[Purchase] = field(default_factory=list)
    idle_seconds: dict[int, float] = field(default_factory=dict)

    async def produce(self, here: Installation, stop: asyncio.Event) -> None:
        producer = await open_producer(here.settings, linger_ms=5)
        began, pending = time.monotonic(), []
        while not stop.is_set():
            due = int((time.monotonic() - began) * self.rate)
            for number in range(len(self.purchases), due):
                # A walk through all customers that never repeats its step: uneven, the same always.
                customer = f"c{number * number % CUSTOMERS}"
                purchase = Purchase(customer, 20_000 + number // _PER_DAY, 100, f"steady-{number}")
                self.purchases.append(purchase)
                pending.append(
                    await producer.send(
                        here.settings.transactions_topic, purchase.value, key=customer.encode()
                    )
                )
            await asyncio.sleep(_TICK_SECONDS)
        await asyncio.gather(*pending)
        await producer.stop()

    async def watch(self, here: Installation) -> None:
        """Note for each partition the longest time without progress, for ever."""
        seen: dict[int, tuple[int, float]] = {}
        while True:
            with suppress(StoreUnavailableError):
                for partition in range(here.partitions):
                    applied = (await here.store.checkpoint(partition)).applied
                    known, since = seen.get(partition, (-1, time.monotonic()))
                    stood = time.monotonic() - since
                    self.idle_seconds[partition] = max(self.idle_seconds.get(partition, 0.0), stood)
                    if applied != known:
                        seen[partition] = applied, time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def steady_load(here: Installation, rate: float) -> AsyncIterator[SteadyLoad]:
    """Produce while the body runs; all of it is with Kafka when the body has ended."""
    load, stop = SteadyLoad(rate), asyncio.Event()
    producing = asyncio.create_task(load.produce(here, stop))
    watching = asyncio.create_task(load.watch(here))
    try:
        yield load
    finally:
        watching.cancel()
        stop.set()
        await producing
