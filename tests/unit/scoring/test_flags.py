"""Flags of one or two customers whose crossings are known in closed form."""

import numpy as np
import pytest

from schemas.change import ChangeType, Lifecycle
from scoring.advance import advance
from scoring.alive import age_at_prob_alive, prob_purchase
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.events import Events
from scoring.flags import batch_lead, flag_outcome, silence_flags
from scoring.states import NEVER_US, UNKNOWN_US, States
from scoring.timeline import Timeline

US_PER_DAY = 86_400_000_000
CARD = bootstrap_scorecard()
CALENDAR = BusinessCalendar()
FADED = [Lifecycle.FADING, Lifecycle.LOST]
FADES_AFTER = float(age_at_prob_alive(0.5, np.array([0]), np.zeros(1), CARD.alive)[0])
"""Days of silence until a one-time buyer fades."""
# The seventh day of the epoch is a Wednesday.
FIRST_DAY = 6
CROSSES_US = int(CALENDAR.instant_of(np.array([FIRST_DAY + FADES_AFTER]))[0])


def told(purchases, until_us):
    """The states and changes of purchases (customer, moment in µs), in time order."""
    purchases = sorted(purchases, key=lambda purchase: purchase[1])
    rows = np.array([row for row, _ in purchases], dtype=np.intp)
    count = len(rows)
    events = Events(
        rows=rows,
        occurred_at_us=np.array([moment for _, moment in purchases], dtype=np.int64),
        amount_units=np.full(count, 10_000),
        is_refund=np.zeros(count, dtype=bool),
        hashes=[number.to_bytes(8, "big") for number in range(count)],
        generations=np.zeros(count, dtype=np.int64),
        topics=np.zeros(count, dtype=np.int64),
        offsets=np.arange(count),
    )
    timeline = Timeline.of(CARD)
    states = States.blank([f"c-{row}" for row in range(int(rows.max()) + 1)])
    bought = advance(states, events, UNKNOWN_US, timeline, CALENDAR)
    rested = advance(bought.states, Events.none(), until_us, timeline, CALENDAR)
    bought.changes.blocks.extend(rested.changes.blocks)
    return rested.states, bought.changes


def test_flag_bears_the_moment_of_its_crossing_whenever_the_sweep_gets_there():
    _, log = told([(0, FIRST_DAY * US_PER_DAY)], CROSSES_US + 10 * US_PER_DAY)
    flags = silence_flags(log, ChangeType.LIFECYCLE, FADED)
    assert flags.at_us.tolist() == [CROSSES_US]
    assert flags.ends_us.tolist() == [NEVER_US]


def test_move_within_the_group_is_no_second_flag_and_a_return_ends_the_first():
    back_us = CROSSES_US + 2_000 * US_PER_DAY
    _, log = told([(0, FIRST_DAY * US_PER_DAY), (0, back_us)], back_us)
    flags = silence_flags(log, ChangeType.LIFECYCLE, FADED)
    assert flags.ends_us.tolist() == [back_us]
    lost = silence_flags(log, ChangeType.LIFECYCLE, [Lifecycle.LOST])
    assert len(lost) == 1
    assert CROSSES_US < lost.at_us[0] < back_us


def test_customers_are_kept_apart_where_one_follows_the_other():
    first, second = FIRST_DAY * US_PER_DAY, (FIRST_DAY + 1) * US_PER_DAY
    _, log = told([(0, first), (1, second)], CROSSES_US + 2 * US_PER_DAY)
    flags = silence_flags(log, ChangeType.LIFECYCLE, FADED)
    assert flags.rows.tolist() == [0, 1]
    assert flags.ends_us.tolist() == [NEVER_US, NEVER_US]


def test_batch_leads_by_what_is_left_to_midnight_and_to_mondays_midnight():
    _, log = told([(0, FIRST_DAY * US_PER_DAY)], CROSSES_US)
    flags = silence_flags(log, ChangeType.LIFECYCLE, FADED)
    end_us = CROSSES_US + 30 * US_PER_DAY
    day = CROSSES_US / US_PER_DAY
    nightly = batch_lead(flags, 1, end_us, CALENDAR)
    assert nightly.mean_days == pytest.approx(np.ceil(day) - day)
    weekly = batch_lead(flags, 7, end_us, CALENDAR)
    monday = next(d for d in range(int(np.ceil(day)), 999) if (d + 3) % 7 == 0)
    assert weekly.median_days == pytest.approx(monday - day)
    assert (weekly.seen, weekly.missed, weekly.pending) == (1, 0, 0)


def test_customer_back_before_the_batch_ran_is_one_it_never_told_of():
    back_us = CROSSES_US + 60_000_000
    _, log = told([(0, FIRST_DAY * US_PER_DAY), (0, back_us)], back_us)
    flags = silence_flags(log, ChangeType.LIFECYCLE, FADED)
    lead = batch_lead(flags, 1, back_us + US_PER_DAY, CALENDAR)
    assert (lead.seen, lead.missed, lead.pending, lead.mean_days) == (0, 1, 0, None)
    assert batch_lead(flags, 1, back_us, CALENDAR).pending == 1


def test_outcome_counts_who_stayed_away_and_what_the_model_said():
    back_us = CROSSES_US + 10 * US_PER_DAY
    end_us = CROSSES_US + 100 * US_PER_DAY
    first = FIRST_DAY * US_PER_DAY
    states, log = told([(0, first), (0, back_us), (1, first)], CROSSES_US + 11 * US_PER_DAY)
    flags = silence_flags(log, ChangeType.LIFECYCLE, FADED)
    outcome = flag_outcome(flags, states.numbers["last_at_us"], end_us, CARD.alive, CALENDAR)
    assert (outcome.flags, outcome.customers, outcome.stayed_away) == (2, 2, 0.5)
    assert (outcome.followed, outcome.followed_stayed_away) == (2, 0.5)
    assert outcome.mean_silence_days == pytest.approx(FADES_AFTER)
    # Both were at P(alive) 0.5 with 100 days to come.
    returns = prob_purchase(
        100.0, np.array([0]), np.zeros(1), np.array([FADES_AFTER]), CARD.alive, np.array([0.5])
    )
    assert outcome.model_expected == pytest.approx(1 - returns[0])


def test_nobody_flagged_is_no_error():
    states, log = told([(0, FIRST_DAY * US_PER_DAY)], FIRST_DAY * US_PER_DAY)
    flags = silence_flags(log, ChangeType.SEGMENT, ["Hibernating"])
    assert len(flags) == 0
    outcome = flag_outcome(flags, states.numbers["last_at_us"], 0, CARD.alive, CALENDAR)
    assert (outcome.flags, outcome.stayed_away) == (0, None)
    assert batch_lead(flags, 7, 0, CALENDAR).mean_days is None
