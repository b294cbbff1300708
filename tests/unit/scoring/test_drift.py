"""When it counts as drift: a steady shop is left in peace, one whose customers change is found out."""

from dataclasses import replace

import numpy as np
import pytest

from schemas.scorecard import AliveParams, Family, LifecycleThresholds
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.drift import Drifting, Look, Snapshot, drifted, look
from scoring.learning import LearningOptions, LearningSample, learn
from scoring.shadow import Gate
from tests.support.steady_shop import FIRST_DAY, SteadyShop

ALIVE = AliveParams(r=0.7, alpha_days=70.0, a=0.6, b=1.4)
CALENDAR = BusinessCalendar()
CUSTOMERS, DAYS = 9_000, 380
CHANGED_AFTER = 2  # looks


def alarms(pace: float, looks: int, seed: int) -> dict[int, tuple[Drifting, ...]]:
    """At which weekly looks something had drifted, counted from when habits change."""
    change = FIRST_DAY + 7 * CHANGED_AFTER
    shop = SteadyShop(ALIVE, CUSTOMERS, DAYS, seed, change, pace)
    snapshot = shop.snapshot(FIRST_DAY)
    sample = LearningSample(
        snapshot.frequency, snapshot.first_day, snapshot.last_day, snapshot.monetary_value
    )
    options = LearningOptions(
        Family.MBGNBD, 4, 0.05, LifecycleThresholds(), 1, 1.0, Gate(0.03, 0.05)
    )
    now_us = int(snapshot.clock_us[0])
    card = learn(sample, now_us, bootstrap_scorecard(), options, CALENDAR, seed).candidate
    assert card is not None
    seen: list[Look] = []
    found, before = {}, None
    for number in range(looks):
        snapshot = shop.snapshot(FIRST_DAY + 7 * number)
        seen.append(look(snapshot, before, card, CALENDAR))
        before = snapshot
        ratios = [one.inertia_share / seen[0].inertia_share for one in seen]
        kinds = drifted(ratios, [one.excess for one in seen if one.comparable])
        if kinds:
            found[number - CHANGED_AFTER] = kinds
    assert sum(one.comparable for one in seen) == looks - 1
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_steady_shop_is_left_in_peace(seed):
    found = alarms(1.0, 40, seed)
    assert all(number > 13 and kinds == (Drifting.INERTIA,) for number, kinds in found.items())


@pytest.mark.parametrize(("pace", "looks_max"), [(0.5, 5), (2.0, 5), (0.67, 10), (1.5, 10)])
@pytest.mark.parametrize("seed", [0, 1])
def test_change_of_pace_is_found_within_weeks_and_not_before_it_happens(pace, looks_max, seed):
    found = alarms(pace, CHANGED_AFTER + looks_max, seed)
    assert found
    assert min(found) > 0
    assert Drifting.CALIBRATION in found[min(found)]


def snapshot_of(last_day, clock_day, names="ab") -> Snapshot:
    count = len(names)
    return Snapshot(
        customer_ids=tuple(names),
        frequency=np.full(count, 2),
        first_day=np.full(count, 10),
        last_day=np.array(last_day),
        monetary_value=np.full(count, 20.0),
        clock_us=np.array(clock_day) * 86_400_000_000,
    )


def test_only_those_seen_twice_are_compared_each_over_the_days_of_their_own_partition():
    card = bootstrap_scorecard()
    before = snapshot_of([50, 60, 60], [100, 100, 100], "abx")
    now = snapshot_of([105, 60, 150], [107, 100, 160], "abc")
    seen = look(now, before, card, CALENDAR)
    assert seen.actual_buyers == 1
    assert seen.days == pytest.approx(3.5)  # b's partition stood still
    alone = look(snapshot_of([105], [107], "a"), snapshot_of([50], [100], "a"), card, CALENDAR)
    assert seen.expected_buyers == pytest.approx(alone.expected_buyers)
    assert 0 < alone.expected_buyers < 1
    nobody = look(snapshot_of([50], [100], "a"), snapshot_of([50], [100], "b"), card, CALENDAR)
    assert (nobody.expected_buyers, nobody.actual_buyers, nobody.days) == (0.0, 0, 0.0)


def test_few_buyers_are_not_compared():
    seen = Look(0.5, 0.4, expected_buyers=49.9, actual_buyers=0, days=7.0)
    assert not seen.comparable
    assert replace(seen, expected_buyers=50.0).comparable


@pytest.mark.parametrize(
    ("ratios", "excesses", "kinds"),
    [
        ([1.0] * 60, [0.0] * 60, ()),
        ([1.0, 1.3, 1.3], [], (Drifting.INERTIA,)),
        ([1.0, 0.5, 0.4], [], ()),  # a better fit is no drift
        ([1.0], [0.9], ()),  # one week of sales
        ([1.0], [0.9, 0.9], (Drifting.CALIBRATION,)),
        ([1.0], [-0.6, -0.6], (Drifting.CALIBRATION,)),
        ([1.0], [0.9, 0.9, 0.0], ()),  # it began anew after the alarm
        ([], [], ()),
    ],
)
def test_alarm_is_raised_at_the_look_at_which_enough_has_added_up(ratios, excesses, kinds):
    assert drifted(ratios, excesses) == kinds
