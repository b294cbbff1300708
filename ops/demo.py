"""The demo: real purchases through Kafka, a worker and Redis, watched while it runs.

Owns the run: worker process, replay, the count of what came out. Its servers are `ops.demo_servers`,
what a person sees of it is `ops.demo_view`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ops.change_feed import open_consumer
from ops.demo_servers import PARTITIONS
from ops.loaders.cdnow import load_cdnow
from ops.loaders.source import LoadReport, SourceTransaction
from ops.lookup import scorecards_of
from ops.parity import Parity, all_states, compare_with_lifetimes
from ops.producing import PacedProducer, Progress, progress_of
from schemas.errors import ConfigurationError
from scoring.states import NEVER_US
from state.store import Store
from streams.access_settings import SECRET_FIELDS
from streams.settings import Settings

# Small enough that all partitions, and so their clocks, stay close together.
EXAMPLE_SEGMENT = "At-Risk"
"""Whom the demo explains: somebody to act upon."""
_UNREAD_MAX = 8_000
_LATEST = 8
_WORKER_STOP_SECONDS = 10.0


class _Change(msgspec.Struct, frozen=True, gc=False):
    """What the demo reads of a change event."""

    customer_id: str
    sequence: int
    previous: str | None
    current: str | None
    cause: str
    occurred_at: str
    prob_alive: float


_decode_change = msgspec.json.Decoder(_Change).decode


@dataclass(slots=True)
class Tally:
    """What has been seen of the run so far."""

    total: int
    started: float = field(default_factory=time.monotonic)
    published: int = 0
    progress: Progress | None = None
    causes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    latest: deque[str] = field(default_factory=lambda: deque(maxlen=_LATEST))
    scorecards: list[str] = field(default_factory=list)
    sequences: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    changes: int = 0

    @property
    def seconds(self) -> float:
        """Since the start of the replay."""
        return time.monotonic() - self.started

    def see(self, kind: str, change: _Change) -> None:
        """Count one change event; those seen before are skipped."""
        last = self.sequences.get(change.customer_id, 0)
        if change.sequence <= last:
            return
        self.gaps += change.sequence != last + 1
        self.sequences[change.customer_id] = change.sequence
        self.changes += 1
        self.causes[change.cause] += 1
        if kind == "segment":
            if change.previous:
                self.sizes[change.previous] -= 1
            if change.current:
                self.sizes[change.current] += 1
            self.latest.append(
                f"{change.occurred_at[:10]}  {change.customer_id}  {change.previous or 'new'} → "
                f"{change.current or 'not scored'}  ({change.cause}, P(alive) {change.prob_alive:.2f})"
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended, read from Redis when everything was counted."""

    tally: Tally
    progress: Progress
    replay_seconds: float
    sizes: Counter[str]
    revenue: Counter[str]
    parity: Parity
    example: str | None


class WorkerProcess:
    """One `everscore worker` in a process of its own, its log in a file."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.log = folder / "worker.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli.main", "worker", "--verbose"],
                env=dict(environment),
                stdout=log,
                stderr=log,
            )

    def check(self) -> None:
        """Raise if the worker has ended.

        Raises
        ------
        ConfigurationError
            Names the exit code and the last line it wrote.
        """
        code = self._process.poll()
        if code is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "no output"
            raise ConfigurationError(f"the worker ended with code {code}: {last}")

    def kill(self) -> None:
        """As a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As an operator would."""
        self._process.terminate()
        try:
            self._process.wait(_WORKER_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


def worker_environment(settings: Settings) -> dict[str, str]:
    """The environment in which a worker, or a person's next command, sees the same stack.

    People see it: secrets are left out.
    """
    defaults = Settings.model_construct()
    return {
        variable: "" if value is None else str(value)
        for name, value in settings.model_dump(exclude=set(SECRET_FIELDS)).items()
        for variable in [f"EVERSCORE_{name.upper()}"]
        # What the environment says otherwise has to be unsaid.
        if name != "owner" and (value != getattr(defaults, name) or variable in os.environ)
    }


def child_environment(settings: Settings) -> dict[str, str]:
    """The whole environment of a child process, secrets too; for nobody's eyes."""
    secrets = {
        f"EVERSCORE_{name.upper()}": "" if secret is None else secret.get_secret_value()
        for name in sorted(SECRET_FIELDS)
        for secret in [getattr(settings, name)]
    }
    return {**os.environ, **worker_environment(settings), **secrets}


