from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigurationError
from scoring.business_calendar import BusinessCalendar

ZONES = ["UTC", "Europe/London", "America/Sao_Paulo", "Asia/Kolkata"]
EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH = EPOCH_UTC.replace(tzinfo=None)  # of the wall clock
NEVER_US = 2**63 - 1
US = timedelta(microseconds=1)
instants = st.integers(0, (datetime(2100, 1, 1, tzinfo=UTC) - EPOCH_UTC) // US - 1)
zones = st.sampled_from(ZONES)


def instant(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH_UTC) // US


def civil(zone: str, instant_us: int) -> datetime:
    """What the wall clock shows, by zoneinfo."""
    moment = EPOCH_UTC + timedelta(microseconds=instant_us)
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def civil_days(text: str) -> float:
    return (datetime.fromisoformat(text) - EPOCH) / timedelta(days=1)


def instants_of(calendar: BusinessCalendar, *days: float) -> list[int]:
    return calendar.instant_of(np.array(days, dtype=np.float64)).tolist()


@given(zones, st.lists(instants, min_size=1, max_size=50))
def test_days_are_those_of_the_wall_clock(zone, moments):
    calendar = BusinessCalendar(zone)
    clocks = [civil(zone, moment) for moment in moments]
    moments_us = np.array(moments)
    assert calendar.day_of(moments_us).tolist() == [(clock - EPOCH).days for clock in clocks]
    exact = [(clock - EPOCH) / timedelta(days=1) for clock in clocks]
    assert calendar.days_at(moments_us).tolist() == exact


@given(zones, st.lists(instants, min_size=1, max_size=50))
def test_instant_of_the_days_at_an_instant_is_that_instant_or_its_first_reading(zone, moments):
    calendar = BusinessCalendar(zone)
    back = calendar.instant_of(calendar.days_at(np.array(moments)))
    for moment, found in zip(moments, back.tolist(), strict=True):
        clock = civil(zone, moment)
        assert civil(zone, found) == clock
        first = clock.replace(tzinfo=ZoneInfo(zone), fold=0)
        assert found == (first - EPOCH_UTC) // US


@given(zones, st.lists(st.floats(1.0, 47_000.0), min_size=1, max_size=50))
def test_crossing_is_seen_at_its_first_microsecond_and_never_before(zone, crossings):
    calendar = BusinessCalendar(zone)
    crossing = np.array(crossings)
    found = calendar.instant_of(crossing)
    assert (calendar.days_at(found) >= crossing).all()
    assert (calendar.days_at(found - 1) < crossing).all()


@given(st.lists(st.integers(-30_000, 60_000), min_size=1))
def test_whole_days_are_exact_in_utc(days):
    calendar = BusinessCalendar()
    midnights = np.array(days) * 86_400_000_000
    assert calendar.days_at(midnights).tolist() == days
    assert instants_of(calendar, *days) == midnights.tolist()
    assert calendar.day_of(midnights - 1).tolist() == [day - 1 for day in days]


def test_skipped_hour_is_the_moment_the_clocks_have_moved_on():
    london = BusinessCalendar("Europe/London")
    moved = instant("2024-03-31T01:00:00Z")
    for clock in ("2024-03-31T01:00", "2024-03-31T01:30", "2024-03-31T02:00"):
        assert instants_of(london, civil_days(clock)) == [moved]


def test_skipped_midnight_begins_the_day_an_hour_later():
    sao_paulo = BusinessCalendar("America/Sao_Paulo")
    assert instants_of(sao_paulo, civil_days("2018-11-04")) == [instant("2018-11-04T03:00:00Z")]
    before = np.array([instant("2018-11-04T02:59:59.999999Z"), instant("2018-11-04T03:00:00Z")])
    assert np.diff(sao_paulo.day_of(before)).tolist() == [1]


def test_repeated_hour_is_its_first_reading():
    london = BusinessCalendar("Europe/London")
    assert instants_of(london, civil_days("2024-10-27T01:30")) == [instant("2024-10-27T00:30:00Z")]
    readings = np.array([instant("2024-10-27T00:30:00Z"), instant("2024-10-27T01:30:00Z")])
    assert np.diff(london.days_at(readings)).tolist() == [0.0]


def test_offsets_that_change_twice_within_a_week_are_both_known():
    # Recife kept summer time from 8 to 15 October 2000 only.
    recife = BusinessCalendar("America/Recife")
    noons = np.array([instant(f"2000-10-{day:02d}T12:00:00Z") for day in (7, 10, 16)])
    hours = (recife.days_at(noons) % 1 * 24).round(9).tolist()
    assert hours == [9.0, 10.0, 9.0]


@pytest.mark.parametrize("zone", ZONES)
def test_never_stays_never(zone):
    calendar = BusinessCalendar(zone)
    assert instants_of(calendar, np.inf, 1e12, np.nan, 0.5)[:3] == [NEVER_US] * 3
    assert calendar.days_at(np.array([NEVER_US]))[0] == pytest.approx(NEVER_US / 86_400e6)


@pytest.mark.parametrize("zone", ZONES)
def test_no_instants_give_no_days(zone):
    calendar = BusinessCalendar(zone)
    assert calendar.day_of(np.array([], dtype=np.int64)).shape == (0,)
    assert calendar.instant_of(np.array([])).shape == (0,)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd"])
def test_unknown_time_zone_is_a_configuration_error(name):
    with pytest.raises(ConfigurationError, match="no time zone"):
        BusinessCalendar(name)
