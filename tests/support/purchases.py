"""Purchases for tests: CDNOW as records of the log, and an engine over the in-memory store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from state.memory_store import MemoryStore
from state.outbox import Message
from state.store import Store
from streams.engine import SliceEngine
from streams.homes import home_partition
from streams.settings import Settings

ARRIVED_MS = 1_790_000_000_000  # long after the purchases: a replay


@dataclass(frozen=True)
class Purchase:
    customer_id: str
    day: int  # since 1970-01-01
    cents: int
    transaction_id: str
    kind: str = "purchase"

    @property
    def value(self) -> bytes:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=self.day)
        return json.dumps(
            {
                "transaction_id": self.transaction_id,
                "customer_id": self.customer_id,
                "occurred_at": moment.isoformat(),
                "amount": self.cents / 100,
                "kind": self.kind,
            }
        ).encode()


@dataclass
class LogRecord:
    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = ARRIVED_MS
    headers: list[tuple[str, bytes]] = field(default_factory=list)


@lru_cache
def cdnow() -> tuple[Purchase, ...]:
    """All 69,659 purchases in time order."""
    # Not through lifetimes.datasets: importing it needs pkg_resources, which setuptools has dropped.
    spec = find_spec("lifetimes")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "datasets" / "CDNOW_master.txt").read_text()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    purchases = []
    for number, line in enumerate(text.splitlines()[1:], start=2):
        customer, date, _, dollars = line.split()
        day = (datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC) - epoch).days
        cents = round(float(dollars) * 100)
        purchases.append(Purchase(customer, day, cents, f"cdnow-{number:06d}"))
    return tuple(sorted(purchases, key=lambda purchase: purchase.day))


def cdnow_of(customers: int) -> tuple[Purchase, ...]:
    """Purchases of the first so many customers, in time order."""
    return tuple(purchase for purchase in cdnow() if int(purchase.customer_id) <= customers)


class Run:
    """Drives an engine over a log held in memory, slice by slice."""

    def __init__(
        self, partitions: int, settings: Settings | None = None, store: Store | None = None
    ) -> None:
        self.partitions = partitions
        self.settings = settings or Settings(_env_file=None)
        self.store = store or MemoryStore()
        self.engine = SliceEngine(self.store, self.settings, partitions)
        self.published: list[Message] = []
        self._offsets = dict.fromkeys(range(partitions), 0)

    async def start(self) -> Run:
        for partition in range(self.partitions):
            await self.engine.acquire(partition)
        return self

    async def feed(
        self, purchases: Iterable[Purchase], slice_size: int, *, sweep_every: int = 0
    ) -> None:
        """Produce purchases and process them in slices; sweep after every so many slices."""
        queues: dict[int, list[LogRecord]] = {p: [] for p in range(self.partitions)}
        slices = 0
        for purchase in purchases:
            partition = home_partition(purchase.customer_id, self.partitions)
            queue = queues[partition]
            queue.append(LogRecord(self._offsets[partition], purchase.value))
            self._offsets[partition] += 1
            if len(queue) >= slice_size:
                await self.process(partition, queue)
                queues[partition] = []
                slices += 1
                if sweep_every and slices % sweep_every == 0:
                    await self.sweep()
        for partition, queue in queues.items():
            if queue:
                await self.process(partition, queue)

    async def process(self, partition: int, records: Sequence[LogRecord]) -> None:
        topic = self.settings.transactions_topic
        while self.engine.owned[partition].checkpoint.next_offsets[topic] <= records[-1].offset:
            committed = await self.engine.process(topic, partition, records)
            if committed:
                self.published += committed.messages

    async def sweep(self, clock_us: int | None = None) -> None:
        """Let silence do all it had to do by each partition's clock, or by a later moment."""
        for partition in range(self.partitions):
            now = self.engine.owned[partition].checkpoint.clock_us
            until = max(now, clock_us or now)
            while committed := await self.engine.sweep(partition, until):
                self.published += committed.messages

    def changes(self) -> list[dict[str, Any]]:
        """Bodies of all change events in the order of publication, with id and type."""
        bodies = []
        for message in self.published:
            if message.topic == self.settings.changes_topic:
                headers = dict(message.headers)
                body = json.loads(message.value or b"")
                bodies.append(
                    body | {"id": headers["ce_id"].decode(), "type": headers["ce_type"].decode()}
                )
        return bodies

    def by_customer(self) -> dict[str, list[dict[str, Any]]]:
        """The change events of each customer, without where in the log they came from."""
        found: dict[str, list[dict[str, Any]]] = {}
        for body in self.changes():
            body.pop("source")
            found.setdefault(body["customer_id"], []).append(body)
        return found

    def hashes(self) -> dict[str, dict[str, bytes]]:
        """Every customer's hash by id."""
        assert isinstance(self.store, MemoryStore)
        return {customer_id: dict(fields) for (_, customer_id), fields in self.store.hashes.items()}
