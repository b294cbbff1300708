"""Warnings that silence gave: when, how long a batch would have taken, and whether they were right.

Owns what a flag is: a change by silence into a group of segments or lifecycles from outside that group.
Pure; batches are described by their rhythm, and no clock is read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.change import Cause, ChangeType
from schemas.scorecard import AliveParams
from scoring.alive import prob_purchase
from scoring.business_calendar import BusinessCalendar
from scoring.changes import CAUSES, KINDS, ChangeLog
from scoring.review import age_days, t_x_days
from scoring.states import NEVER_US, NUMBERS, Numbers

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FOLLOWED_DAYS = 90.0
"""Flags with at least so much data after them are judged apart: a customer flagged the day before the
data ends has had no time to come back, and would flatter the share that did not."""

_US_PER_DAY = 86_400e6
_MONDAY = 4  # days since 1970-01-01, a Thursday
_SILENCE = CAUSES.index(Cause.SILENCE)


@dataclass(frozen=True, slots=True)
class Flags:
    """n flags, by customer and time.

    Attributes
    ----------
    rows : intp, shape (n,)
        Row of each customer in the states handed to `advance`.
    at_us : int64, shape (n,)
        When P(alive) crossed the border, microseconds since 1970 UTC.
    ends_us : int64, shape (n,)
        When the customer left the group again; `NEVER_US` if not yet.
    numbers : structured array of dtype NUMBERS, shape (n,)
        The customers as they stood when flagged.
    """

    rows: NDArray[np.intp]
    at_us: IntArray
    ends_us: IntArray
    numbers: Numbers

    def __len__(self) -> int:
        return len(self.rows)


def silence_flags(log: ChangeLog, kind: ChangeType, group: Collection[str]) -> Flags:
    """Find those whom silence brought into a group of segments or lifecycles.

    Parameters
    ----------
    log : ChangeLog
        Of one call of `advance`.
    kind : ChangeType
    group : names; moves within it are no news
    """
    parts: list[tuple[NDArray[np.intp], Numbers, NDArray[np.bool_], NDArray[np.bool_]]] = []
    for block in log.blocks:
        grouped = np.array([name in group for name in block.labels.names], dtype=np.bool_)
        was, is_in = grouped[block.previous], grouped[block.current]
        border = np.flatnonzero((was != is_in) & (block.kinds == KINDS.index(kind)))
        silent = block.causes[border] == _SILENCE
        parts.append((block.rows[border], block.numbers[border], is_in[border], silent))
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return Flags(empty.astype(np.intp), empty, empty, np.zeros(0, dtype=NUMBERS))
    rows, numbers, entered, silent = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((numbers["sequence"], rows))
    rows, numbers, entered, silent = rows[order], numbers[order], entered[order], silent[order]
    # Entries and exits of one customer take turns, so whatever comes next of them is the exit.
    at_us = numbers["as_of_us"]
    followed = np.r_[rows[1:] == rows[:-1], False]
    ends_us = np.where(followed, np.r_[at_us[1:], NEVER_US], NEVER_US)
    flags = np.flatnonzero(entered & silent)
    return Flags(rows[flags], at_us[flags], ends_us[flags], numbers[flags])


@dataclass(frozen=True, slots=True)
class BatchLead:
    """How much earlier flags came than a batch would have brought them.

    Attributes
    ----------
    seen : int
        Flags that the next run of the batch would have found still standing.
    missed : int
        Flags over before it ran: the customer had bought again. The batch never tells of them.
    pending : int
        Flags after the last run within the data: nobody knows.
    mean_days, median_days : float or None
        From the crossing to the run, over those seen.
    """

    seen: int
    missed: int
    pending: int
    mean_days: float | None
    median_days: float | None


def batch_lead(
    flags: Flags, every_days: int, data_ends_us: int, calendar: BusinessCalendar
) -> BatchLead:
    """Compare with a batch that computes the same, at midnight of the business time zone.

    Parameters
    ----------
    every_days : int
        1: every night; 7: every night to Monday.
    data_ends_us : int
        Later runs are not part of the data.

    Notes
    -----
    A purchase at the very moment of a run is not known to it: data with dates only puts all
    purchases of a day at its midnight.
    """
    first = _MONDAY if every_days > 1 else 0
    days = calendar.days_at(flags.at_us)
    runs_us = calendar.instant_of(first + every_days * np.ceil((days - first) / every_days))
    pending = runs_us > data_ends_us
    seen = ~pending & (runs_us <= flags.ends_us)
    lead = (runs_us - flags.at_us)[seen] / _US_PER_DAY
    return BatchLead(
        seen=int(seen.sum()),
        missed=int((~pending & ~seen).sum()),
        pending=int(pending.sum()),
        mean_days=float(lead.mean()) if len(lead) else None,
        median_days=float(np.median(lead)) if len(lead) else None,
    )


@dataclass(frozen=True, slots=True)
class FlagOutcome:
    """What came of flags.

    Attributes
    ----------
    flags, customers : int
        A customer who came back can be flagged again.
    stayed_away : float or None
        Share after which nothing was bought in the rest of the data.
    model_expected : float or None
        The same share as the model expected it, each flag with the days left after it.
    followed : int
        Flags with at least `FOLLOWED_DAYS` of data after them.
    followed_stayed_away : float or None
        `stayed_away` of those.
    mean_silence_days : float or None
        Silence at the moment of the flag.
    """

    flags: int
    customers: int
    stayed_away: float | None
    model_expected: float | None
    followed: int
    followed_stayed_away: float | None
    mean_silence_days: float | None


def flag_outcome(
    flags: Flags,
    last_purchase_us: IntArray,
    data_ends_us: int,
    params: AliveParams,
    calendar: BusinessCalendar,
) -> FlagOutcome:
    """Who of those flagged bought again.

    Parameters
    ----------
    last_purchase_us : int64, shape (customers,)
        Last purchase of every customer of the states in all of the data.
    data_ends_us : int
    params : AliveParams
        Under which they were flagged.
    """
    if not len(flags):
        return FlagOutcome(0, 0, None, None, 0, None, None)
    away = last_purchase_us[flags.rows] <= flags.at_us
    left_days = (data_ends_us - flags.at_us) / _US_PER_DAY
    age, t_x = age_days(flags.numbers, calendar), t_x_days(flags.numbers)
    returns = prob_purchase(
        left_days, flags.numbers["frequency"], t_x, age, params, flags.numbers["prob_alive"]
    )
    followed = left_days >= FOLLOWED_DAYS
    return FlagOutcome(
        flags=len(flags),
        customers=len(np.unique(flags.rows)),
        stayed_away=float(away.mean()),
        model_expected=float(1.0 - returns.mean()),
        followed=int(followed.sum()),
        followed_stayed_away=float(away[followed].mean()) if followed.any() else None,
        mean_silence_days=float((age - t_x).mean()),
    )
