"""The history of every customer depends on what they did, not on how the log was cut and read.

Order gives no state away, slices and partitions and sweeps give no change away, redelivery counts
nothing twice, and silence is noticed on the very day a daily scan of everyone would notice it.
"""

from __future__ import annotations

import copy
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.scorecard import Origin, Scaler, Scorecard
from scoring.alive import prob_alive
from scoring.bootstrap import bootstrap_scorecard
from scoring.segments import Segmenter, log_features
from scoring.states import NONE
from streams.homes import home_partition
from streams.settings import Settings
from tests.support.purchases import LogRecord, Purchase, Run, cdnow

US_PER_DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RFM_FIELDS = (
    "frequency",
    "t_x_days",
    "first_purchase_at",
    "last_purchase_at",
    "monetary_value",
    "monetary_total",
    "refund_total",
)
SLICES, PARTITIONS = (1, 7, 500), (1, 4, 16)
TOPIC = "transactions"


@dataclass(frozen=True)
class Event:
    """A purchase or refund at any moment; amounts to the last 1/10,000."""

    customer_id: str
    at_us: int
    units: int
    transaction_id: str
    is_refund: bool = False

    @property
    def value(self) -> bytes:
        return json.dumps(
            {
                "transaction_id": self.transaction_id,
                "customer_id": self.customer_id,
                "occurred_at": (EPOCH + timedelta(microseconds=self.at_us)).isoformat(),
                "amount": f"{self.units // 10_000}.{self.units % 10_000:04d}",
                "kind": "refund" if self.is_refund else "purchase",
            }
        ).encode()


START_DAY = 10_000
MOMENTS = st.one_of(
    st.integers(START_DAY * US_PER_DAY, (START_DAY + 900) * US_PER_DAY),
    st.integers(START_DAY, START_DAY + 40).map(lambda day: day * US_PER_DAY),  # many on one day
)
UNITS = st.one_of(st.integers(0, 10**6), st.sampled_from([0, 1, 5_000, 10**15]))


@st.composite
def histories(draw, size: int = 30) -> list[Event]:
    drawn = draw(
        st.lists(
            st.tuples(st.sampled_from("abcde"), MOMENTS, UNITS, st.sampled_from([0, 0, 0, 1])),
            min_size=1,
            max_size=size,
        )
    )
    return [
        Event(name, at_us, units, f"t{number}", bool(refund))
        for number, (name, at_us, units, refund) in enumerate(drawn)
    ]


def end_of(events) -> int:
    """A moment after which most has happened that silence can do."""
    return max(_at_us(event) for event in events) + 400 * US_PER_DAY


def _at_us(event) -> int:
    return event.day * US_PER_DAY if isinstance(event, Purchase) else event.at_us


async def run_of(card: Scorecard | None = None, partitions: int = 1, **fields) -> Run:
    run = Run(partitions, Settings(_env_file=None, **fields))
    if card is not None:
        await run.store.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
    return await run.start()


async def fed(events, slice_size=500, *, sweep_every=0, **more) -> Run:
    run = await run_of(**more)
    await run.feed(events, slice_size, sweep_every=sweep_every)
    return run


def rfm_states(run: Run) -> dict[str, tuple[bytes, ...]]:
    return {
        customer_id: tuple(fields[name] for name in RFM_FIELDS)
        for customer_id, fields in run.hashes().items()
    }


# --- scorecards ------------------------------------------------------------------------------------


@lru_cache
def summaries() -> tuple[np.ndarray, ...]:
    """x, first day, last day and mean repeat day sum of every tenth customer of CDNOW."""
    sums: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for purchase in tenth():
        sums[purchase.customer_id][purchase.day] += purchase.cents
    rows = []
    for days in sums.values():
        first, *repeats = sorted(days)
        mean = sum(days[day] for day in repeats) / (100 * len(repeats)) if repeats else 0.0
        rows.append((len(repeats), first, max(days), mean))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@lru_cache
def tenth() -> tuple[Purchase, ...]:
    """Purchases of every tenth customer, so that all weeks of joining are there; in time order."""
    return tuple(purchase for purchase in cdnow() if int(purchase.customer_id) % 10 == 0)


