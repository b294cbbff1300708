"""What is compiled tells the history that Python tells, to the last bit, whatever customers did."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InvariantError
from schemas.scorecard import AliveParams, Family, Scorecard, SpendParams
from scoring import advance as module
from scoring.advance import Advanced, advance, advance_plainly
from scoring.alive import prob_alive_unchecked
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.events import Events
from scoring.review import score
from scoring.scorers import scorer_of
from scoring.states import NUMBERS, UNKNOWN_US, States, blank_numbers
from scoring.telling import Told, tell, tell_plainly
from scoring.timeline import Card, Timeline
from tests.support.compiled import needs_compiled

needs_compiled()

US_PER_DAY = 86_400_000_000
CUSTOMERS = 4
ZONE = BusinessCalendar()
ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"])
POSITIVE = st.floats(0.05, 20)


@st.composite
def scorecards(draw: st.DrawFn) -> Scorecard:
    """With any numbers, and any hysteresis."""
    card = bootstrap_scorecard(
        draw(st.sampled_from(list(Family))), hysteresis=draw(st.sampled_from([0.0, 0.05, 0.5]))
    )
    if draw(st.booleans()):
        return card
    params = AliveParams(
        family=card.alive.family,
        r=draw(POSITIVE),
        alpha_days=draw(st.floats(1, 400)),
        a=draw(POSITIVE | st.sampled_from([0.5, 1.0, 1.001, 1.5, 2.0, 3.0])),
        b=draw(POSITIVE),
    )
    return card.model_copy(update={"alive": params})


@st.composite
def events(draw: st.DrawFn) -> Events:
    """Purchases and refunds, in and out of order, some of them twice, some on one day."""
    count = draw(st.integers(0, 25))

    def column(strategy: st.SearchStrategy[int]) -> np.ndarray:
        return np.array(draw(st.lists(strategy, min_size=count, max_size=count)), dtype=np.int64)

    days = st.integers(9_000, 9_030) | st.integers(9_000, 11_000)
    return Events(
        rows=column(st.integers(0, CUSTOMERS - 1)),
        occurred_at_us=column(days) * US_PER_DAY + column(st.sampled_from([0, 1, US_PER_DAY // 2])),
        amount_units=column(st.integers(0, 10**7) | st.just(3 * 10**18)),
        is_refund=column(st.sampled_from([0, 0, 0, 1])).astype(np.bool_),
        hashes=[bytes([n]) * 8 for n in column(st.integers(0, 40)).tolist()],
        generations=np.sort(column(st.integers(0, 3))),
        topics=column(st.integers(0, 1)),
        offsets=np.arange(count),
        not_before_us=column(days) * US_PER_DAY if draw(st.booleans()) else None,
    )


def history(found: Advanced) -> dict[int, list[tuple[object, ...]]]:
    """Each customer's changes, in order."""
    told = defaultdict(list)
    for block in found.changes.blocks:
        names = block.labels.names
        for row, kind, previous, current, cause, then in zip(
            block.rows.tolist(),
            block.kinds.tolist(),
            block.previous.tolist(),
            block.current.tolist(),
            block.causes.tolist(),
            block.numbers,
            strict=True,
        ):
            told[row].append((kind, names[previous], names[current], cause, then.tobytes()))
    return told


def assert_same(compiled: Advanced, plain: Advanced) -> None:
    for name in NUMBERS.names or ():
        np.testing.assert_array_equal(
            compiled.states.numbers[name], plain.states.numbers[name], name
        )
    for name in ("days", "ids_previous", "ids_current"):
        assert getattr(compiled.states, name).tolist() == getattr(plain.states, name).tolist()
    assert history(compiled) == history(plain)
    assert (compiled.duplicates, compiled.clock_us) == (plain.duplicates, plain.clock_us)
    assert compiled.refused.tolist() == plain.refused.tolist()


@given(scorecards(), events(), st.sampled_from([0, 5 * US_PER_DAY]), ZONES)
@settings(max_examples=300)
def test_compiled_history_is_that_of_python(card, given_, lateness_us, zone):
    calendar, timeline = BusinessCalendar(zone), Timeline.of(card)
    states = States.blank([f"c-{row}" for row in range(CUSTOMERS)])
    arguments = given_, UNKNOWN_US, timeline, calendar, lateness_us
    bought = advance(states, *arguments)
    assert_same(bought, advance_plainly(states, *arguments))
    rest = Events.none(), bought.clock_us + 3_000 * US_PER_DAY, timeline, calendar
    if len(given_):
        assert_same(advance(bought.states, *rest), advance_plainly(bought.states, *rest))


