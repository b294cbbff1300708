"""The slice engine over the in-memory store: bad and foreign records, fencing, clocks, recovery."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest

from schemas.dead_letter import DeadLetter, original_headers
from schemas.errors import FencedError, InvariantError, StoreUnavailableError
from schemas.mark import Mark
from schemas.scorecard import Origin
from schemas.transaction import AMOUNT_MAJOR_MAX, UNITS_PER_MAJOR
from scoring.bootstrap import bootstrap_scorecard
from scoring.ledger import TOTAL_UNITS_MAX
from scoring.states import UNKNOWN_US
from state.memory_store import MemoryStore
from streams.detours import ORIGIN_HEADER
from streams.engine import SliceEngine
from streams.holdings import EmptyJournal
from streams.homes import home_partition, sample_rank
from streams.samples import decode_sample
from streams.settings import Clock, Settings
from tests.support.purchases import ARRIVED_MS, LogRecord, Purchase, Run

TOPIC, REKEYED = "transactions", "transactions.rekeyed"
DEAD, CHANGES, SAMPLES = "transactions.dead-letter", "segment-changes", "customer-samples"
DAY = 12_000
US_PER_DAY = 86_400_000_000
DAY_US = DAY * US_PER_DAY


def settings_of(**fields) -> Settings:
    return Settings(_env_file=None, owner="w", **fields)


def value_of(customer_id="C-1", transaction_id="t", *, day=DAY, cents=1_000, kind="purchase"):
    return Purchase(customer_id, day, cents, transaction_id, kind).value


def log(*values: bytes | None, start=0, **fields) -> list[LogRecord]:
    return [LogRecord(start + offset, value, **fields) for offset, value in enumerate(values)]


async def engine_of(store=None, *, partitions=1, acquire=True, **fields) -> SliceEngine:
    engine = SliceEngine(store or MemoryStore(), settings_of(**fields), partitions)
    if acquire:
        for partition in range(partitions):
            await engine.acquire(partition)
    return engine


def of_topic(committed, topic):
    return [message for message in committed.messages if message.topic == topic]


def bodies(committed, **wanted):
    found = [json.loads(message.value) for message in of_topic(committed, CHANGES)]
    return [body for body in found if all(body[name] == value for name, value in wanted.items())]


def is_segment(body) -> bool:
    return body["current"] not in ("active", "fading", "lost") and body["previous"] not in (
        "active",
        "fading",
        "lost",
    )


def everything(store: MemoryStore):
    """All that is in the store, to be compared with itself later."""
    return copy.deepcopy(vars(store))


# --- dead letters ----------------------------------------------------------------------------------

BAD = {
    "malformed": (b'{"transaction_id": "t-1",', "InvalidTransactionError", "t-1"),
    "currency": (
        value_of().replace(b"}", b', "currency": "EUR"}'),
        "WrongCurrencyError",
        "'EUR'",
    ),
    "year 9999": (
        value_of().replace(b"2002-11-09", b"9999-12-31"),
        "FutureTransactionError",
        "9999-12-31",
    ),
    "NaN": (value_of().replace(b"10.0", b"NaN"), "InvalidTransactionError", "JSON has no NaN"),
    "8 MB": (b"x" * 8_000_000, "OversizeRecordError", "8,000,000"),
    "id": (value_of("a\nb{c}"), "InvalidTransactionError", r"a\nb{c}"),
    "no value": (None, "InvalidTransactionError", "tombstone"),
}


async def test_bad_records_are_dead_lettered_whole_and_the_good_ones_around_them_count():
    engine = await engine_of()
    records = [LogRecord(0, value_of("first", "t0"))]
    for name, (value, _, _) in BAD.items():
        headers = [("trace", name.encode()), ("trace", b"\xff")]
        records.append(LogRecord(len(records), value, b"k-" + name.encode(), headers=headers))
        records.append(LogRecord(len(records), value_of(f"c{len(records)}", "t")))
    committed = await engine.process(TOPIC, 0, records)
    letters = of_topic(committed, DEAD)
    assert len(letters) == len(BAD)
    for index, (message, (name, (value, error, named))) in enumerate(
        zip(letters, BAD.items(), strict=True)
    ):
        assert message.key == b"k-" + name.encode()
        assert message.value == value
        assert original_headers(message.headers) == [("trace", name.encode()), ("trace", b"\xff")]
        letter = DeadLetter.from_headers(message.headers)
        assert letter.error_class == error
        assert named in letter.message
        assert (letter.topic, letter.partition, letter.offset) == (TOPIC, 0, 1 + 2 * index)
        assert message.timestamp_ms is None
        assert message.partition is None
    checkpoint = engine.owned[0].checkpoint
    assert (checkpoint.applied, checkpoint.dead) == (1 + len(BAD), len(BAD))
    assert checkpoint.customers == committed.customers == 1 + len(BAD)
    assert checkpoint.next_offsets[TOPIC] == len(records)
    assert checkpoint == await engine.store.checkpoint(0)


async def test_slice_of_nothing_but_bad_records_is_passed_too():
    engine = await engine_of()
    committed = await engine.process(TOPIC, 0, log(b"?", b"??", start=41))
    assert committed.customers == 0
    assert len(of_topic(committed, DEAD)) == 2
    assert engine.owned[0].checkpoint.next_offsets[TOPIC] == 43
    assert engine.owned[0].checkpoint.clock_us == UNKNOWN_US


@pytest.mark.parametrize(
    "stamp", [-(2**63), -2, -1, ARRIVED_MS * 1_000, ARRIVED_MS * 1_000_000, 2**63 - 1]
)
async def test_record_stamped_with_no_time_is_dead_and_moves_neither_clock_nor_dedup(stamp):
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of("a", "t1")))
    before = engine.owned[0].checkpoint
    committed = await engine.process(
        TOPIC, 0, log(value_of("a", "t2", day=DAY + 1), b"?", start=1, timestamp=stamp)
    )
    stamped, malformed = of_topic(committed, DEAD)
    assert DeadLetter.from_headers(stamped.headers).error_class == "InvalidTimestampError"
    assert DeadLetter.from_headers(malformed.headers).error_class == "InvalidTransactionError"
    assert stamped.key is malformed.key is stamped.timestamp_ms is malformed.timestamp_ms is None
    after = engine.owned[0].checkpoint
    assert (after.applied, after.dead) == (1, 2)
    assert (after.clock_us, after.live) == (before.clock_us, before.live)
    await engine.process(TOPIC, 0, log(value_of("a", "t1"), start=3))
    assert engine.owned[0].checkpoint.duplicates == 1


LARGEST_CENTS = AMOUNT_MAJOR_MAX * 100
UP_TO_THE_LIMIT = TOTAL_UNITS_MAX // (AMOUNT_MAJOR_MAX * UNITS_PER_MAJOR)


@pytest.mark.parametrize(("kind", "days"), [("purchase", 1), ("purchase", 90), ("refund", 2)])
async def test_transaction_that_would_overflow_a_customers_sum_is_dead_and_the_rest_is_exact(
    kind, days
):
    engine = await engine_of()
    values = [
        value_of("rich", f"t{n}", day=DAY + n % days, cents=LARGEST_CENTS, kind=kind)
        for n in range(UP_TO_THE_LIMIT)
    ]
    await engine.process(TOPIC, 0, log(*values))
    assert engine.owned[0].checkpoint.dead == 0
    more = log(
        value_of("rich", "one cent more", cents=1, kind=kind),
        value_of("rich", "t0", day=DAY, cents=LARGEST_CENTS, kind=kind),
        value_of("rich", "nothing more", cents=0, kind=kind),
        value_of("other", "t0", cents=1),
        start=len(values),
    )
    committed = await engine.process(TOPIC, 0, more)
    (message,) = of_topic(committed, DEAD)
    letter = DeadLetter.from_headers(message.headers)
    assert (letter.error_class, letter.offset) == ("CustomerTotalError", len(values))
    assert letter.message == (
        f"customer 'rich' would have {kind}s of more than 400,000,000,000,000 in all "
        "with this one of 0.0100"
    )
    checkpoint = engine.owned[0].checkpoint
    assert (checkpoint.dead, checkpoint.duplicates) == (1, 1)
    assert checkpoint.applied == len(values) + 2
    total = {"purchase": b"monetary_total", "refund": b"refund_total"}[kind].decode()
    assert engine.store.hashes[0, "rich"][total] == b"400000000000000.0000"
    again = SliceEngine(engine.store, engine.settings, 1)  # reads the state back
    await again.acquire(0)
    await again.process(TOPIC, 0, log(value_of("rich", "last", cents=1, kind=kind), start=9_000))
    assert again.owned[0].checkpoint.dead == 2
    other = "refund" if kind == "purchase" else "purchase"
    await again.process(TOPIC, 0, log(value_of("rich", "back", cents=1, kind=other), start=9_001))
    assert again.owned[0].checkpoint.dead == 2


async def test_dead_letters_of_a_slice_are_in_the_order_of_the_log_whatever_they_died_of():
    engine = await engine_of()
    rich = [value_of("rich", f"t{n}", cents=LARGEST_CENTS) for n in range(UP_TO_THE_LIMIT + 2)]
    committed = await engine.process(TOPIC, 0, log(*rich[:-1], b"?", rich[-1], b"??"))
    letters = [DeadLetter.from_headers(letter.headers) for letter in of_topic(committed, DEAD)]
    assert [letter.offset for letter in letters] == list(range(UP_TO_THE_LIMIT, len(rich) + 2))


# --- home and foreign records ----------------------------------------------------------------------


async def test_foreign_records_go_to_their_home_and_home_records_count_here():
    engine = await engine_of(partitions=4)
    ids = [f"C-{number}" for number in range(40)]
    headers = [("trace", b"\xff")]
    records = [
        LogRecord(offset, value_of(name, "t"), b"wrong key", ARRIVED_MS + offset, headers)
        for offset, name in enumerate(ids)
    ]
    committed = await engine.process(TOPIC, 2, records)
    foreign = [name for name in ids if home_partition(name, 4) != 2]
    assert 20 <= len(foreign) < 40
    sent = of_topic(committed, REKEYED)
    assert [message.key.decode() for message in sent] == foreign
    for message in sent:
        offset = ids.index(message.key.decode())
        assert message.partition == home_partition(message.key.decode(), 4)
        assert message.value == records[offset].value
        assert message.headers == [*headers, (ORIGIN_HEADER, f"2:{offset}".encode())]
        assert message.timestamp_ms == ARRIVED_MS + offset
    checkpoint = engine.owned[2].checkpoint
    assert (checkpoint.forwarded, checkpoint.applied) == (len(foreign), 40 - len(foreign))
    assert {name for _, name in engine.store.hashes} == set(ids) - set(foreign)


async def test_keyless_and_oddly_keyed_records_end_in_the_same_state_as_well_keyed_ones():
    purchases = [
        Purchase(f"C-{number % 7}", DAY + number // 7, 100 * number, f"t{number}")
        for number in range(35)
    ]
    run = await Run(4, settings_of()).start()
    await run.feed(purchases, 100)
    engine = await engine_of(partitions=4)
    detours: dict[int, list[LogRecord]] = {partition: [] for partition in range(4)}
    for partition in range(4):  # dealt out in turn, as a producer does with records without a key
        records = log(*(purchase.value for purchase in purchases[partition::4]))
        committed = await engine.process(TOPIC, partition, records)
        for message in of_topic(committed, REKEYED):
            queue = detours[message.partition]
            queue.append(LogRecord(len(queue), message.value, message.key, message.timestamp_ms))
    for partition, records in detours.items():
        await engine.process(REKEYED, partition, records)
    assert sum(owned.checkpoint.applied for owned in engine.owned.values()) == 35
    sources = ("source", "sequence", "segment", "segment_since", "prob_alive_at")
    direct, dealt = (
        {key: {name: v for name, v in fields.items() if name in RFM} for key, fields in s.items()}
        for s in (run.store.hashes, engine.store.hashes)
    )
    assert direct == dealt
    assert not RFM & set(sources)


RFM = {
    "frequency",
    "t_x_days",
    "first_purchase_at",
    "last_purchase_at",
    "monetary_value",
    "monetary_total",
    "refund_total",
}


async def test_record_that_took_the_detour_as_well_as_the_straight_way_counts_once():
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of()))
    committed = await engine.process(REKEYED, 0, log(value_of()))
    checkpoint = engine.owned[0].checkpoint
    assert (checkpoint.applied, checkpoint.duplicates) == (1, 1)
    assert dict(checkpoint.next_offsets) == {TOPIC: 1, REKEYED: 1}
    assert bodies(committed) == []


async def test_change_caused_by_a_detoured_record_names_where_it_was_read():
    engine = await engine_of()
    committed = await engine.process(REKEYED, 0, log(value_of(), start=9))
    assert bodies(committed)[0]["source"] == {"topic": REKEYED, "partition": 0, "offset": 9}


# --- offsets ---------------------------------------------------------------------------------------


async def test_records_below_the_next_offset_are_skipped():
    engine = await engine_of()
    values = [value_of(f"c{number}", "t") for number in range(6)]
    records = log(*values)
    await engine.process(TOPIC, 0, records[:4])
    seen = everything(engine.store)
    assert await engine.process(TOPIC, 0, records[1:4]) is None
    assert await engine.process(TOPIC, 0, []) is None
    assert everything(engine.store) == seen
    committed = await engine.process(TOPIC, 0, records[2:])
    assert committed.customers == 2
    assert engine.owned[0].checkpoint.applied == 6
    assert engine.owned[0].checkpoint.duplicates == 0


async def test_gap_in_the_offsets_is_followed():
    engine = await engine_of()
    await engine.process(TOPIC, 0, [LogRecord(3, value_of()), LogRecord(900, value_of("d"))])
    assert engine.owned[0].checkpoint.next_offsets[TOPIC] == 901


async def test_each_input_topic_has_its_own_next_offset():
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of("a"), start=5))
    await engine.process(REKEYED, 0, log(value_of("b")))
    assert dict((await engine.store.checkpoint(0)).next_offsets) == {TOPIC: 6, REKEYED: 1}


@pytest.mark.parametrize(
    ("days_later", "counted"), [(0, 1), (6.9, 1), (7, 1), (14, 2), (400, 2), (-400, 1)]
)
async def test_transaction_id_is_remembered_for_its_horizon_and_no_longer_than_two(
    days_later, counted
):
    engine = await engine_of(dedup_horizon_days=7)
    later_ms = ARRIVED_MS + int(days_later * 86_400_000)
    await engine.process(TOPIC, 0, log(value_of()))
    await engine.process(TOPIC, 0, log(value_of(), start=1, timestamp=later_ms))
    assert engine.owned[0].checkpoint.applied == counted
    assert engine.store.hashes[0, "C-1"]["monetary_total"] == b"%d.0000" % (10 * counted)


# --- owners ----------------------------------------------------------------------------------------


async def test_zombie_is_fenced_writes_nothing_and_learns_that_the_partition_is_lost():
    store = MemoryStore()
    zombie = await engine_of(store)
    await zombie.process(TOPIC, 0, log(value_of("a")))
    owner = await engine_of(store)
    seen = everything(store)
    records = log(value_of("b"), value_of("a", "t2", day=DAY + 400), start=1)
    card = bootstrap_scorecard().model_copy(update={"number": 1, "origin": Origin.FITTED})
    await store.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
    seen = everything(store)
    for attempt in (
        zombie.process(TOPIC, 0, records),
        zombie.sweep(0, DAY_US + 1_000 * US_PER_DAY),
        zombie.adopt(0, card.version),
    ):
        with pytest.raises(FencedError):
            await attempt
    assert everything(store) == seen
    assert await zombie.resync(0) is None
    assert 0 not in zombie.owned
    with pytest.raises(FencedError, match="partition 0 is not ours"):
        await zombie.process(TOPIC, 0, records)
    assert (await owner.process(TOPIC, 0, records)).customers == 2


async def test_owner_that_resyncs_still_owns_and_reads_afresh():
    store = MemoryStore()
    engine = await engine_of(store)
    await engine.process(TOPIC, 0, log(value_of("a")))
    checkpoint = await engine.resync(0)
    assert checkpoint is not None
    assert (checkpoint.epoch, checkpoint.next_offsets[TOPIC]) == (1, 1)
    assert "a" not in engine.owned[0].cache
    await engine.process(TOPIC, 0, log(value_of("a", "t2", day=DAY + 1), start=1))
    assert store.hashes[0, "a"]["frequency"] == b"1"


async def test_rolled_back_store_is_taken_over_where_it_stands_and_what_is_missing_is_counted_again():
    store = MemoryStore()
    engine = await engine_of(store)
    records = log(*(value_of(f"c{number}", "t") for number in range(4)))
    await engine.process(TOPIC, 0, records[:2])
    earlier = everything(store)
    for epoch in (2, 3):  # other owners came and went
        assert (await engine.acquire(0)).epoch == epoch
    await engine.process(TOPIC, 0, records[2:])
    expected = store.hashes
    vars(store).update(earlier)
    with pytest.raises(FencedError):
        await engine.process(TOPIC, 0, log(value_of("x"), start=4))
    checkpoint = await engine.resync(0)
    assert checkpoint is not None
    assert (checkpoint.epoch, checkpoint.next_offsets[TOPIC]) == (2, 2)
    await engine.process(TOPIC, 0, records)
    assert store.hashes == expected


async def test_released_partition_is_not_ours_any_more():
    engine = await engine_of()
    engine.release(0)
    engine.release(0)
    with pytest.raises(FencedError):
        await engine.process(TOPIC, 0, log(value_of()))
    assert await engine.resync(0) is None


class LossyStore(MemoryStore):
    """Answers a commit, does not get it, or gets it and does not answer."""

    mode = "answers"

    async def commit_slice(self, commit):
        if self.mode == "never arrives":
            raise StoreUnavailableError("Redis does not answer")
        entry = await super().commit_slice(commit)
        if self.mode == "answer is lost":
            raise StoreUnavailableError("Redis does not answer")
        return entry


@pytest.mark.parametrize(("mode", "written"), [("never arrives", 1), ("answer is lost", 3)])
async def test_commit_without_an_answer_counts_every_record_once_after_resync(mode, written):
    store = LossyStore()
    engine = await engine_of(store)
    records = log(value_of("a"), value_of("a", "t2", day=DAY + 1), value_of("b"))
    await engine.process(TOPIC, 0, records[:1])
    store.mode = mode
    with pytest.raises(StoreUnavailableError):
        await engine.process(TOPIC, 0, records)
    store.mode = "answers"
    checkpoint = await engine.resync(0)
    assert checkpoint is not None
    assert checkpoint.next_offsets[TOPIC] == written
    await engine.process(TOPIC, 0, records)
    final = engine.owned[0].checkpoint
    assert (final.applied, final.duplicates, final.customers) == (3, 0, 2)
    assert store.hashes[0, "a"]["frequency"] == b"1"
    assert store.hashes[0, "a"]["monetary_total"] == b"20.0000"


async def test_rollback_of_a_sweep_alone_is_noticed_by_the_next_commit():
    store = MemoryStore()
    engine = await engine_of(store)
    await engine.process(TOPIC, 0, log(value_of("a")))
    before_sweep = copy.deepcopy(vars(store))
    due_us = engine.owned[0].next_due_us
    swept = bodies(await engine.sweep(0, due_us))
    vars(store).update(copy.deepcopy(before_sweep))  # same epoch, same offsets
    with pytest.raises(FencedError, match=r"commit 1.*not at.*commit 2"):
        await engine.process(TOPIC, 0, log(value_of("b"), start=1))
    assert await engine.resync(0) is not None
    assert bodies(await engine.sweep(0, due_us)) == swept


async def test_equal_epoch_of_another_acquisition_is_not_ours():
    store = MemoryStore()
    engine = await engine_of(store)
    unowned = copy.deepcopy(vars(store))
    unowned["checkpoints"] = {}
    vars(store).update(unowned)  # rolled back, and somebody else was quicker
    other = await engine_of(store)
    assert other.owned[0].checkpoint.epoch == engine.owned[0].checkpoint.epoch
    with pytest.raises(FencedError):
        await engine.process(TOPIC, 0, log(value_of("a")))
    assert await engine.resync(0) is None
    assert await other.process(TOPIC, 0, log(value_of("a"))) is not None


async def test_engine_that_starts_again_goes_on_with_the_same_clock_cards_and_due_times():
    store = MemoryStore()
    engine = await engine_of(store)
    await engine.process(TOPIC, 0, log(value_of("a")))
    before = engine.owned[0]
    again = await engine_of(store)
    now = again.owned[0].checkpoint
    assert now.token != before.checkpoint.token
    assert now == replace(before.checkpoint, epoch=2, token=now.token)
    assert again.owned[0].next_due_us == before.next_due_us > DAY_US
    assert again.owned[0].timeline.adoptions == before.timeline.adoptions
    committed = await again.sweep(0, before.next_due_us)
    assert bodies(committed)[0]["cause"] == "silence"


# --- scorecards ------------------------------------------------------------------------------------


async def test_first_owner_keeps_the_bootstrap_scorecard_without_making_it_current():
    engine = await engine_of(family="bgnbd", hysteresis=0.1, fading_below=0.6)
    assert await engine.store.current_scorecard() is None
    body = (await engine.store.scorecards())["bootstrap-0"]
    card = engine.owned[0].timeline.card.scorecard
    assert json.loads(body) == json.loads(card.model_dump_json())
    assert (card.alive.family, card.hysteresis, card.lifecycle.fading) == ("bgnbd", 0.1, 0.6)


async def test_second_worker_takes_the_bootstrap_scorecard_as_the_first_one_kept_it():
    store = MemoryStore()
    await engine_of(store, hysteresis=0.1)
    engine = await engine_of(store, hysteresis=0.2)
    assert engine.owned[0].timeline.card.scorecard.hysteresis == 0.1


async def test_bootstrap_scorecard_is_overridden_and_a_second_worker_needs_no_file(tmp_path):
    store, file = MemoryStore(), tmp_path / "overrides.yaml"
    file.write_text("segments: {Loyal: {name: Regulars}}")
    first = await engine_of(store, overrides=file)
    committed = await first.process(TOPIC, 0, log(value_of("a")))
    assert "Regulars" in {body["current"] for body in bodies(committed)}
    (card,) = [one.value for one in committed.messages if one.topic == "scorecards"]
    assert json.loads(card)["segments"][1] == "Regulars"
    file.unlink()
    second = await engine_of(store)
    assert second.owned[0].timeline.card.scorecard.segments[1] == "Regulars"


async def test_adopted_scorecard_is_in_the_checkpoint_and_outlives_the_worker():
    store = MemoryStore()
    engine = await engine_of(store)
    await engine.process(TOPIC, 0, log(value_of("a")))
    card = bootstrap_scorecard().model_copy(update={"number": 1, "origin": Origin.FITTED})
    await store.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
    assert await engine.adopt(0, "fitted-1")
    assert not await engine.adopt(0, "fitted-1")
    adoptions = ((UNKNOWN_US, "bootstrap-0"), (DAY_US, "fitted-1"))
    assert (await store.checkpoint(0)).adoptions == adoptions
    again = await engine_of(store)
    assert again.owned[0].timeline.adoptions == list(adoptions)
    assert again.owned[0].rescore_cursor == 0
    await again.rescore(0)
    assert store.hashes[0, "a"]["scorecard"] == b"fitted-1"
    assert again.owned[0].rescore_cursor is None
    assert await again.rescore(0) is None


@pytest.mark.parametrize("mode", ["never arrives", "answer is lost"])
async def test_adoption_without_an_answer_scores_no_one_by_a_card_the_checkpoint_lacks(mode):
    store = LossyStore()
    engine = await engine_of(store)
    await engine.process(TOPIC, 0, log(value_of("a")))
    card = bootstrap_scorecard().model_copy(update={"number": 1, "origin": Origin.FITTED})
    await store.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
    store.mode = mode
    with pytest.raises(StoreUnavailableError):
        await engine.adopt(0, card.version)
    store.mode = "answers"
    # A slice that waited for the lock comes before the resync.
    purchase = log(value_of("a", "t2", day=DAY + 1), start=1)
    if mode == "answer is lost":
        with pytest.raises(FencedError):
            await engine.process(TOPIC, 0, purchase)
        await engine.resync(0)
    await engine.process(TOPIC, 0, purchase)
    known = {version for _, version in (await store.checkpoint(0)).adoptions}
    assert store.hashes[0, "a"]["scorecard"].decode() in known
    again = await engine_of(store)
    await again.adopt(0, card.version)
    await again.process(TOPIC, 0, log(value_of("a", "t3", day=DAY + 2), start=2))
    assert store.hashes[0, "a"]["scorecard"] == b"fitted-1"


async def test_new_partition_begins_with_the_current_scorecard():
    store = MemoryStore()
    card = bootstrap_scorecard().model_copy(update={"number": 1, "origin": Origin.FITTED})
    await store.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
    engine = await engine_of(store)
    committed = await engine.process(TOPIC, 0, log(value_of()))
    assert bodies(committed)[0]["scorecard"] == "fitted-1"


async def test_scorecard_nobody_kept_is_not_adopted():
    engine = await engine_of()
    with pytest.raises(KeyError):
        await engine.adopt(0, "fitted-9")
    assert engine.owned[0].timeline.card.version == "bootstrap-0"


# --- clocks ----------------------------------------------------------------------------------------

HOUR_MS = 3_600_000
WALL_US = DAY_US + 500 * US_PER_DAY


@pytest.mark.parametrize(
    ("arrived_ms", "live"),
    [
        (DAY_US // 1000, True),
        (DAY_US // 1000 + HOUR_MS, True),
        (DAY_US // 1000 + HOUR_MS + 1, False),
        (ARRIVED_MS, False),
        (DAY_US // 1000 - HOUR_MS, True),  # an hour ahead of its record: allowed
    ],
)
async def test_record_that_arrives_about_when_it_happened_makes_the_partition_live(
    arrived_ms, live
):
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of("a"), timestamp=arrived_ms))
    assert engine.owned[0].checkpoint.live is live
    assert (await engine.store.checkpoint(0)).live is live
    await engine.process(TOPIC, 0, log(value_of("b"), start=1))
    assert engine.owned[0].checkpoint.live is live


async def test_dead_and_foreign_records_make_no_partition_live():
    engine = await engine_of(partitions=4)
    foreign = next(f"C-{n}" for n in range(99) if home_partition(f"C-{n}", 4) != 1)
    now_ms = DAY_US // 1000
    await engine.process(TOPIC, 1, log(b"?", value_of(foreign), timestamp=now_ms))
    assert not engine.owned[1].checkpoint.live


@pytest.mark.parametrize(
    ("clock", "arrived_ms", "by_wall"),
    [
        (Clock.AUTO, ARRIVED_MS, False),
        (Clock.AUTO, DAY_US // 1000, True),
        (Clock.EVENT, DAY_US // 1000, False),
        (Clock.WALL, ARRIVED_MS, True),
    ],
)
async def test_caught_up_clock_follows_the_wall_only_where_that_is_meant(
    clock, arrived_ms, by_wall
):
    engine = await engine_of(clock=clock)
    await engine.process(TOPIC, 0, log(value_of("a"), timestamp=arrived_ms))
    assert engine.caught_up_clock(0, WALL_US) == (WALL_US if by_wall else DAY_US)
    assert engine.caught_up_clock(0, DAY_US - 1) == DAY_US  # never back


async def test_sweep_by_the_wall_clock_reports_silence_at_its_crossing_and_moves_the_clock():
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of("a"), timestamp=DAY_US // 1000))
    assert await engine.sweep(0, DAY_US + US_PER_DAY) is None  # nobody is due yet
    assert engine.owned[0].checkpoint.clock_us == DAY_US
    committed = await engine.sweep(0, engine.caught_up_clock(0, WALL_US))
    changes = bodies(committed)
    assert [body["current"] for body in changes] == ["fading", "Hibernating"]
    assert [body["sequence"] for body in changes] == [3, 4]
    assert {body["cause"] for body in changes} == {"silence"}
    moments = [body["occurred_at"] for body in changes]
    assert moments == sorted(moments)
    assert moments[-1] < "2004-03-23"  # the wall stands at 2004-03-23
    assert engine.owned[0].checkpoint.clock_us == WALL_US
    assert await engine.sweep(0, WALL_US) is None


async def test_customer_who_never_comes_to_rest_stops_the_worker_and_nothing_is_written(
    monkeypatch,
):
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of("a")))
    seen = everything(engine.store)
    monkeypatch.setattr("scoring.advance._SILENT_STEPS_MAX", 1)
    with pytest.raises(InvariantError, match="customer 'a' does not come to rest"):
        await engine.sweep(0, WALL_US)
    assert everything(engine.store) == seen


async def test_sweep_takes_a_bounded_number_of_customers_the_earliest_first():
    engine = await engine_of(sweep_customers_max=3)
    values = [value_of(f"c{number}", "t", day=DAY + number) for number in range(8)]
    await engine.process(TOPIC, 0, log(*values))
    swept = []
    while committed := await engine.sweep(0, WALL_US):
        assert committed.customers <= 3
        swept.append({body["customer_id"] for body in bodies(committed)})
    assert swept == [{"c0", "c1", "c2"}, {"c3", "c4", "c5"}, {"c6", "c7"}]


async def test_event_from_before_a_crossing_is_late_for_its_customer_and_for_no_one_else():
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of("a"), timestamp=DAY_US // 1000))
    crossed = bodies(await engine.sweep(0, WALL_US))[-1]["occurred_at"]
    values = [value_of("a", "t2", day=DAY + 90), value_of("b", "t3", day=DAY + 90)]
    committed = await engine.process(TOPIC, 0, log(*values, start=1, timestamp=WALL_US // 1000))
    late = bodies(committed, customer_id="a")[:2]
    assert [(body["cause"], body["current"]) for body in late] == [
        ("late_event", "Loyal"),
        ("late_event", "active"),
    ]
    assert {body["occurred_at"] for body in late} == {crossed}  # as of the customer's own moment
    first = bodies(committed, customer_id="b")[0]
    assert (first["cause"], first["occurred_at"][:10]) == ("transaction", "2003-02-07")
    assert engine.owned[0].checkpoint.clock_us == WALL_US


# --- samples ---------------------------------------------------------------------------------------


async def test_every_customer_is_reported_while_the_sample_has_room():
    engine = await engine_of()
    committed = await engine.process(
        TOPIC,
        0,
        log(value_of("a"), value_of("b", "t2", cents=250), value_of("b", "t3", day=DAY + 2)),
    )
    messages = of_topic(committed, SAMPLES)
    assert {(message.partition, message.key) for message in messages} == {(0, b"a"), (0, b"b")}
    (sample,) = [decode_sample(message.value) for message in messages if message.key == b"b"]
    assert sample.rank == sample_rank("b")
    assert (sample.frequency, sample.first_day, sample.last_day) == (1, DAY, DAY + 2)
    assert sample.monetary_value == 10.0
    assert sample.clock_us == DAY_US + 2 * US_PER_DAY


async def test_only_customers_with_low_ranks_are_reported_once_the_sample_is_full():
    engine = await engine_of(sample_customers_max=10)
    ids = [f"c{number}" for number in range(1_000)]
    committed = await engine.process(TOPIC, 0, log(*(value_of(name, "t") for name in ids)))
    reported = {message.key.decode() for message in of_topic(committed, SAMPLES)}
    assert reported >= set(sorted(ids, key=sample_rank)[:10])
    assert reported == {name for name in ids if sample_rank(name) < 0.015}


async def test_rank_is_the_same_for_a_customer_read_back_from_the_store():
    store = MemoryStore()
    await (await engine_of(store)).process(TOPIC, 0, log(value_of("a")))
    engine = await engine_of(store)
    committed = await engine.process(TOPIC, 0, log(value_of("a", "t2"), start=1))
    assert decode_sample(of_topic(committed, SAMPLES)[0].value).rank == sample_rank("a")


# --- refunds ---------------------------------------------------------------------------------------


async def test_refund_that_cancels_the_only_purchase_leaves_nothing_to_score():
    engine = await engine_of()
    await engine.process(TOPIC, 0, log(value_of()))
    refund = value_of("C-1", "t2", kind="refund")
    committed = await engine.process(TOPIC, 0, log(refund, start=1))
    changes = bodies(committed)
    assert [(body["previous"], body["current"], body["cause"]) for body in changes] == [
        ("Loyal", None, "refund"),
        ("active", None, "refund"),
    ]
    for body in changes:
        assert body["margin"] is None
        assert body["next_review"] is None
        assert (body["prob_alive"], body["expected_purchases_30d"], body["frequency"]) == (0, 0, 0)
    fields = engine.store.hashes[0, "C-1"]
    assert fields["segment"] == fields["prob_alive"] == fields["next_review_at"] == b""
    assert of_topic(committed, SAMPLES) == []
    assert await engine.sweep(0, WALL_US) is None
    assert await engine.rescore(0) is None
    again = await engine.process(TOPIC, 0, log(value_of("C-1", "t3", day=DAY + 9), start=2))
    assert [(body["previous"], body["sequence"]) for body in bodies(again)] == [
        (None, 5),
        (None, 6),
    ]


async def test_refund_before_any_purchase_is_kept_and_scored_once_a_purchase_comes():
    engine = await engine_of()
    refund = value_of("C-1", "t2", kind="refund", cents=300)
    committed = await engine.process(TOPIC, 0, log(refund))
    assert bodies(committed) == []
    assert committed.customers == 1
    committed = await engine.process(TOPIC, 0, log(value_of(), start=1))
    assert [body["sequence"] for body in bodies(committed)] == [1, 2]
    fields = engine.store.hashes[0, "C-1"]
    assert (fields["monetary_total"], fields["refund_total"]) == (b"10.0000", b"3.0000")


async def test_purchase_and_its_cancelling_refund_in_one_slice_leave_both_changes():
    engine = await engine_of()
    committed = await engine.process(
        TOPIC, 0, log(value_of(), value_of("C-1", "t2", kind="refund"))
    )
    segments = [body for body in bodies(committed) if is_segment(body)]
    assert [(body["previous"], body["current"]) for body in segments] == [
        (None, "Loyal"),
        ("Loyal", None),
    ]


@pytest.mark.parametrize("cache_customers_max", [1, 1_000])
async def test_refund_of_nothing_keeps_no_later_purchase_from_making_its_day_a_purchase_day(
    cache_customers_max,
):
    engine = await engine_of(cache_customers_max=cache_customers_max)
    nothing = value_of("C-1", "t2", day=DAY + 1, cents=0, kind="refund")
    values = [value_of(), nothing, value_of("C-2", "t"), value_of("C-1", "t3", day=DAY + 1)]
    for offset, value in enumerate(values):
        await engine.process(TOPIC, 0, log(value, start=offset))
    fields = engine.store.hashes[0, "C-1"]
    assert (fields["frequency"], fields["t_x_days"]) == (b"1", b"1")
    assert fields["monetary_value"] == b"10.0"


async def test_journal_is_read_again_from_before_the_marks_that_lie_ahead():
    """Redis may be rolled back once more while old decisions are taken again."""
    first = Mark.after(
        None,
        offsets=dict.fromkeys([TOPIC, REKEYED], 0),
        clock_us=UNKNOWN_US,
        scorecard=bootstrap_scorecard().version,
        reading=TOPIC,
    )
    told = {0: 0}

    class Rolled(EmptyJournal):
        async def ahead_of(self, partition, checkpoint):
            return ([first], 9) if checkpoint.mark is None else ([], 9)

    store = MemoryStore()
    engine = SliceEngine(store, settings_of(), 1, Rolled(), told.__getitem__)
    await engine.acquire(0)
    records = log(value_of(), value_of(transaction_id="u"), timestamp=ARRIVED_MS)
    await engine.sweep(0, engine.owned[0].checkpoint.clock_us)
    held = await store.checkpoint(0)
    assert (held.mark, held.journal_from) == (first, 0)
    await engine.process(TOPIC, 0, records[:1])
    assert (await store.checkpoint(0)).journal_from == 9
    told[0] = 12
    await engine.process(TOPIC, 0, records[1:])
    assert (await store.checkpoint(0)).journal_from == 12
