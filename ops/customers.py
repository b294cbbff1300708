"""One customer as of any moment, for the people and services that ask.

Owns what is said of a customer; `ops.lookup` finds them. What silence has done since the last event
but no sweep has committed yet is computed by the same `advance`, so an answer is never stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

import numpy as np

from schemas.change import ChangeType
from schemas.transaction import LAST_US
from scoring.advance import advance
from scoring.alive import prob_alive
from scoring.business_calendar import BusinessCalendar
from scoring.changes import KINDS
from scoring.events import Events
from scoring.ledger import DayEntry, unpack_days
from scoring.review import (
    LIFECYCLES,
    UNITS_PER_MAJOR,
    age_days,
    monetary_value,
    silence_days,
    t_x_days,
)
from scoring.states import NEVER_US, NUMBERS, UNKNOWN_US, Numbers, States
from scoring.telling import Told, tell
from scoring.timeline import Card, Timeline

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_DAY = 86_400_000_000
_NAMES = NUMBERS.names or ()


def moment(instant_us: int) -> datetime | None:
    """A moment for people; None for those that are not."""
    if instant_us in (NEVER_US, UNKNOWN_US):
        return None
    return _EPOCH + timedelta(microseconds=instant_us)


def _value(told: Told) -> dict[str, float | None]:
    """What to expect of the one customer; no money where the scorecard has no spend model."""
    plain = {name: float(column[0]) for name, column in told.value()._asdict().items()}
    return {name: None if isnan(number) else number for name, number in plain.items()}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A change that silence alone will bring."""

    at: datetime
    kind: str
    previous: str | None
    current: str | None


