"""The store's in-memory twin: same contract, same bytes, no server. For tests, replay and verify."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic

from scoring.states import NEVER_US
from state.checkpoints import rebuilding, refusal, taken
from state.store import Checkpoint, Fields, Glimpse, SliceCommit, Tombstone


class MemoryStore:
    """See `state.store.Store`."""

    def __init__(self) -> None:
        self.hashes: dict[tuple[int, str], dict[str, bytes]] = {}
        self.checkpoints: dict[int, Checkpoint] = {}
        self.due_at: dict[int, dict[str, float]] = {}
        self._numbers: dict[int, dict[str, int]] = {}
        self.erased: dict[int, dict[str, Tombstone]] = {}
        self._outboxes: dict[int, dict[int, bytes]] = {}
        self._entries = 0
        self._reservations: dict[int, tuple[str, float]] = {}
        self._installation: dict[str, str] = {}
        self._scorecards: dict[str, bytes] = {}
        self._current: str | None = None
        self._learning: bytes | None = None

    async def check(self) -> None:
        """See `Store.check`."""

    async def acquire(self, partition: int, owner: str, token: str = "") -> Checkpoint:
        """See `Store.acquire`."""
        reserved = self._reserved(partition)
        if reserved not in ("", owner):
            raise rebuilding(partition, reserved)
        held = await self.checkpoint(partition)
        self.checkpoints[partition] = replace(held, epoch=held.epoch + 1, token=token, owner=owner)
        return self.checkpoints[partition]

    async def reserve(self, partition: int, owner: str, seconds: float) -> str:
        """See `Store.reserve`."""
        if self._reserved(partition) in ("", owner):
            self._reservations[partition] = (owner, monotonic() + seconds)
        return self._reserved(partition)

    def _reserved(self, partition: int) -> str:
        owner, until = self._reservations.get(partition, ("", 0.0))
        return owner if monotonic() < until else ""

    async def forget(
        self,
        partition: int,
        owned: Checkpoint,
        customer_ids: Sequence[str],
        tombstones: Sequence[str] = (),
    ) -> None:
        """See `Store.forget`."""
        held = await self.checkpoint(partition)
        if (held.epoch, held.token) != (owned.epoch, owned.token):
            raise taken(partition, held)
        for customer_id in customer_ids:
            self.hashes.pop((partition, customer_id), None)
            self.due_at.get(partition, {}).pop(customer_id, None)
        for name in tombstones:
            self.erased.get(partition, {}).pop(name, None)

    async def checkpoint(self, partition: int) -> Checkpoint:
        """See `Store.checkpoint`."""
        return self.checkpoints.get(partition, Checkpoint())

    async def load_many(self, partition: int, customer_ids: Sequence[str]) -> list[Fields | None]:
        """See `Store.load_many`."""
        return [self.hashes.get((partition, customer_id)) for customer_id in customer_ids]

    async def glimpse(self, partition: int, customer_id: str) -> Glimpse:
        """See `Store.glimpse`."""
        (fields,) = await self.load_many(partition, [customer_id])
        return Glimpse.of(fields, await self.checkpoint(partition))

    async def commit_slice(self, commit: SliceCommit) -> str:
        """See `Store.commit_slice`."""
        held = await self.checkpoint(commit.partition)
        refused = refusal(commit.partition, held, commit.before)
        if refused is not None:
            raise refused
        rows = zip(commit.customer_ids, commit.rows, commit.due_at, strict=True)
        written = {
            customer_id: self.hashes.get((commit.partition, customer_id), {})
            | {
                name: value if isinstance(value, bytes) else value.encode()
                for name, value in zip(commit.fields, row, strict=True)
            }
            for customer_id, row, _ in rows
        }  # all of it before any of it is kept
        for customer_id, fields in written.items():
            self.hashes[commit.partition, customer_id] = fields
        reviews = self.due_at.setdefault(commit.partition, {})
        reviews.update(zip(commit.customer_ids, commit.due_at, strict=True))
        for gone in commit.erased:
            self.hashes.pop((commit.partition, gone.customer_id), None)
            reviews.pop(gone.customer_id, None)
            self.erased.setdefault(commit.partition, {})[gone.name] = gone.tombstone
        self.checkpoints[commit.partition] = replace(
            commit.after,
            epoch=held.epoch,
            token=held.token,
            owner=held.owner,
            next_offsets={**held.next_offsets, **commit.after.next_offsets},
        )
        if not commit.outbox:
            return ""
        self._entries += 1
        self._outboxes.setdefault(commit.partition, {})[self._entries] = commit.outbox
        return f"{self._entries}-0"

    async def tombstones(self, partition: int) -> dict[str, Tombstone]:
        """See `Store.tombstones`."""
        return dict(self.erased.get(partition, {}))

    async def due(self, partition: int, until_us: int, limit: int) -> list[str]:
        """See `Store.due`."""
        until = until_us / 1e6
        ripe = sorted(
            (at, customer_id)
            for customer_id, at in self.due_at.get(partition, {}).items()
            if at <= until
        )
        return [customer_id for _, customer_id in ripe[:limit]]

    async def next_due_us(self, partition: int) -> int:
        """See `Store.next_due_us`."""
        earliest = min(self.due_at.get(partition, {}).values(), default=math.inf)
        return NEVER_US if earliest == math.inf else round(earliest * 1e6)

    async def customers(self, partition: int, cursor: int, count: int) -> tuple[int, list[str]]:
        """See `Store.customers`."""
        cursor, page = await self.reviews(partition, cursor, count)
        return cursor, [customer_id for customer_id, _ in page]

    async def reviews(
        self, partition: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[str, float]]]:
        """See `Store.reviews`."""
        due = self.due_at.get(partition, {})
        # As Redis scans: whoever was there all the time is met, whoever else came and went.
        numbers = self._numbers.setdefault(partition, {})
        for customer_id in due:
            numbers.setdefault(customer_id, len(numbers) + 1)
        left = sorted(
            (numbers[name], name, at) for name, at in due.items() if numbers[name] > cursor
        )
        page = left[:count]
        end = page[-1][0] if len(page) < len(left) else 0
        return end, [(name, at) for _, name, at in page]

    async def outbox(self, partition: int, after: str, count: int) -> list[tuple[str, bytes]]:
        """See `Store.outbox`."""
        begin = int(after.partition("-")[0]) if after else 0
        entries = self._outboxes.get(partition, {})
        return [(f"{entry}-0", entries[entry]) for entry in entries if entry > begin][:count]

    async def trim_outbox(self, partition: int, through: str) -> None:
        """See `Store.trim_outbox`."""
        last = int(through.partition("-")[0])
        entries = self._outboxes.get(partition, {})
        for entry in [entry for entry in entries if entry <= last]:
            del entries[entry]

    async def installation(self) -> dict[str, str]:
        """See `Store.installation`."""
        return dict(self._installation)

    async def found(self, facts: Mapping[str, str]) -> dict[str, str]:
        """See `Store.found`."""
        self._installation = {**facts, **self._installation}
        return await self.installation()

    async def save_scorecard(self, version: str, body: bytes, *, current: bool) -> None:
        """See `Store.save_scorecard`."""
        self._scorecards.setdefault(version, body)
        if current:
            self._current = version

    async def scorecards(self) -> dict[str, bytes]:
        """See `Store.scorecards`."""
        return dict(self._scorecards)

    async def current_scorecard(self) -> str | None:
        """See `Store.current_scorecard`."""
        return self._current

    async def save_learning(self, body: bytes) -> None:
        """See `Store.save_learning`."""
        self._learning = body

    async def learning(self) -> bytes | None:
        """See `Store.learning`."""
        return self._learning

    async def close(self) -> None:
        """See `Store.close`."""
