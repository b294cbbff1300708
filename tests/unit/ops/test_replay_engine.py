"""A replay folds what its journal cuts, and tells the same history."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from random import Random
from typing import Any

import pytest

from ops.verify import replay_engine
from ops.verify.replay_engine import Counted, ReplayEngine, turns
from schemas.mark import Mark
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from streams.messages import change_messages
from streams.settings import Settings
from tests.support.purchases import LogRecord, cdnow_of

SETTINGS = Settings(_env_file=None)
TOPIC, REKEYED = SETTINGS.input_topics
CARD = bootstrap_scorecard()
NEXT = CARD.model_copy(update={"number": CARD.number + 1, "version": "manual-1", "hysteresis": 0.3})
DAY_US = 86_400_000_000


def mark_after(previous: Mark | None, offset: int, clock_us: int, **more: Any) -> Mark:
    said = {"scorecard": CARD.version, "reading": TOPIC} | more
    return Mark.after(previous, offsets={TOPIC: offset, REKEYED: 0}, clock_us=clock_us, **said)


def journal(moments_us: list[int], random: Random) -> list[Mark]:
    """Marks of a worker whose clock was the wall's, weeks ahead of its purchases, and its scorecards."""
    marks = [mark_after(None, 0, -(2**63))]
    card = CARD.version
    for offset in sorted(random.sample(range(1, len(moments_us)), 60)):
        reached = max(marks[-1].clock_us, *moments_us[:offset])
        if offset > len(moments_us) // 2:
            card = NEXT.version
        clock_us = reached + random.randrange(20) * DAY_US + 1
        marks.append(mark_after(marks[-1], offset, clock_us, scorecard=card))
    return marks


async def history(records: list[LogRecord], marks: list[Mark], size: int) -> tuple[Any, ...]:
    """Everyone as they stand in the end, what was told of each, the checkpoint, and slices with changes."""
    told: dict[bytes | None, list[Any]] = defaultdict(list)
    slices = 0

    def hear(counted: Counted) -> None:
        nonlocal slices
        changes, states = counted.advanced.changes, counted.advanced.states
        slices += len(states) > 0
        for message in change_messages(
            changes, states, SETTINGS.input_topics, 0, BusinessCalendar(), SETTINGS
        ):
            told[message.key].append((message.value, message.headers))

    engine = ReplayEngine(SETTINGS, 1, marks, hear)
    for card in (CARD, NEXT):
        body = card.model_dump_json().encode()
        await engine.store.save_scorecard(card.version, body, current=False)
    await engine.acquire(0)
    for start in range(0, len(records), size):
        some = records[start : start + size]
        while engine.owned[0].checkpoint.next_offsets[TOPIC] <= some[-1].offset:
            await engine.process(TOPIC, 0, some)
    while await engine.sweep(0, engine.owned[0].checkpoint.clock_us):
        pass
    while engine.owned[0].rescore_cursor is not None:
        await engine.rescore(0)
    (page,) = engine.everyone.pages(10_000)
    checkpoint = engine.owned[0].checkpoint
    place = checkpoint.mark, checkpoint.clock_us, checkpoint.adoptions, checkpoint.applied
    customers = dict(zip(page.customer_ids, page.numbers.tolist(), strict=True))
    return repr(customers), dict(told), place, slices


@pytest.mark.parametrize("seed", range(6))
def test_marks_that_raise_the_clock_cut_no_slice_and_change_no_history(monkeypatch, seed):
    purchases = cdnow_of(60)
    records = [LogRecord(at, p.value) for at, p in enumerate(purchases)]
    random = Random(seed)
    marks = journal([p.day * DAY_US for p in purchases], random)
    folded = asyncio.run(history(records, marks, random.randrange(20, 200)))
    assert len(turns(marks)) == 2
    monkeypatch.setattr(replay_engine, "turns", list)
    one_by_one = asyncio.run(history(records, marks, random.randrange(20, 200)))
    assert folded[:3] == one_by_one[:3]
    assert folded[2][0] == marks[-1]
    assert folded[3] < one_by_one[3] / 2
    assert any(b'"silence"' in value for changes in folded[1].values() for value, _ in changes)
