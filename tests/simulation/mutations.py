"""The guards of production, each taken away by itself: the simulator must notice.

Nothing here runs outside the tests. What each guard is for: `ops/decisions/`, the note on the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from schemas.errors import FencedError, StoreUnavailableError
from schemas.mark import Mark
from state.store import Checkpoint
from streams.engine import SliceEngine
from streams.holdings import Owned
from streams.journal import KafkaJournal
from streams.ownership import Ownership
from streams.relay import OutboxRelay
from streams.slices import Committed
from streams.worker import ScoringWorker

Patch = tuple[Any, str, Any]


def _refusal_by(*compared: str) -> list[Patch]:
    """Only some of what a commit compares."""

    def refusal(partition: int, held: Checkpoint, before: Checkpoint) -> FencedError | None:
        same = all(getattr(held, name) == getattr(before, name) for name in compared)
        if "next_offsets" in compared:
            known = {topic: held.next_offsets.get(topic, 0) for topic in before.next_offsets}
            same = known == before.next_offsets and all(
                getattr(held, name) == getattr(before, name)
                for name in compared
                if name != "next_offsets"
            )
        return None if same else FencedError(f"partition {partition}")

    modules = ("state.memory_store", "streams.holdings", "streams.slices")
    return [(module, "refusal", refusal) for module in modules]


async def _recover_nothing(self: OutboxRelay, partition: int) -> int:
    return 0


async def _acknowledge_all(worker: ScoringWorker, stream: Any) -> None:
    async for event in stream.noack().events():
        try:
            await worker.count(event.value)
        except Exception:
            worker.store._network.trace.add("agent", "goes on as if nothing had happened")
        event.ack()


async def _try_without_resync(
    self: ScoringWorker, partition: int, step: Callable[..., Any], *args: Any
) -> bool:
    try:
        committed = await step(*args)
    except FencedError:
        await self.ownership.resync(partition)
        return False
    except StoreUnavailableError:
        return False
    if committed is not None:
        await self.relay.submit(committed)
    return True


_trusting: ContextVar[bool] = ContextVar("trusting", default=False)
_sweep, _settle, _process = SliceEngine.sweep, SliceEngine._settle, SliceEngine.process


async def _trusting_sweep(self: SliceEngine, *args: Any) -> Committed | None:
    _trusting.set(True)
    try:
        return await _sweep(self, *args)
    finally:
        _trusting.set(False)


async def _trusting_settle(
    self: SliceEngine, owned: Owned, states: Any, clock_us: int
) -> Committed:
    if _trusting.get():
        numbers = states.numbers
        until_us = clock_us - self._lateness_us
        numbers["next_review_us"] = np.minimum(numbers["next_review_us"], until_us)
    return await _settle(self, owned, states, clock_us)


async def _process_any(
    self: SliceEngine, topic: str, partition: int, records: Any, read_from: int = 0
) -> Committed | None:
    return await _process(self, topic, partition, records)


async def _nothing_ahead(
    self: KafkaJournal, partition: int, checkpoint: Checkpoint
) -> tuple[list[Mark], int]:
    return [], 0


async def _look_nowhere(self: Ownership) -> None:
    await asyncio.Event().wait()


_MUTATIONS: dict[str, Callable[[], list[Patch]]] = {
    "the number of the commit and the offsets are not compared": partial(
        _refusal_by, "epoch", "token"
    ),
    "epoch and token are not compared": partial(_refusal_by, "commits", "next_offsets"),
    "a transaction id is not remembered": lambda: [
        ("scoring.booking", "_booking", None),
        ("scoring.ledger", "contains_hash", lambda *_: False),
    ],
    "the outbox is not recovered": lambda: [(OutboxRelay, "recover", _recover_nothing)],
    "a batch that failed is acknowledged": lambda: [
        ("streams.app", "count_stream", _acknowledge_all)
    ],
    "a sweep trusts the due queue": lambda: [
        (SliceEngine, "sweep", _trusting_sweep),
        (SliceEngine, "_settle", _trusting_settle),
    ],
    "a commit without an answer is not looked into": lambda: [
        (ScoringWorker, "_try", _try_without_resync)
    ],
    "records are counted wherever they begin": lambda: [(SliceEngine, "process", _process_any)],
    "the journal is not read": lambda: [(KafkaJournal, "ahead_of", _nothing_ahead)],
    "decisions are taken before all is told again": lambda: [
        (Owned, "repeats", property(lambda self: bool(self.ahead)))
    ],
    "what was sent home is known by its id alone": lambda: [
        ("streams.engine", "never_heard_of", lambda records, heard: (records, dict(heard)))
    ],
    "nobody looks at an idle partition": lambda: [(Ownership, "watch_forever", _look_nowhere)],
}
MUTATIONS = tuple(_MUTATIONS)


@contextmanager
def without_guard(mutation: str) -> Iterator[None]:
    """Run production without one of its guards."""
    with ExitStack() as patches:
        for where, name, other in _MUTATIONS[mutation]():
            target = patch(f"{where}.{name}", other) if isinstance(where, str) else None
            patches.enter_context(target or patch.object(where, name, other))
        yield
