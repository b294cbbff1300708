"""Purchase days are calendar days of the business time zone; between them time runs on evenly.

Owns the conversion between instants (microseconds since 1970 UTC) and civil days (days since
1970-01-01 on the wall clocks of the business, with a fraction). Reads no clock.

A float64 of civil days resolves 0.3 µs until 2059 and 0.6 µs until 2149: whole days are exact,
and every microsecond has a civil day of its own. `instant_of` is therefore the exact inverse of
`days_at`, and a crossing is never seen before it happens.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigurationError, shown

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_US_PER_DAY = 86_400e6
_US_PER_SECOND = 1_000_000
_NEVER_US = np.iinfo(np.int64).max
# Later days (the year 32,000 and on) are never: their microseconds near the end of int64.
_DAYS_MAX = 11_000_000.0
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Steps in which a change of offset is looked for. Tzdata holds changes 6.96 days apart
# (America/Recife, October 2000), which weekly steps would miss; daily steps take 3× as long.
_STEP = timedelta(days=3)


class Offsets(NamedTuple):
    """Periods of one time zone; float64, shape (n,), n >= 1, whole microseconds.

    Attributes
    ----------
    starts_us : when each begins, the first at minus infinity
    offsets_us : of civil time from UTC
    civil_ends_us : civil time at which each ends
    """

    starts_us: FloatArray
    offsets_us: FloatArray
    civil_ends_us: FloatArray


class BusinessCalendar:
    """Civil time of one IANA time zone.

    Parameters
    ----------
    timezone_name : str
        Such as "UTC" or "Europe/London". Rules are known from 1970 to 2100; beyond, the offset of
        the nearest known moment holds.

    Raises
    ------
    ConfigurationError
        There is no such time zone.

    Examples
    --------
    >>> calendar = BusinessCalendar("Asia/Kolkata")
    >>> calendar.day_of(np.array([0, 18 * 3600 * 10**6 + 1800 * 10**6]))
    array([0, 1])
    >>> calendar.instant_of(np.array([1.0, np.inf])).tolist()
    [66600000000, 9223372036854775807]
    """

    def __init__(self, timezone_name: str = "UTC") -> None:
        self.timezone_name = timezone_name
        self._starts_us, self._offsets_us = _transitions(timezone_name)
        self._fixed = len(self._starts_us) == 1
        # Civil time at which each offset ends. Where clocks go back, it is read once more after;
        # where they go forward, nothing is read until the next offset begins.
        ends = np.append(self._starts_us[1:], np.inf) + self._offsets_us
        self._civil_ends_us = np.maximum.accumulate(ends)

    @property
    def offsets(self) -> Offsets:
        """For those who do the same arithmetic elsewhere."""
        return Offsets(self._starts_us, self._offsets_us, self._civil_ends_us)

    def days_at(self, instants_us: IntArray) -> FloatArray:
        """Civil days since 1970-01-01 of each instant, the fraction of the day included.

        Rises with the instant, save that it falls back where the clocks do.
        """
        offsets = self._offsets_us[0] if self._fixed else self._offsets_at(instants_us)
        days: FloatArray = (instants_us + offsets) / _US_PER_DAY
        return days

    def day_of(self, instants_us: IntArray) -> IntArray:
        """Civil day number of each instant, days since 1970-01-01."""
        return np.floor(self.days_at(instants_us)).astype(np.int64)

    def instant_of(self, civil_days: FloatArray) -> IntArray:
        """First microsecond whose `days_at` is no less than each civil moment.

        A civil moment that occurs twice (autumn) is the first of the two; one that is skipped
        (spring) is the moment at which the clocks have moved on. Infinity gives the largest int64.
        """
        finite = civil_days < _DAYS_MAX
        days = np.where(finite, civil_days, 0.0)
        civil_us = np.ceil(days * _US_PER_DAY)
        # The product is rounded, so its ceiling may be one off in either direction.
        civil_us -= (civil_us - 1.0) / _US_PER_DAY >= days
        civil_us += civil_us / _US_PER_DAY < days
        if self._fixed:
            instants = civil_us - self._offsets_us[0]
        else:
            period = np.searchsorted(self._civil_ends_us, civil_us, side="right")
            instants = np.maximum(civil_us - self._offsets_us[period], self._starts_us[period])
        return np.where(finite, instants.astype(np.int64), _NEVER_US)

    def _offsets_at(self, instants_us: IntArray) -> FloatArray:
        period = np.searchsorted(self._starts_us[1:], instants_us, side="right")
        return self._offsets_us[period]


@lru_cache(maxsize=32)
def _transitions(timezone_name: str) -> tuple[FloatArray, FloatArray]:
    """When each offset begins (the first: always), and the offsets; whole microseconds, never empty.

    As floats, in which they are exact, so that adding one to the largest int64 does not wrap round.
    """
    try:
        zone = ZoneInfo(timezone_name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(
            f"there is no time zone {shown(timezone_name)}.",
            hint='Name one of the IANA database, such as "Europe/London".',
        ) from error
    moment = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    end = datetime(_LAST_YEAR, 1, 1, tzinfo=UTC)
    starts, offsets = [-np.inf], [_offset(zone, moment)]
    while moment < end:
        later = moment + _STEP
        if _offset(zone, later) != offsets[-1]:
            later = _first_change(zone, moment, later, offsets[-1])
            starts.append((later - _EPOCH) // timedelta(seconds=1) * _US_PER_SECOND)
            offsets.append(_offset(zone, later))
        moment = later
    offsets_us = [offset // timedelta(microseconds=1) for offset in offsets]
    return np.array(starts, dtype=np.float64), np.array(offsets_us, dtype=np.float64)


def _first_change(zone: ZoneInfo, low: datetime, high: datetime, known: timedelta) -> datetime:
    """First second between two moments whose offset is not the known one."""
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset(zone, middle) == known:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
