"""Foreign records: sent home with where they came from, and counted there once however often they come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from state.memory_store import MemoryStore
from streams.detours import ORIGIN_HEADER, never_heard_of
from streams.engine import SliceEngine
from streams.homes import home_partition
from streams.settings import Settings
from tests.support.purchases import LogRecord, Purchase

HOME, FOREIGN = 0, 1
DAY = 12_000
MS_PER_DAY = 86_400_000
CUSTOMER = next(name for name in ("C-1", "C-2", "C-3") if home_partition(name, 2) == HOME)
TRANSACTIONS, REKEYED = "transactions", "transactions.rekeyed"


def sent(offset: int, origin: bytes | None) -> LogRecord:
    headers = [] if origin is None else [(ORIGIN_HEADER, origin)]
    return LogRecord(offset, b"", headers=headers)


def bought(number: int) -> bytes:
    return Purchase(CUSTOMER, DAY, 1_000, f"t{number}").value


@pytest.mark.parametrize(
    ("origins", "heard", "new", "now"),
    [
        ([b"1:4", b"1:5"], {}, [0, 1], {1: 6}),
        ([b"1:4", b"1:5"], {1: 5}, [1], {1: 6}),
        ([b"1:4", b"2:4", b"1:4", b"2:3"], {}, [0, 1], {1: 5, 2: 5}),
        ([b"1:9", b"1:3"], {}, [0], {1: 10}),
        ([None, b"1:3", None], {1: 7}, [0, 2], {1: 7}),
        ([], {1: 7}, [], {1: 7}),
    ],
)
def test_what_comes_from_before_the_last_heard_of_its_origin_has_been_here(
    origins, heard, new, now
):
    records = [sent(offset, origin) for offset, origin in enumerate(origins)]
    found, after = never_heard_of(records, heard)
    assert [record.offset for record in found] == new
    assert after == now


def test_last_word_about_the_origin_counts():
    record = LogRecord(0, b"", headers=[(ORIGIN_HEADER, b"7:7"), (ORIGIN_HEADER, b"1:2")])
    assert never_heard_of([record], {7: 9})[1] == {7: 9, 1: 3}


async def engine_of(store: MemoryStore) -> SliceEngine:
    settings = Settings(_env_file=None, owner="w", dedup_horizon_days=7.0)
    engine = SliceEngine(store, settings, 2)
    for partition in (HOME, FOREIGN):
        await engine.acquire(partition)
    return engine


async def sent_home(engine: SliceEngine, *records: LogRecord) -> list[LogRecord]:
    """What the foreign partition's worker sends, as it arrives in `transactions.rekeyed`."""
    committed = await engine.process(TRANSACTIONS, FOREIGN, records)
    assert committed is not None
    return [
        LogRecord(-1, message.value, message.key, message.timestamp_ms or 0, list(message.headers))
        for message in committed.messages
        if message.topic == REKEYED
    ]


async def test_record_sent_home_again_after_the_horizon_counts_once():
    store = MemoryStore()
    engine = await engine_of(store)
    first = LogRecord(0, bought(1), timestamp=DAY * MS_PER_DAY)
    (detour,) = await sent_home(engine, first)
    assert detour.headers[-1] == (ORIGIN_HEADER, b"1:0")
    assert detour.timestamp == first.timestamp
    await engine.process(REKEYED, HOME, [replace(detour, offset=0)])
    # Long after: nobody remembers the id of the first one.
    late = LogRecord(0, bought(2), timestamp=(DAY + 100) * MS_PER_DAY)
    await engine.process(TRANSACTIONS, HOME, [late])
    # The foreign partition is flushed, and its worker sends everything again.
    store.checkpoints.pop(FOREIGN)
    (again,) = await sent_home(await engine_of(store), first)
    assert again == detour
    home = await engine_of(store)
    await home.process(REKEYED, HOME, [replace(again, offset=1)])
    checkpoint = home.owned[HOME].checkpoint
    assert (checkpoint.applied, checkpoint.duplicates) == (2, 1)
    assert checkpoint.heard == {FOREIGN: 1}
    assert store.hashes[HOME, CUSTOMER]["monetary_total"] == b"20.0000"


async def test_record_sent_home_twice_keeps_its_first_origin():
    engine = await engine_of(MemoryStore())
    lost = LogRecord(3, bought(1), headers=[(ORIGIN_HEADER, b"5:8")])
    committed = await engine.process(REKEYED, FOREIGN, [lost])
    assert committed is not None
    (message,) = [one for one in committed.messages if one.topic == REKEYED]
    assert message.headers == [(ORIGIN_HEADER, b"5:8")]
    assert message.partition == HOME