@lru_cache
def fitted_card(number: int = 1, shift: float = 0.0) -> Scorecard:
    """What k-means finds on CDNOW, written down by hand: raw P(alive), x and m of four centroids."""
    x, first, last, mean = summaries()
    base = bootstrap_scorecard()
    end = max(purchase.day for purchase in tenth())
    alive = prob_alive(x, (last - first).astype(float), (end - first).astype(float), base.alive)
    features = log_features(alive, x, mean)
    middle, scale = features.mean(axis=0), features.std(axis=0)
    raw = [(0.80, 5.8, 34), (0.62, 1.6, 28), (0.20, 1.7, 27), (0.37, 0, 0)]
    points = [(p + shift, math.log1p(often), math.log1p(money)) for p, often, money in raw]
    return Scorecard.model_validate(
        base.model_dump()
        | {
            "number": number,
            "origin": Origin.FITTED,
            "scaler": Scaler(mean=tuple(middle.tolist()), scale=tuple(scale.tolist())),
            "centroids": [tuple(row) for row in ((np.array(points) - middle) / scale).tolist()],
        }
    )


CARDS = {"bootstrap": bootstrap_scorecard, "fitted": fitted_card}
EXACT = {"no hysteresis": fitted_card().model_copy(update={"number": 5, "hysteresis": 0.0})}
by_card = pytest.mark.parametrize("card", [make() for make in CARDS.values()], ids=list(CARDS))

# --- (a) order gives no state away -----------------------------------------------------------------


def plain_rfm(events, zone: str):
    """The state of one customer by a plain loop over a dictionary of days."""
    days = defaultdict(lambda: [0, 0, 0])
    bought_at, gross, back = [], 0, 0
    for event in {event.transaction_id: event for event in events}.values():
        local = (EPOCH + timedelta(microseconds=event.at_us)).astimezone(ZoneInfo(zone))
        day = days[local.date().toordinal()]
        if event.is_refund:
            day[2] += event.units
            back += event.units
        else:
            day[0] += 1
            day[1] += event.units
            gross += event.units
            bought_at.append(event.at_us)
    good = [day for day, (n, bought, gone) in days.items() if n and not (bought and gone >= bought)]
    first, last = min(good, default=0), max(good, default=0)
    repeat = 0
    for day, (_, bought, gone) in days.items():
        owner = max((d for d in good if d <= day), default=first)
        if owner > first:
            repeat += bought - gone
    frequency = max(len(good) - 1, 0)
    return {
        "frequency": frequency,
        "t_x_days": last - first,
        "first_purchase_at": min(bought_at, default=None),
        "last_purchase_at": max(bought_at, default=None),
        "monetary_value": repeat / (frequency * 10_000.0) if frequency else 0.0,
        "monetary_total": gross,
        "refund_total": back,
    }


def numbers_of(fields):
    """The stored RFM fields as numbers."""

    def moment(text: bytes):
        return text and (datetime.fromisoformat(text.decode()) - EPOCH) // timedelta(microseconds=1)

    return {
        "frequency": int(fields["frequency"]),
        "t_x_days": int(fields["t_x_days"]),
        "first_purchase_at": moment(fields["first_purchase_at"]) or None,
        "last_purchase_at": moment(fields["last_purchase_at"]) or None,
        "monetary_value": float(fields["monetary_value"]),
        "monetary_total": int(fields["monetary_total"].replace(b".", b"")),
        "refund_total": int(fields["refund_total"].replace(b".", b"")),
    }


@given(
    histories(),
    st.lists(st.integers(0, 10**6), max_size=8),
    st.randoms(use_true_random=False),
    st.sampled_from(SLICES),
    st.sampled_from(PARTITIONS),
    st.sampled_from(["UTC", "America/New_York"]),
    st.sampled_from([1, 1_000]),
)
@settings(max_examples=70)
async def test_any_order_slices_and_partitions_give_the_state_of_a_plain_loop(
    history, repeated, shuffled, slice_size, partitions, timezone, cache_customers_max
):
    log = history + [history[index % len(history)] for index in repeated]
    shuffled.shuffle(log)
    run = await fed(
        log,
        slice_size,
        partitions=partitions,
        timezone=timezone,
        cache_customers_max=cache_customers_max,
    )
    found = {name: numbers_of(fields) for name, fields in run.hashes().items()}
    assert found == {
        name: plain_rfm([event for event in history if event.customer_id == name], timezone)
        for name in {event.customer_id for event in history}
    }
    checkpoints = [owned.checkpoint for owned in run.engine.owned.values()]
    assert sum(checkpoint.applied for checkpoint in checkpoints) == len(history)
    assert sum(checkpoint.duplicates for checkpoint in checkpoints) == len(repeated)


