"""One customer at a time gives the numbers that the worker's arrays give, to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from schemas.change import ChangeType
from schemas.errors import InvariantError, TimelineError
from schemas.scorecard import AliveParams, Family, RfmCuts, Scaler, Scorecard
from schemas.transaction import LAST_US
from scoring import one as one_module
from scoring.advance import advance
from scoring.alive import (
    age_at_prob_alive,
    prob_alive,
)
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.changes import KINDS
from scoring.events import Events
from scoring.one import One, lifecycle_name, margin_of_one, rfm_of_one, settle
from scoring.one_alive import OneAlive
from scoring.review import LIFECYCLES, monetary_value, score, silence_days, t_x_days
from scoring.states import NEVER_US, NUMBERS, States
from scoring.telling import rfm_of
from scoring.timeline import Card, Timeline

CUSTOMERS = 300
DAY_US = 86_400_000_000
ZONES = ("UTC", "Europe/London", "America/Recife")
MODELS = [
    bootstrap_scorecard(Family.MBGNBD).alive,
    bootstrap_scorecard(Family.BGNBD).alive,
    AliveParams(family=Family.MBGNBD, r=0.05, alpha_days=3.0, a=1.0005, b=0.4),
    AliveParams(family=Family.BGNBD, r=7.5, alpha_days=900.0, a=1.0, b=1.3),
    AliveParams(family=Family.MBGNBD, r=2.0, alpha_days=40.0, a=3.5, b=12.0),
    AliveParams(family=Family.BGNBD, r=0.01, alpha_days=0.5, a=0.2, b=0.8),
]


def card_of(alive: AliveParams, random: np.random.Generator) -> Scorecard:
    """A scorecard that nobody has thought about."""
    count = int(random.integers(2, 7))
    cuts = [tuple(np.sort(random.uniform(0, high, 4)).tolist()) for high in (400, 20, 90)]
    return bootstrap_scorecard(hysteresis=float(random.choice([0.0, 0.05, 0.4]))).model_copy(
        update={
            "alive": alive,
            "scaler": Scaler(
                mean=tuple(random.uniform(0, 1, 3).tolist()),
                scale=tuple(random.uniform(0.1, 2, 3).tolist()),
            ),
            "centroids": tuple(tuple(row) for row in random.normal(0, 1.5, (count, 3)).tolist()),
            "segments": tuple(f"S{index}" for index in range(count)),
            "rfm": RfmCuts(silence_days=cuts[0], frequency=cuts[1], monetary_value=cuts[2]),
        }
    )


def states_of(card: Card, calendar: BusinessCalendar, random: np.random.Generator) -> States:
    """Customers scored right after their last purchase; a few have none left to score."""
    states = States.blank([f"C-{row}" for row in range(CUSTOMERS)])
    numbers = states.numbers
    numbers["frequency"] = np.exp(random.uniform(0, 9, CUSTOMERS)).astype(np.int64) - 1
    numbers["frequency"][random.random(CUSTOMERS) < 0.3] = 0
    numbers["frequency"][random.random(CUSTOMERS) < 0.05] = -1
    scored = numbers["frequency"] >= 0
    numbers["first_day"][scored] = random.integers(9_000, 20_000, scored.sum())
    numbers["last_day"][scored] = numbers["first_day"][scored] + np.where(
        numbers["frequency"][scored] > 0, random.integers(1, 3_000, scored.sum()), 0
    )
    numbers["repeat_units"] = np.where(
        numbers["frequency"] > 0, random.integers(-(10**6), 10**9, CUSTOMERS), 0
    )
    numbers["purchase_units"] = random.integers(0, 10**9, CUSTOMERS)
    numbers["sequence"] = random.integers(0, 50, CUSTOMERS)
    begin = calendar.instant_of(np.maximum(numbers["last_day"], 0).astype(np.float64))
    numbers["as_of_us"] = begin + random.integers(0, 30 * DAY_US, CUSTOMERS)
    score(numbers, card, calendar)
    return states


@pytest.fixture(params=range(12))
def drawn(
    request: pytest.FixtureRequest,
) -> tuple[States, Timeline, BusinessCalendar, np.random.Generator]:
    random = np.random.default_rng(request.param)
    timeline = Timeline.of(card_of(MODELS[request.param % len(MODELS)], random))
    calendar = BusinessCalendar(ZONES[request.param % len(ZONES)])
    return states_of(timeline.card, calendar, random), timeline, calendar, random


def same(found: object, expected: object) -> bool:
    return found == expected or (found != found and expected != expected)


def test_row_as_plain_numbers_is_the_same_row(drawn) -> None:
    states, *_ = drawn
    for row in range(CUSTOMERS):
        back = One.of(states.numbers, row).numbers()
        assert back.dtype == NUMBERS
        assert back.tobytes() == states.numbers[row : row + 1].tobytes()


@pytest.mark.parametrize("days", [0, 1, 40, 700, None])
def test_silence_does_to_one_what_it_does_to_many(drawn, days: int | None) -> None:
    states, timeline, calendar, _ = drawn
    now_us = LAST_US if days is None else int(np.median(states.numbers["as_of_us"])) + days * DAY_US
    expected = advance(states, Events.none(), now_us, timeline, calendar)
    steps: list[list[tuple[int, bool, object, object]]] = [[] for _ in range(CUSTOMERS)]
    for block in expected.changes.blocks:
        names, instants = block.labels.names, block.numbers["as_of_us"]
        for row, kind, before, after, at in zip(
            block.rows, block.kinds, block.previous, block.current, instants, strict=True
        ):
            of_segment = KINDS[kind] is ChangeType.SEGMENT
            steps[row].append((int(at), of_segment, names[before], names[after]))
    for row in range(CUSTOMERS):
        one = One.of(states.numbers, row)
        assert [tuple(step) for step in settle(one, now_us, timeline.card, calendar)] == steps[row]
        wanted = expected.states.numbers[row].item()
        assert all(map(same, one.numbers()[0].item(), wanted)), (one, wanted)
    if days is None:
        assert sum(map(len, steps)) > CUSTOMERS / 3  # there was something to compare


def test_what_is_told_of_one_is_what_is_told_of_many(drawn) -> None:
    states, timeline, calendar, random = drawn
    card = timeline.card
    numbers = states.numbers[states.numbers["frequency"] >= 0]
    numbers["as_of_us"] += random.integers(0, 3 * 365 * DAY_US, len(numbers))
    days = calendar.days_at(numbers["as_of_us"])
    age, t_x, frequency = days - numbers["first_day"], t_x_days(numbers), numbers["frequency"]
    alive = prob_alive(frequency, t_x, age, card.alive)
    numbers["prob_alive"] = alive
    money = monetary_value(numbers)
    z = card.segmenter.features(alive, frequency, money)
    distance, nearest = card.segmenter.margin(z, numbers["segment"])
    rfm = rfm_of(numbers, card, calendar)
    silence = silence_days(numbers, calendar)
    for row in range(len(numbers)):
        one = One.of(numbers, row)
        day = calendar.days_at_one(one.as_of_us)
        own_age = day - one.first_day
        model = card.one_alive
        assert day == days[row]
        assert one.t_x_days == t_x[row]
        assert one.monetary_value == money[row]
        p = model.prob_alive(one.frequency, one.t_x_days, own_age)
        assert p == alive[row]
        assert rfm_of_one(one, day - one.last_day, money[row], card) == tuple(rfm[row])
        assert day - one.last_day == silence[row]
        assert margin_of_one(one, money[row], card) == (
            distance[row],
            card.segment_names[nearest[row]],
        )
        assert lifecycle_name(one) == LIFECYCLES[one.lifecycle]


@pytest.mark.parametrize("alive", MODELS)
def test_age_at_a_probability_is_that_of_many(alive: AliveParams) -> None:
    random = np.random.default_rng(3)
    count = 2_000
    frequency = np.exp(random.uniform(0, 13, count)).astype(np.int64) - 1
    t_x = np.where(frequency > 0, random.uniform(0, 4_000, count), 0.0)
    p = random.choice([1e-300, 1e-9, 0.2, 0.5, 0.999999, 1.0], count)
    expected = age_at_prob_alive(p, frequency, t_x, alive)
    model = OneAlive(alive)
    for row in range(count):
        found = model.age_at(float(p[row]), int(frequency[row]), float(t_x[row]))
        # Beyond e^709 days one says never, the other a number without a calendar.
        assert found == expected[row] or (found == math.inf and expected[row] > 1e300)


@pytest.mark.parametrize("zone", ZONES)
def test_moments_of_one_are_those_of_many(zone: str) -> None:
    random = np.random.default_rng(8)
    calendar = BusinessCalendar(zone)
    changes = calendar._starts_us[1:40]
    instants = np.concatenate(
        (
            random.integers(-(10**15), 5 * 10**15, 2_000),
            *((changes + step).astype(np.int64) for step in (-1, 0, 1, 3_600_000_000)),
        )
    )
    assert [calendar.days_at_one(at) for at in instants.tolist()] == calendar.days_at(
        instants
    ).tolist()
    days = np.concatenate(
        (calendar.days_at(instants), random.uniform(-1e4, 5e4, 2_000), [1e7, 1.1e7, np.inf])
    )
    assert [calendar.instant_of_one(day) for day in days.tolist()] == calendar.instant_of(
        days
    ).tolist()
    assert calendar.instant_of_one(math.nan) == NEVER_US


def test_history_that_cannot_be_is_refused() -> None:
    model = OneAlive(MODELS[0])
    for t_x, age in ((5.0, 4.0), (-1.0, 4.0), (math.nan, 4.0)):
        with pytest.raises(TimelineError, match="outside"):
            model.prob_alive(2, t_x, age)


def test_customer_who_never_rests_is_named_a_fault_of_ours(
    drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, timeline, calendar, _ = drawn
    monkeypatch.setattr(one_module, "_STEPS_MAX", 0)
    row = int(np.flatnonzero(states.numbers["next_review_us"] != NEVER_US)[0])
    with pytest.raises(InvariantError, match="rest"):
        list(settle(One.of(states.numbers, row), LAST_US, timeline.card, calendar))
