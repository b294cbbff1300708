"""A customer erased: what goes, what stays away, and what comes after."""

from __future__ import annotations

import pytest

from schemas.change import ChangeEvent
from schemas.dead_letter import DeadLetter
from schemas.erasure import erasure_headers, tombstone_name
from state.memory_store import MemoryStore
from state.store import Tombstone
from streams.homes import home_partition
from streams.settings import Clock, Settings
from tests.support.purchases import LogRecord, Purchase, Run

DAY = 12_000
MS_PER_DAY = 86_400_000
US_PER_MS = 1_000


def purchase(customer_id: str, number: int, *, day: int = DAY, kind: str = "purchase") -> bytes:
    return Purchase(customer_id, day, 1_000, f"t{number}", kind).value


def erasure(offset: int, customer_id: str = "C-1", *, day: int = DAY + 10, **fields) -> LogRecord:
    of = {"key": customer_id.encode(), "headers": erasure_headers(), "timestamp": day * MS_PER_DAY}
    return LogRecord(offset, None, **(of | fields))


def log(*records: bytes | LogRecord) -> list[LogRecord]:
    return [
        LogRecord(offset, record) if isinstance(record, bytes) else record
        for offset, record in enumerate(records)
    ]


async def run_of(*records: bytes | LogRecord, partitions: int = 1, **fields) -> Run:
    settings = Settings(_env_file=None, owner="w", clock=Clock.EVENT, **fields)
    run = await Run(partitions, settings).start()
    await run.process(0, log(*records))
    return run


def checkpoint(run: Run):
    return run.engine.owned[0].checkpoint


async def test_erased_customer_leaves_no_state_no_due_time_and_a_tombstone_under_another_name():
    run = await run_of(purchase("C-1", 1), purchase("C-2", 2), erasure(2))
    assert set(run.hashes()) == {"C-2"}
    assert set(run.store.due_at[0]) == {"C-2"}
    until_us = (DAY + 10) * MS_PER_DAY * US_PER_MS
    assert await run.store.tombstones(0) == {tombstone_name("C-1"): Tombstone(until_us, 4)}
    assert checkpoint(run).customers == 1
    assert checkpoint(run).applied == 2


async def test_erasure_is_told_as_leaving_segment_and_lifecycle_and_says_nothing_of_the_purchases():
    run = await run_of(purchase("C-1", 1), purchase("C-1", 2, day=DAY + 3), erasure(2))
    before, told = [], []
    for change in run.changes():
        (told if change["cause"] == "erasure" else before).append(change)
        ChangeEvent.model_validate(change)
    assert [change["type"].split(".")[1] for change in told] == ["segment", "lifecycle"]
    assert [change["current"] for change in told] == [None, None]
    was = {change["type"]: change["current"] for change in before}
    assert [change["previous"] for change in told] == [was[change["type"]] for change in told]
    assert [c["sequence"] for c in before + told] == list(range(1, len(before + told) + 1))
    for change in told:
        assert change["frequency"] == 0
        assert change["monetary_value"] == 0
        assert change["prob_alive"] == 0
        assert change["margin"] is None
        assert change["next_review"] is None
        assert change["source"] == {"topic": "transactions", "partition": 0, "offset": 2}
        assert change["occurred_at"].startswith("2002-11-19T00:00:00")


async def test_silence_that_came_first_is_told_first():
    late = purchase("C-2", 2, day=DAY + 4_000)
    run = await run_of(purchase("C-1", 1), late, erasure(2, day=DAY + 4_001))
    causes = [change["cause"] for change in run.changes() if change["customer_id"] == "C-1"]
    assert causes[-1] == "erasure"
    assert "silence" in causes


async def test_what_occurred_until_then_never_counts_again_and_what_comes_later_begins_anew():
    run = await run_of(
        purchase("C-1", 1),
        purchase("C-1", 2, day=DAY + 1),
        erasure(2),
        purchase("C-1", 1),  # a producer that sends twice
        purchase("C-1", 3, day=DAY + 9),  # late
        purchase("C-1", 4, day=DAY + 9, kind="refund"),
        purchase("C-1", 5, day=DAY + 11),
    )
    fields = run.hashes()["C-1"]
    assert fields["first_purchase_at"].startswith(b"2002-11-20")
    assert fields["frequency"] == b"0"
    assert fields["monetary_total"] == b"10.0000"
    assert fields["refund_total"] == b"0.0000"
    assert checkpoint(run).erased == 3
    assert checkpoint(run).applied == 3
    assert checkpoint(run).customers == 1
    told = [change["sequence"] for change in run.changes()]
    assert told == list(range(1, len(told) + 1))  # whoever has heard of 5 must not miss the next
    assert len({change["id"] for change in run.changes()}) == len(told)


