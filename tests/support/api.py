"""An API over customers in memory, asked without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from ops.api.app import build_app
from ops.api.changes_memory import ChangesMemory, Told
from ops.api.keys import KeyFile
from ops.api.metrics import Metrics
from ops.api.policy import Role
from ops.api.settings import ApiSettings
from ops.api.start import join
from ops.api.watch import Ends, Watch
from ops.lookup import Lookup
from state.memory_store import MemoryStore
from state.outbox import Message
from streams.settings import Settings
from tests.support.purchases import Purchase, Run

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = Settings(_env_file=None)
PARTITIONS = 4


class SpyStore(MemoryStore):
    """Remembers which customers were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    async def load_many(self, partition: int, customer_ids: Any) -> Any:
        self.loaded += customer_ids
        return await super().load_many(partition, customer_ids)


@dataclass(frozen=True)
class Counted:
    """Customers as a store has them, and what was published of them."""

    store: dict[str, Any]
    published: list[Message]


async def counted(purchases: Iterable[Purchase], settings: Settings = SETTINGS) -> Counted:
    """Purchases counted, and silence settled."""
    run = Run(PARTITIONS, settings)
    await run.store.found({"partitions": str(PARTITIONS)})
    await run.start()
    await run.feed(purchases, 500)
    await run.sweep()
    return Counted(vars(run.store), run.published)


class Api:
    """One API, a key for every role, and the engine that feeds its store."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS, **own: Any) -> None:
        self.store = SpyStore()
        self.run = Run(PARTITIONS, settings, self.store)
        self.now = NOW
        self.seconds = 0.0
        self.audit = folder / "audit.jsonl"
        self.own = ApiSettings(
            **{"keys": folder / "keys.json", "audit": self.audit, "port": 0} | own
        )
        self.keys = KeyFile(self.own.keys)
        self.key = {role: self.keys.create(f"a-{role}", role, now=self.now)[1] for role in Role}
        metrics = Metrics()
        self.memory = ChangesMemory(self.own.changes_max)
        lookup = Lookup(self.store, settings)
        self.ends: Ends | None = None
        watch = Watch(lookup, self._ends, metrics, lambda: self.now)
        self.service = join(self.own, lookup, self.memory, metrics, watch)
        self.service.now = lambda: self.now
        self.service.rising = lambda: self.seconds
        self.app: FastAPI = build_app(self.service)
        self._told = 0

    async def _ends(self, _partitions: int) -> Ends | None:
        return self.ends

    async def start(self, known: Counted | None = None) -> Api:
        """Begin with nothing, or with customers counted before."""
        if known is not None:
            vars(self.store).update(deepcopy(known.store))
            self.run.published += known.published
        await self.store.found({"partitions": str(PARTITIONS)})
        await self.run.start()
        topic = self.run.settings.transactions_topic
        for partition, owned in self.run.engine.owned.items():
            self.run._offsets[partition] = owned.checkpoint.next_offsets.get(topic, 0)
        self.memory.begin(dict.fromkeys(range(PARTITIONS), 0))
        self.memory.caught_up = self.memory.following = True
        return self

    async def buy(self, *purchases: Purchase) -> None:
        """Count purchases, let silence do its work, and tell what came of it."""
        await self.run.feed(purchases, 500)
        await self.run.sweep()
        await self.look()

    async def look(self) -> None:
        """What runs beside the routes, once."""
        self.tell()
        await self.service.census.count()
        await self.service.watch.look()
        self.store.loaded.clear()

    def tell(self) -> None:
        """What the follower would read of the topic."""
        messages = [
            message
            for message in self.run.published
            if message.topic == self.run.settings.changes_topic
        ]
        for offset, message in enumerate(messages[self._told :], start=self._told):
            headers = dict(message.headers)
            self.memory.add(
                Told(
                    hash(message.key) % PARTITIONS,
                    offset,
                    headers["ce_type"].decode(),
                    headers["ce_id"].decode(),
                    message.value or b"",
                )
            )
        self._told = len(messages)

    def client(self, role: Role | None = Role.PII_READER, **headers: str) -> httpx.AsyncClient:
        """Who asks under a role; without one, without a key."""
        shown = {} if role is None else {"Authorization": f"Bearer {self.key[role]}"}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://everscore",
            headers=shown | headers,
        )

    async def get(self, path: str, role: Role | None = Role.PII_READER, **more: Any) -> Any:
        async with self.client(role) as client:
            return await client.get(path, **more)

    async def post(self, path: str, role: Role | None = Role.PII_READER, **more: Any) -> Any:
        async with self.client(role) as client:
            return await client.post(path, **more)

    def audited(self) -> list[dict[str, Any]]:
        if not self.audit.exists():
            return []
        return [json.loads(line) for line in self.audit.read_text().splitlines()]
