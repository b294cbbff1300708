"""One installation of its own on shared servers: topics, group, key prefix, worker processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ops.change_feed import open_consumer, records_to_end
from ops.demo import child_environment
from ops.producing import PacedProducer, Progress, progress_of
from ops.stack.topics import declared_topics
from schemas.errors import StoreUnavailableError
from state.store import REBUILDER
from streams.connections import redis_store
from streams.settings import Settings
from tests.support.services import Services

REPOSITORY = Path(__file__).parents[2]

Found = TypeVar("Found")


class Installation:
    """Use as an async context manager; stops its workers at the end."""

    def __init__(
        self, services: Services, folder: Path, partitions: int = 4, **overrides: Any
    ) -> None:
        name = services.new_name()
        topics = {
            field: f"{name}.{Settings.model_fields[field].default}"
            for field in Settings.model_fields
            if field.endswith("_topic")
        }
        self.settings = services.settings(
            group=name,
            key_prefix=f"{name}:",
            session_timeout_seconds=services.session_seconds,
            **topics,
            **overrides,
        )
        self.partitions = partitions
        declared = declared_topics(self.settings, partitions)
        if not services.real:  # it keeps 5 MB of a partition: every change is to be read again
            changes = self.settings.changes_topic
            declared = tuple(
                replace(topic, partitions=16) if topic.name == changes else topic
                for topic in declared
            )
        services.create_topics(declared)
        self.store = redis_store(self.settings)
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []

    async def __aenter__(self) -> Installation:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.wait(20)
        await self.store.close()

    @property
    def environment(self) -> dict[str, str]:
        return child_environment(self.settings)

    def start_worker(self, instance: str | None = None) -> subprocess.Popen[bytes]:
        """One more worker, under a name of its own in the group if it is to be a static member."""
        named = {} if instance is None else {"EVERSCORE_INSTANCE": instance}
        log = self._folder / f"{self.settings.group}-{len(self._workers)}.log"
        with log.open("wb") as stream:
            worker = subprocess.Popen(
                [sys.executable, "-m", "ops.cli.main", "worker", "-v"],
                cwd=REPOSITORY,
                env=self.environment | named,
                stdout=stream,
                stderr=stream,
            )
        self._workers.append(worker)
        worker.log = log  # type: ignore[attr-defined]
        return worker

    async def run(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """One `everscore` command to its end."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "ops.cli.main", *arguments],
            cwd=REPOSITORY,
            env={**self.environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    async def produce(self, values: Sequence[tuple[bytes, str | None]]) -> None:
        async with PacedProducer(self.settings) as producer:
            for value, customer_id in values:
                await producer.send(value, customer_id)
            await producer.flush()

    async def progress(self) -> Progress:
        return await progress_of(self.store, self.settings, self.partitions)

    async def until(self, reached: Callable[[Progress], bool], seconds: float = 60) -> Progress:
        """Wait for the workers; fails with their logs when they do not get there."""

        async def look() -> Progress | None:
            progress = await self.progress()
            return progress if reached(progress) else None

        return await self._wait_for(look, seconds)

    async def shared_by(self, workers: int) -> None:
        """Wait until so many workers own partitions."""

        async def look() -> bool | None:
            checkpoints = [await self.store.checkpoint(p) for p in range(self.partitions)]
            owners = {checkpoint.owner for checkpoint in checkpoints} - {""}
            rebuilt = any(owner.startswith(REBUILDER) for owner in owners)
            return (len(owners) == workers and not rebuilt) or None

        await self._wait_for(look)

    async def settled(self, seconds: float = 60) -> None:
        """Wait until nothing is due and everything committed is published."""

        async def look() -> bool | None:
            for partition in range(self.partitions):
                clock = (await self.store.checkpoint(partition)).clock_us
                if await self.store.due(partition, clock, 1):
                    return None
                if await self.store.outbox(partition, "", 1):
                    return None
            return True

        await self._wait_for(look, seconds)

    async def _wait_for(
        self, look: Callable[[], Awaitable[Found | None]], seconds: float = 60
    ) -> Found:
        deadline = time.monotonic() + seconds
        while True:
            with suppress(StoreUnavailableError):  # a test has it restarted
                if (found := await look()) is not None:
                    return found
            if time.monotonic() > deadline:
                progress = await self.progress()
                logs = "\n".join(worker.log.read_text()[-3000:] for worker in self._workers)
                raise AssertionError(f"not reached in {seconds} s: {progress}\n{logs}")
            await asyncio.sleep(0.05)

    async def records(self, topic: str) -> list[Any]:
        async with open_consumer(self.settings, topic) as (consumer, partitions):
            return [record async for record in records_to_end(consumer, partitions)]

    async def hashes(self) -> dict[str, dict[str, bytes]]:
        """Every customer's hash by id."""
        found: dict[str, dict[str, bytes]] = {}
        for partition in range(self.partitions):
            cursor = 0
            while True:
                cursor, ids = await self.store.customers(partition, cursor, 1000)
                for customer_id, fields in zip(
                    ids, await self.store.load_many(partition, ids), strict=True
                ):
                    found[customer_id] = dict(fields or {})
                if cursor == 0:
                    break
        return found