def load_purchases() -> list[SourceTransaction]:
    """CDNOW in time order."""
    return [
        record
        for record in load_cdnow(report=LoadReport())
        if isinstance(record, SourceTransaction)
    ]


async def follow_changes(settings: Settings, tally: Tally) -> None:
    """Count change events as they come, until cancelled."""
    async with open_consumer(settings, settings.changes_topic) as (consumer, _):
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    kind = dict(record.headers)["ce_type"].decode().split(".")[1]
                    tally.see(kind, _decode_change(record.value))


async def replay(
    store: Store,
    settings: Settings,
    worker: WorkerProcess,
    purchases: list[SourceTransaction],
    tally: Tally,
) -> float:
    """Publish all purchases and wait until every one is counted; returns the seconds it took."""

    async def unread(published: int) -> int:
        worker.check()
        tally.published = published
        tally.progress = await progress_of(store, settings, PARTITIONS)
        tally.scorecards = [version for _, version in (await store.checkpoint(0)).adoptions]
        return published - tally.progress.read

    tally.started = time.monotonic()
    async with PacedProducer(settings, unread, _UNREAD_MAX) as producer:
        for purchase in purchases:
            await producer.send(purchase.payload(None), purchase.customer_id)
        await producer.flush()
        while await unread(producer.published) > 0:
            await asyncio.sleep(0.1)
    return tally.seconds


async def settle(store: Store, settings: Settings, worker: WorkerProcess, tally: Tally) -> None:
    """Wait until nothing is due, everybody is scored anew, and every change is published and seen."""
    while True:
        worker.check()
        in_use = await store.current_scorecard()
        busy, newest = False, []
        for partition in range(PARTITIONS):
            checkpoint = await store.checkpoint(partition)
            adopted = [version for _, version in checkpoint.adoptions]
            newest.append(len(adopted) - 1)
            busy = busy or (in_use is not None and adopted[-1:] != [in_use])
            busy = busy or bool(await store.due(partition, checkpoint.clock_us, 1))
            busy = busy or bool(await store.outbox(partition, "", 1))
        if not busy:
            changes, behind = 0, 0
            async for partition, states in all_states(store, settings, PARTITIONS):
                changes += int(states.numbers["sequence"].sum())
                behind += int((states.numbers["card"] < newest[partition]).sum())
            if tally.changes == changes and not behind:
                return
        await asyncio.sleep(0.3)


async def conclude(
    store: Store,
    settings: Settings,
    purchases: list[SourceTransaction],
    tally: Tally,
    replay_seconds: float,
) -> Outcome:
    """Read the end from Redis and compare it with lifetimes."""
    sizes: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    example: tuple[int, str] | None = None
    async for partition, states in all_states(store, settings, PARTITIONS):
        hashes = await store.load_many(partition, states.customer_ids)
        for row, fields in enumerate(hashes):
            segment = (fields or {}).get("segment", b"").decode()
            sizes[segment] += 1
            numbers = states.numbers[row]
            revenue[segment] += int(numbers["purchase_units"] - numbers["refund_units"])
            # The one to show: with something still to happen, and the richest history.
            candidate = (int(numbers["frequency"]), states.customer_ids[row])
            waiting = segment == EXAMPLE_SEGMENT and numbers["next_review_us"] != NEVER_US
            if waiting and (example is None or candidate > example):
                example = candidate
    end = max(purchase.occurred_at for purchase in purchases)
    parity = await compare_with_lifetimes(store, settings, PARTITIONS, purchases, end)
    progress = await progress_of(store, settings, PARTITIONS)
    cards = await scorecards_of(store)
    tally.scorecards = sorted(cards, key=lambda version: cards[version].number)
    return Outcome(
        tally, progress, replay_seconds, sizes, revenue, parity, example[1] if example else None
    )


def working_folder() -> tempfile.TemporaryDirectory[str]:
    """Where the worker's log lies."""
    return tempfile.TemporaryDirectory(prefix="everscore-demo-")