def grown(card: Card, calendar: BusinessCalendar, count: int = 5_000) -> np.ndarray:
    """Customers of every age, frequency and value."""
    random = np.random.default_rng(7)
    numbers = blank_numbers(count)
    numbers["frequency"] = random.integers(-1, 60, count) * random.integers(0, 2, count)
    numbers["first_day"] = random.integers(9_000, 9_500, count)
    numbers["last_day"] = numbers["first_day"] + numbers["frequency"].clip(0) * random.integers(
        1, 9, count
    )
    numbers["repeat_units"] = random.integers(-(10**6), 10**7, count)
    numbers["as_of_us"] = numbers["last_day"] * US_PER_DAY + random.integers(
        0, 900 * US_PER_DAY, count
    )
    score(numbers, card, calendar)
    return numbers


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("a", [0.4, 0.891, 1.0, 1.5, 2.0, 3.0, 700.0])
def test_what_is_told_of_customers_is_what_python_tells(family, a):
    card = bootstrap_scorecard(family)
    params = card.alive.model_copy(update={"a": a, "alpha_days": 0.5 if a > 100 else 43.0})
    spend = SpendParams(p=6.25, q=3.74, v=15.44) if a < 1.0 else None
    card = Card(card.model_copy(update={"alive": params, "spend": spend}))
    calendar = BusinessCalendar()
    numbers = grown(card, calendar, 5_000 if a < 100 else 40)
    first, compiled = tell(numbers, card, calendar), tell(numbers, card, calendar)
    plain = tell_plainly(numbers, card, calendar)
    for name in Told.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(compiled, name), getattr(plain, name), name)
        np.testing.assert_array_equal(getattr(first, name), getattr(plain, name), name)
    assert np.isfinite(plain.clv_365).all() == (spend is not None)


def test_customers_on_an_older_scorecard_are_brought_up_as_python_does():
    first = bootstrap_scorecard()
    second = first.model_copy(update={"number": 1, "hysteresis": 0.0})
    timeline = Timeline([(UNKNOWN_US, first), (9_100 * US_PER_DAY, second)])
    states = States.blank(["c-0"])
    states.numbers = grown(Card(first), ZONE, 1)
    arguments = Events.none(), 9_990 * US_PER_DAY, timeline, ZONE
    found = advance(states, *arguments)
    assert found.states.numbers["card"].tolist() == [1]
    assert_same(found, advance_plainly(states, *arguments))


def test_scorecard_of_very_many_segments_is_left_to_python():
    card = bootstrap_scorecard()
    many = card.model_copy(
        update={
            "segments": tuple(f"s-{n}" for n in range(65)),
            "centroids": tuple((n / 65, n / 65, n / 65) for n in range(65)),
        }
    )
    assert scorer_of(Card(card), ZONE) is not None
    assert scorer_of(Card(many), ZONE) is None
    numbers = grown(Card(many), ZONE, 50)
    np.testing.assert_array_equal(
        tell(numbers, Card(many), ZONE).expected, tell(numbers, Card(card), ZONE).expected
    )


@pytest.mark.parametrize("how", ["compiled", "in Python"])
def test_customer_who_goes_in_circles_stops_the_worker_by_name(monkeypatch, how):
    if how == "in Python":
        monkeypatch.setattr(module, "_advancing", None)
    card = bootstrap_scorecard()
    # Who stands nearer to their own centroid than to another leaves it: three segments, for ever.
    update = {"hysteresis": -0.5, "segments": card.segments[:3], "centroids": card.centroids[:3]}
    timeline, states = Timeline.of(card.model_copy(update=update)), States.blank(["restless"])
    numbers = states.numbers
    numbers["frequency"], numbers["first_day"], numbers["last_day"] = 3, 9_000, 9_050
    numbers["repeat_units"], numbers["as_of_us"] = 900_000, 9_051 * US_PER_DAY
    score(numbers, timeline.card, ZONE)
    with pytest.raises(InvariantError, match="'restless' does not come to rest"):
        advance(states, Events.none(), 12_000 * US_PER_DAY, timeline, ZONE)


def test_p_alive_is_that_of_the_model():
    numbers = grown(Card(bootstrap_scorecard()), ZONE)
    rows = numbers[numbers["frequency"] >= 0]
    states = replace(States.blank(["c"] * len(rows)), numbers=rows)
    states.numbers["next_review_us"] = states.numbers["as_of_us"]
    timeline = Timeline.of(bootstrap_scorecard())
    found = advance(states, Events.none(), UNKNOWN_US, timeline, ZONE).states.numbers
    t_x = (found["last_day"] - found["first_day"]).astype(np.float64)
    age = found["as_of_us"] / US_PER_DAY - found["first_day"]
    expected = prob_alive_unchecked(found["frequency"], t_x, age, timeline.card.alive)
    np.testing.assert_array_equal(found["prob_alive"], expected)