class Customer:
    """One customer as of one moment.

    Parameters
    ----------
    states : States
        One row, brought up to `as_of_us`.
    as_of_us : int
        Microseconds since 1970 UTC.
    """

    def __init__(
        self, states: States, as_of_us: int, timeline: Timeline, calendar: BusinessCalendar
    ) -> None:
        self.customer_id = states.customer_ids[0]
        self.card: Card = timeline.card
        self._states = states
        self._timeline = timeline
        self._calendar = calendar
        self._foreseen: list[Foreseen] | None = None
        self.numbers: Numbers = states.numbers.copy()
        self.numbers["as_of_us"] = max(as_of_us, int(states.numbers["as_of_us"][0]))
        if self.scored:
            row = self.numbers
            self.numbers["prob_alive"] = prob_alive(
                row["frequency"], t_x_days(row), age_days(row, calendar), self.card.alive
            )
        # An array gives its values one by one at a price.
        self.plain: dict[str, Any] = dict(zip(_NAMES, self.numbers[0].item(), strict=True))

    @property
    def scored(self) -> bool:
        """Whether a purchase day is left to score."""
        return bool(self.numbers["frequency"][0] >= 0)

    @property
    def purchase_days(self) -> list[DayEntry]:
        """Days with a purchase that was not cancelled, ascending."""
        return [entry for entry in unpack_days(self._states.days[0]) if entry.is_purchase_day]

    def _prob_alive_at(self, instants_us: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        row = self.numbers
        age = self._calendar.days_at(instants_us) - row["first_day"]
        t_x = np.broadcast_to(t_x_days(row), age.shape)
        frequency = np.broadcast_to(row["frequency"], age.shape)
        return np.asarray(prob_alive(frequency, t_x, age, self.card.alive))

    def outlook(self, days: int, *, past_days: int = 0) -> list[tuple[datetime, float]]:
        """P(alive) now and on each of the next days if nothing is bought.

        Parameters
        ----------
        days : int
            Days ahead.
        past_days : int
            Days back; cut at the last purchase day, before which other purchases counted.
        """
        if not self.scored:
            return []
        silent = int(silence_days(self.numbers, self._calendar)[0])
        days_from_now = np.arange(-min(past_days, silent), days + 1)
        steps = days_from_now * _US_PER_DAY + int(self.numbers["as_of_us"][0])
        return [
            (_EPOCH + timedelta(microseconds=step), p)
            for step, p in zip(steps.tolist(), self._prob_alive_at(steps).tolist(), strict=True)
        ]

    def course(self, days_max: int) -> list[tuple[datetime, float]]:
        """P(alive) at the beginning of each past day, as the purchases until then had it.

        By the scorecard now in use: what a look-up as of that day answers. It rises on days of
        purchase and falls between them; the outlook goes on where it ends.

        Parameters
        ----------
        days_max : int
            So many days back at most; cut at the first purchase day.
        """
        bought = np.array([entry.day for entry in self.purchase_days], dtype=np.int64)
        if not self.scored or not len(bought):
            return []
        today = int(self._calendar.day_of(self.numbers["as_of_us"])[0])
        days = np.arange(max(int(bought[0]), today - days_max), today + 1)
        last = np.searchsorted(bought, days, side="right") - 1
        t_x = (bought[last] - bought[0]).astype(np.float64)
        age = (days - bought[0]).astype(np.float64)
        alive = prob_alive(last, t_x, age, self.card.alive)
        starts = self._calendar.instant_of(days.astype(np.float64))
        return [
            (_EPOCH + timedelta(microseconds=start), p)
            for start, p in zip(starts.tolist(), alive.tolist(), strict=True)
        ]

    def foreseen(self) -> list[Foreseen]:
        """Every change that silence alone will still bring, in order."""
        if self._foreseen is None:  # the dearest part of a profile, and asked for twice
            self._foreseen = self._look_ahead()
        return self._foreseen

    def _look_ahead(self) -> list[Foreseen]:
        # What has no name in the calendar comes too late to be told.
        step = advance(self._states, Events.none(), LAST_US, self._timeline, self._calendar)
        return [
            Foreseen(
                _EPOCH + timedelta(microseconds=as_of_us),
                "segment" if KINDS[kind] is ChangeType.SEGMENT else "lifecycle",
                block.labels.names[previous],
                block.labels.names[current],
            )
            for block in step.changes.blocks
            for as_of_us, kind, previous, current in zip(
                block.numbers["as_of_us"].tolist(),
                block.kinds.tolist(),
                block.previous.tolist(),
                block.current.tolist(),
                strict=True,
            )
        ]

    def profile(self) -> dict[str, Any]:
        """Everything that `lookup` shows, plain values with units in their names."""
        row, card, numbers = self.plain, self.card, self.numbers
        profile: dict[str, Any] = {
            "customer_id": self.customer_id,
            "as_of": moment(row["as_of_us"]),
            "segment": card.segment_names[row["segment"]],
            "segment_since": moment(row["segment_since_us"]),
            "lifecycle": self.lifecycle,
            "first_purchase_at": moment(row["first_at_us"]),
            "last_purchase_at": moment(row["last_at_us"]),
            "frequency": max(row["frequency"], 0),
            "monetary_value": float(monetary_value(numbers)[0]),
            "monetary_total": row["purchase_units"] / UNITS_PER_MAJOR,
            "refund_total": row["refund_units"] / UNITS_PER_MAJOR,
            "sequence": row["sequence"],
            "scorecard": card.version,
        }
        if self.scored:
            told = tell(numbers, card, self._calendar)
            recency, frequency, monetary = map(int, str(told.rfm[0]))
            profile |= {
                "t_x_days": row["last_day"] - row["first_day"],
                "age_days": float(age_days(numbers, self._calendar)[0]),
                "silence_days": float(silence_days(numbers, self._calendar)[0]),
                "prob_alive": row["prob_alive"],
                **_value(told),
                "rfm": {"recency": recency, "frequency": frequency, "monetary": monetary},
                "margin": {
                    "segment": card.segment_names[told.beyond[0]],
                    "distance": float(told.distance[0]),
                },
            }
        profile["next_changes"] = [
            {"at": step.at, "kind": step.kind, "current": step.current} for step in self.foreseen()
        ]
        return profile

    def segment_centre(self) -> dict[str, float] | None:
        """The typical customer of this customer's segment."""
        index = self.plain["segment"]
        if index < 0:
            return None
        alive, often, money = self.card.segmenter.raw_centroid(index)
        return {
            "prob_alive": min(max(alive, 0.0), 1.0),
            "frequency": float(np.expm1(often)),
            "monetary_value": float(np.expm1(money)),
        }

    @property
    def offer(self) -> str | None:
        """Label of the offer for this customer's segment, if an operator gave it one."""
        index = self.plain["segment"]
        offers = self.card.scorecard.offers
        return None if offers is None or index < 0 else offers[index]

    @property
    def lifecycle(self) -> str | None:
        """active, fading or lost."""
        index = self.plain["lifecycle"]
        return str(LIFECYCLES[index]) if index >= 0 else None