@pytest.mark.parametrize("cut", range(1, 7))
async def test_where_slices_end_changes_nothing(cut):
    records = log(
        purchase("C-1", 1),
        purchase("C-2", 2),
        erasure(2),
        erasure(3, "C-2"),
        purchase("C-1", 3, day=DAY + 11),
        purchase("C-2", 1),
        erasure(6, day=DAY + 20),
    )
    whole = await run_of(*records)
    parts = await Run(1, whole.settings).start()
    await parts.process(0, records[:cut])
    await parts.process(0, records[cut:])
    assert parts.hashes() == whole.hashes() == {}
    assert parts.by_customer() == whole.by_customer()
    assert await parts.store.tombstones(0) == await whole.store.tombstones(0)


async def test_purchase_from_ahead_of_the_request_goes_too():
    run = await run_of(
        purchase("C-1", 1, day=DAY + 12), erasure(1), purchase("C-1", 1, day=DAY + 12)
    )
    assert run.hashes() == {}
    assert checkpoint(run).erased == 1


async def test_second_erasure_of_an_earlier_time_lets_nothing_back_in():
    run = await run_of(
        purchase("C-1", 1), erasure(1), erasure(2, day=DAY + 5), purchase("C-1", 2, day=DAY + 7)
    )
    assert run.hashes() == {}
    assert checkpoint(run).customers == 0


async def test_customer_nobody_knew_is_erased_without_a_word():
    run = await run_of(erasure(0, "C-9"), purchase("C-9", 1))
    assert run.hashes() == {}
    assert run.changes() == []
    assert checkpoint(run).customers == 0
    assert checkpoint(run).erased == 1


async def test_customer_with_refunds_only_goes_without_a_change():
    run = await run_of(purchase("C-1", 1, kind="refund"), erasure(1))
    assert run.hashes() == {}
    assert [change["cause"] for change in run.changes()] == []


async def test_sample_is_taken_back():
    run = await run_of(purchase("C-1", 1), erasure(1))
    samples = [m for m in run.published if m.topic == run.settings.samples_topic]
    assert [sample.key for sample in samples] == [b"C-1", b"C-1"]
    assert samples[-1].value is None
    assert samples[-1].partition == 0


async def test_next_owner_keeps_the_customer_away_and_reads_what_is_there():
    store = MemoryStore()
    settings = Settings(_env_file=None, owner="w", clock=Clock.EVENT)
    first = await Run(1, settings, store).start()
    await first.process(0, log(purchase("C-1", 1), purchase("C-2", 2), erasure(2)))
    second = await Run(1, settings, store).start()
    again = [LogRecord(3, purchase("C-1", 1)), LogRecord(4, purchase("C-2", 3, day=DAY + 1))]
    await second.process(0, again)
    assert set(second.hashes()) == {"C-2"}
    assert second.hashes()["C-2"]["frequency"] == b"1"


async def test_room_of_an_erased_customer_in_memory_serves_another():
    run = await run_of(
        purchase("C-1", 1),
        purchase("C-2", 2),
        erasure(2),
        purchase("C-3", 3),
        purchase("C-2", 4, day=DAY + 1),
        purchase("C-3", 5, day=DAY + 2),
    )
    assert run.hashes()["C-2"]["t_x_days"] == b"1"
    assert run.hashes()["C-3"]["t_x_days"] == b"2"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key": None}, "the key None of an erasure is not a customer id"),
        ({"key": b"\xff"}, "is not a customer id"),
        ({"key": b"a b"}, "is not a customer id"),
        ({"timestamp": -1}, "the erasure's timestamp -1 is no time"),
        ({"headers": [("everscore-erasure", b"v9")]}, "is not the version"),
        ({"headers": [("everscore-erasure", None)]}, "is not the version"),
    ],
)
async def test_erasure_of_nobody_is_a_dead_letter_and_erases_nobody(fields, reason):
    run = await run_of(purchase("C-1", 1), erasure(1, **fields), purchase("C-1", 2, day=DAY + 1))
    assert run.hashes()["C-1"]["frequency"] == b"1"
    assert checkpoint(run).dead == 1
    (letter,) = [m for m in run.published if m.topic == run.settings.dead_letter_topic]
    said = DeadLetter.from_headers(letter.headers)
    assert said.error_class == "InvalidErasureError"
    assert reason in said.message
    assert said.offset == 1


async def test_erasure_on_a_foreign_partition_is_a_dead_letter_that_names_its_home():
    foreign = next(name for name in ("C-1", "C-2", "C-3", "C-4") if home_partition(name, 2))
    run = await run_of(erasure(0, foreign), partitions=2)
    (letter,) = [m for m in run.published if m.topic == run.settings.dead_letter_topic]
    assert "belongs on partition 1" in DeadLetter.from_headers(letter.headers).message


async def test_absent_value_without_our_header_is_a_bad_record_as_before():
    run = await run_of(purchase("C-1", 1), LogRecord(1, None, key=b"C-1"))
    assert set(run.hashes()) == {"C-1"}
    assert checkpoint(run).dead == 1


async def test_purchase_is_never_taken_for_an_erasure_by_a_header():
    bought = LogRecord(0, purchase("C-1", 1), key=b"C-1", headers=erasure_headers())
    assert set((await run_of(bought)).hashes()) == {"C-1"}