def with_refunds(purchases) -> list[Purchase]:
    """The same in time order, every seventh purchase refunded later, in part, wholly or beyond."""
    log = list(purchases)
    for number, bought in enumerate(purchases[::7]):
        later = bought.day + (0, 0, 3, 40)[number % 4]
        cents = bought.cents * (2, 1, 1, 3)[number % 4] // 2
        refund = f"refund-{bought.transaction_id}"
        log.append(Purchase(bought.customer_id, later, cents, refund, "refund"))
    return sorted(log, key=lambda purchase: purchase.day)


@lru_cache
def some(every: int) -> tuple[Purchase, ...]:
    """CDNOW's purchases of every so manieth customer with refunds, in time order."""
    chosen = [purchase for purchase in cdnow() if int(purchase.customer_id) % every == 0]
    return tuple(with_refunds(chosen))


async def test_cdnow_shuffled_gives_the_same_states_in_any_slices_over_any_partitions():
    log = list(some(200))
    expected = rfm_states(await fed(log))
    assert len(expected) == 117
    shuffled = np.random.default_rng(7)
    for slice_size, partitions in product(SLICES, PARTITIONS):
        mixed = [log[index] for index in shuffled.permutation(len(log))]
        mixed += mixed[: len(log) // 10]
        assert rfm_states(await fed(mixed, slice_size, partitions=partitions)) == expected


# --- (b) slices, partitions and sweeps give no change away -----------------------------------------


async def history_of(events, slice_size=500, *, until_us, **more):
    run = await fed(events, slice_size, **more)
    await run.sweep(until_us)
    return run.by_customer(), run.hashes()


def assert_gapless(histories_of_customers) -> None:
    for changes in histories_of_customers.values():
        assert [body["sequence"] for body in changes] == list(range(1, len(changes) + 1))
        moments = [body["occurred_at"] for body in changes]
        assert moments == sorted(moments)
        assert len({body["id"] for body in changes}) == len(changes)
        for older, newer in pairwise(changes):
            assert newer["previous"] != newer["current"]
            same_kind = [
                body for body in changes[: newer["sequence"] - 1] if body["type"] == newer["type"]
            ]
            if same_kind:
                assert newer["previous"] == same_kind[-1]["current"]
            assert older["customer_id"] == newer["customer_id"]


@by_card
@pytest.mark.parametrize("partitions", PARTITIONS)
@pytest.mark.parametrize("slice_size", SLICES)
async def test_cdnow_in_time_order_gives_the_same_changes_with_the_same_ids(
    card, slice_size, partitions
):
    until_us = end_of(some(200))
    expected, hashes = await expected_of(card, until_us)
    assert sum(map(len, expected.values())) > 400
    assert {body["cause"] for changes in expected.values() for body in changes} >= {
        "transaction",
        "silence",
        "refund",
    }
    assert_gapless(expected)
    found, states = await history_of(
        some(200),
        slice_size,
        until_us=until_us,
        card=card,
        partitions=partitions,
        sweep_every=(0, 1, 5)[(slice_size + partitions) % 3],
        cache_customers_max=(1, 64, 10_000)[slice_size % 3],
    )
    assert found == expected
    assert without_source(states) == without_source(hashes)


_expected: dict[str, tuple] = {}


async def expected_of(card, until_us):
    if card.version not in _expected:
        _expected[card.version] = await history_of(some(200), until_us=until_us, card=card)
    return _expected[card.version]


def without_source(hashes):
    return {
        customer_id: {name: value for name, value in fields.items() if name != "source"}
        for customer_id, fields in hashes.items()
    }


@given(
    histories(20),
    st.sampled_from(SLICES),
    st.sampled_from(PARTITIONS),
    st.integers(0, 4),
    st.sampled_from(sorted(CARDS)),
    st.sampled_from(["UTC", "America/New_York"]),
    st.sampled_from([1, 1_000]),
)
@settings(max_examples=50)
async def test_history_in_time_order_does_not_show_slices_partitions_or_sweeps(
    history, slice_size, partitions, sweep_every, card, timezone, cache_customers_max
):
    log = sorted(history, key=_at_us)
    more = {"card": CARDS[card](), "until_us": end_of(log), "timezone": timezone}
    expected, _ = await history_of(log, **more)
    found, _ = await history_of(
        log,
        slice_size,
        partitions=partitions,
        sweep_every=sweep_every,
        cache_customers_max=cache_customers_max,
        **more,
    )
    assert found == expected
    assert_gapless(found)


@given(
    histories(20),
    st.sampled_from(SLICES),
    st.sampled_from(PARTITIONS),
    st.integers(0, 4),
    st.sampled_from([1, 1_000]),
)
@settings(max_examples=50)
async def test_history_of_a_log_in_any_order_does_not_show_slices_or_sweeps(
    history, slice_size, partitions, sweep_every, cache_customers_max
):
    """Late events included; but not partitions: whether an event is late depends on who shares its log."""
    more = {"partitions": partitions, "until_us": end_of(history)}
    expected, _ = await history_of(history, **more)
    found, _ = await history_of(
        history,
        slice_size,
        sweep_every=sweep_every,
        cache_customers_max=cache_customers_max,
        **more,
    )
    assert found == expected
    assert_gapless(found)


# --- (c) redelivery counts nothing twice -----------------------------------------------------------


def everything(run: Run):
    return copy.deepcopy(vars(run.store))


@given(
    histories(20),
    st.sampled_from([1, 3, 7]),
    st.lists(st.integers(0, 10**6), max_size=6),
    st.booleans(),
)
@settings(max_examples=50)
async def test_redelivered_slice_changes_nothing_and_emits_nothing(
    history, slice_size, redelivered, restarted
):
    run = await run_of()
    records = [LogRecord(offset, event.value) for offset, event in enumerate(history)]
    slices = [records[start : start + slice_size] for start in range(0, len(records), slice_size)]
    for number, records_of_slice in enumerate(slices, start=1):
        await run.process(0, records_of_slice)
        if restarted:
            await run.start()
        seen, published = everything(run), list(run.published)
        for index in redelivered:
            await run.process(0, slices[index % number])
        assert everything(run) == seen
        assert run.published == published


@given(histories(20), st.lists(st.integers(0, 10**6), min_size=1, max_size=8), st.integers(1, 7))
@settings(max_examples=50)
async def test_duplicate_at_a_later_offset_counts_once_and_changes_nothing(
    history, repeated, slice_size
):
    log = sorted(history, key=_at_us)
    more = {"until_us": end_of(log)}
    expected, hashes = await history_of(log, **more)
    doubled = list(log)
    for index in repeated:  # right after the original or anywhere later
        original = index % len(log)
        place = doubled.index(log[original]) + 1 + index % 5
        doubled.insert(place, log[original])
    found, states = await history_of(doubled, slice_size, **more)
    assert found == expected
    assert without_source(states) == without_source(hashes)


# --- (d) a scorecard's swap ------------------------------------------------------------------------


async def rescored(run: Run, pages: int) -> None:
    """Let the background re-score so many pages of each partition."""
    for partition, owned in run.engine.owned.items():
        for _ in range(pages):
            if owned.rescore_cursor is None:
                break
            committed = await run.engine.rescore(partition)
            if committed:
                run.published += committed.messages


async def swapped(log, card, *, at: int, until_us: int, rescore: str, **more):
    """Feed, adopt a scorecard, feed on; the background re-scores at once, a little at a time, or last."""
    run = await fed(log[:at], 50, sweep_customers_max=10, **more)
    await run.store.save_scorecard(card.version, card.model_dump_json().encode(), current=True)
    for partition in range(run.partitions):
        assert await run.engine.adopt(partition, card.version)

    if rescore == "at once":
        await rescored(run, 10_000)
    for start in range(at, len(log), 25):
        await run.feed(log[start : start + 25], 25)
        if rescore == "in between":
            await rescored(run, 1)
            await run.sweep()
    await rescored(run, 10_000)
    assert all(owned.rescore_cursor is None for owned in run.engine.owned.values())
    await run.sweep(until_us)
    return run.by_customer(), run.hashes()


@pytest.mark.parametrize("partitions", [1, 4])
async def test_history_does_not_show_when_the_background_rescored_whom(partitions):
    log = some(100)
    outcomes = [
        await swapped(
            log,
            fitted_card(),
            at=len(log) // 2,
            until_us=end_of(log),
            rescore=when,
            partitions=partitions,
        )
        for when in ("at once", "in between", "last")
    ]
    histories_of_customers, hashes = outcomes[0]
    for other_histories, other_hashes in outcomes[1:]:
        assert other_histories == histories_of_customers
        assert without_source(other_hashes) == without_source(hashes)
    assert_gapless(histories_of_customers)
    every = [body for changes in histories_of_customers.values() for body in changes]
    under = {
        version: [body["occurred_at"] for body in every if body["scorecard"] == version]
        for version in ("bootstrap-0", "fitted-1")
    }
    if partitions == 1:  # one clock, hence one moment of adoption
        assert max(under["bootstrap-0"]) <= min(under["fitted-1"])
    assert sum(body["cause"] == "scorecard" for body in every) > 20
    assert {fields["scorecard"] for fields in hashes.values()} == {b"fitted-1"}


async def test_customers_who_sleep_through_two_scorecards_have_the_history_of_both():
    log = some(100)
    half = len(log) // 2
    until_us = end_of(log)
    first, second = fitted_card(1), fitted_card(2, 0.1)
    outcomes = []
    for rescored_between in (True, False):
        run = await fed(log[:half], 50)
        for card in (first, second):
            body = card.model_dump_json().encode()
            await run.store.save_scorecard(card.version, body, current=True)
            await run.engine.adopt(0, card.version)
            if rescored_between:
                await rescored(run, 10_000)
            await run.feed(log[half : half + 20] if card is first else log[half + 20 :], 50)
        await run.sweep(until_us)
        await rescored(run, 10_000)
        outcomes.append((run.by_customer(), without_source(run.hashes())))
    assert outcomes[0] == outcomes[1]
    assert {fields["scorecard"] for fields in outcomes[0][1].values()} == {b"fitted-2"}


@given(
    histories(20),
    st.lists(st.integers(0, 20), max_size=3),
    st.lists(st.integers(0, 2), min_size=21, max_size=21),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=60)
async def test_any_history_hides_when_the_background_rescored_whom(
    history, adopted_before, pages, swept, there_and_back
):
    log = sorted(history, key=_at_us)
    cards = [fitted_card(number, 0.05 * number) for number in (1, 2, 3)]
    if there_and_back:
        cards[2] = cards[0].model_copy(update={"number": 3, "restores": cards[0].version})
    outcomes = []
    for in_background in (True, False):
        run = await run_of(sweep_customers_max=2)
        number = 0
        for index, event in enumerate(log):
            for _ in range(adopted_before.count(index)):
                card, number = cards[number], number + 1
                body = card.model_dump_json().encode()
                await run.store.save_scorecard(card.version, body, current=True)
                await run.engine.adopt(0, card.version)
            if in_background:
                await rescored(run, pages[index])
                if swept:
                    await run.sweep()
            await run.process(0, [LogRecord(index, event.value)])
        await rescored(run, 100)
        await run.sweep(end_of(log))
        outcomes.append((run.by_customer(), without_source(run.hashes())))
    assert outcomes[0] == outcomes[1]
    assert_gapless(outcomes[0][0])


# --- (e) timers and the daily scan -----------------------------------------------------------------


class Scan:
    """Everyone, evaluated from scratch once a day: what the timers must agree with."""

    def __init__(self, card: Scorecard, ids: list[str]) -> None:
        self.card, self.segmenter = card, Segmenter(card)
        self.row = {customer_id: row for row, customer_id in enumerate(ids)}
        count = len(ids)
        self.ids = ids
        self.x = np.full(count, -1)
        self.first = np.zeros(count)
        self.last = np.zeros(count)
        self.first_sum = np.zeros(count)
        self.total = np.zeros(count)
        self.segment = np.full(count, NONE)
        self.lifecycle = np.full(count, NONE)
        self.crossings: set[tuple[str, int, str, str]] = set()

    def evaluate(self, rows, day: int):
        x = self.x[rows]
        alive = prob_alive(
            x, self.last[rows] - self.first[rows], day - self.first[rows], self.card.alive
        )
        mean = np.where(x > 0, (self.total - self.first_sum)[rows] / np.maximum(x, 1) / 100, 0.0)
        z = self.segmenter.features(alive, x, mean)
        floors = np.array([self.card.lifecycle.fading, self.card.lifecycle.lost])
        return (
            self.segmenter.assign(z, self.segment[rows]),
            (alive[:, None] < floors).sum(axis=1),
        )

    def look(self, day: int) -> None:
        """The daily scan of all customers known."""
        known = np.flatnonzero(self.x >= 0)
        if not len(known):
            return
        segment, lifecycle = self.evaluate(known, day)
        names = self.card.segments
        stages = ("active", "fading", "lost")
        for row, segment_now, lifecycle_now in zip(known, segment, lifecycle, strict=True):
            if self.segment[row] != segment_now:
                crossing = names[self.segment[row]], names[segment_now]
                self.crossings.add((self.ids[row], day, *crossing))
            if self.lifecycle[row] != lifecycle_now:
                crossing = stages[self.lifecycle[row]], stages[lifecycle_now]
                self.crossings.add((self.ids[row], day, *crossing))
        self.segment[known], self.lifecycle[known] = segment, lifecycle

    def buy(self, purchase: Purchase) -> None:
        row = self.row[purchase.customer_id]
        if self.x[row] < 0:
            self.first[row] = self.last[row] = purchase.day
            self.x[row] = 0
        elif purchase.day > self.last[row]:
            self.x[row] += 1
            self.last[row] = purchase.day
        if self.x[row] == 0:
            self.first_sum[row] += purchase.cents
        self.total[row] += purchase.cents
        rows = np.array([row])
        self.segment[rows], self.lifecycle[rows] = self.evaluate(rows, purchase.day)


def net_by_day(run: Run) -> set[tuple[str, int, str, str]]:
    """What silence did to whom on which day; of two steps on one day the net effect.

    A scan at midnight sees of the day before only where it ended: that much, and no more, is
    forgiven.
    """
    steps: dict[tuple[str, int, str], list[str]] = {}
    for body in run.changes():
        if body["cause"] == "silence":
            at_us = (datetime.fromisoformat(body["occurred_at"]) - EPOCH) // timedelta(
                microseconds=1
            )
            key = body["customer_id"], -(-at_us // US_PER_DAY), body["type"]
            steps.setdefault(key, [body["previous"]]).append(body["current"])
    return {
        (customer_id, day, path[0], path[-1])
        for (customer_id, day, _), path in steps.items()
        if path[0] != path[-1]
    }


@pytest.mark.parametrize(
    "card",
    [*(make() for make in CARDS.values()), *EXACT.values()],
    ids=[*CARDS, *EXACT],
)
async def test_timers_and_a_daily_scan_of_everyone_find_the_same_crossings(card):
    log = tenth()
    ids = sorted({purchase.customer_id for purchase in log})
    assert len(ids) == 2_357
    first_day, last_day = log[0].day, log[-1].day + 60
    run = await fed(log, 500, card=card, partitions=4)
    await run.sweep(last_day * US_PER_DAY)
    found = net_by_day(run)
    scan, purchases = Scan(card, ids), defaultdict(list)
    for purchase in log:
        purchases[purchase.day].append(purchase)
    for day in range(first_day, last_day + 1):
        scan.look(day)
        for purchase in purchases[day]:
            scan.buy(purchase)
    assert len(scan.crossings) > 4_000
    assert {home_partition(customer_id, 4) for customer_id in ids} == {0, 1, 2, 3}
    assert found ^ scan.crossings == set()


# --- (f) nobody is a Champion on the first day -----------------------------------------------------


@by_card
async def test_no_first_time_buyer_is_a_champion_on_the_day_of_the_first_purchase(card):
    run = await fed(tenth(), 500, card=card)
    first: dict[str, str] = {}
    newcomers = 0
    for body in run.changes():
        day = first.setdefault(body["customer_id"], body["occurred_at"][:10])
        if body["occurred_at"][:10] == day and body["type"].startswith("everscore.segment"):
            newcomers += 1
            assert body["frequency"] == 0
            assert body["current"] != "Champions"
    assert newcomers >= 2_357
    assert any(body["current"] == "Champions" for body in run.changes())
