"""Local times of files made unambiguous.

Owns the time zone lookup and the step from a naive local time to one with an offset.
Reads no file and no clock.
"""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from schemas.errors import ConfigurationError, shown


def time_zone(name: str) -> ZoneInfo:
    """Look a time zone up by its IANA name.

    Parameters
    ----------
    name : str
        For example Europe/London.

    Returns
    -------
    ZoneInfo

    Raises
    ------
    ConfigurationError
        No such zone on this machine.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, or a folder such as "Europe"
        raise ConfigurationError(
            f"time zone {shown(name)} is unknown.",
            hint="Give an IANA name such as Europe/London or UTC.",
        ) from None


def with_offset(moment: datetime, zone: ZoneInfo) -> datetime:
    """Give a time the offset that holds in a zone.

    Parameters
    ----------
    moment : datetime
        Naive: local time in the zone. Of an hour that the clock repeats in autumn, the first is
        meant; an hour it leaps over in spring is read as if it had not leapt yet. Aware: the
        instant is kept.
    zone : ZoneInfo
        Whose offset is wanted.

    Returns
    -------
    datetime
        With a fixed offset: two times of one ZoneInfo compare by wall clock, which is no order
        of instants on the day the clocks change.

    Examples
    --------
    >>> with_offset(datetime(2011, 7, 1, 9, 30), ZoneInfo("Europe/London")).isoformat()
    '2011-07-01T09:30:00+01:00'
    """
    local = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)
    offset = local.utcoffset()
    assert offset is not None  # noqa: S101 -- a ZoneInfo always knows
    return local.replace(tzinfo=timezone(offset), fold=0)
