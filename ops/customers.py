"""One customer as of any moment, for the people and services that ask.

Owns what is said of a customer; `ops.lookup` finds them. What silence has done since the last event
but no sweep has committed yet is computed by the same `advance`, so an answer is never stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from schemas.change import ChangeType
from schemas.transaction import LAST_US
from scoring.advance import advance
from scoring.alive import prob_alive, prob_purchase
from scoring.business_calendar import BusinessCalendar
from scoring.change_events import expected_purchases_30d, rfm_of
from scoring.events import Events
from scoring.ledger import DayEntry, unpack_days
from scoring.review import LIFECYCLES, age_days, monetary_value, silence_days, t_x_days
from scoring.states import NEVER_US, UNKNOWN_US, Numbers, States
from scoring.timeline import Card, Timeline

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HORIZON_DAYS = 30.0
_US_PER_DAY = 86_400_000_000


def moment(instant_us: int) -> datetime | None:
    """A moment for people; None for those that are not."""
    if instant_us in (NEVER_US, UNKNOWN_US):
        return None
    return _EPOCH + timedelta(microseconds=instant_us)


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
        self.as_of_us = as_of_us
        self.stored: Numbers = states.numbers
        self.card: Card = timeline.card
        self._states = states
        self._timeline = timeline
        self._calendar = calendar
        self._foreseen: list[Foreseen] | None = None
        self.numbers: Numbers = states.numbers.copy()
        self.numbers["as_of_us"] = max(as_of_us, int(states.numbers["as_of_us"][0]))
        if self.scored:
            self.numbers["prob_alive"] = self._prob_alive_at(self.numbers["as_of_us"])

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
                _EPOCH + timedelta(microseconds=int(block.numbers["as_of_us"][0])),
                "segment" if block.kind is ChangeType.SEGMENT else "lifecycle",
                block.previous[0],
                block.current[0],
            )
            for block in step.changes.blocks
        ]

    def profile(self) -> dict[str, Any]:
        """Everything that `lookup` shows, plain values with units in their names."""
        row, card = self.numbers, self.card
        first, last = (int(row[name][0]) for name in ("first_at_us", "last_at_us"))
        profile: dict[str, Any] = {
            "customer_id": self.customer_id,
            "as_of": moment(int(row["as_of_us"][0])),
            "segment": card.segment_names[row["segment"]][0],
            "segment_since": moment(int(row["segment_since_us"][0])),
            "lifecycle": self.lifecycle,
            "first_purchase_at": moment(first),
            "last_purchase_at": moment(last),
            "frequency": max(int(row["frequency"][0]), 0),
            "monetary_value": float(monetary_value(row)[0]),
            "monetary_total": int(row["purchase_units"][0]) / 10_000,
            "refund_total": int(row["refund_units"][0]) / 10_000,
            "sequence": int(row["sequence"][0]),
            "scorecard": card.version,
        }
        if self.scored:
            recency, frequency, monetary = rfm_of(row, card, self._calendar)[0].tolist()
            z = card.segmenter.features(row["prob_alive"], row["frequency"], monetary_value(row))
            distance, nearest = card.segmenter.margin(z, row["segment"])
            profile |= {
                "t_x_days": int(row["last_day"][0] - row["first_day"][0]),
                "age_days": float(age_days(row, self._calendar)[0]),
                "silence_days": float(silence_days(row, self._calendar)[0]),
                "prob_alive": float(row["prob_alive"][0]),
                "expected_purchases_30d": float(
                    expected_purchases_30d(row, card, self._calendar)[0]
                ),
                "prob_purchase_30d": float(
                    prob_purchase(
                        HORIZON_DAYS,
                        row["frequency"],
                        t_x_days(row),
                        age_days(row, self._calendar),
                        card.alive,
                    )[0]
                ),
                "rfm": {"recency": recency, "frequency": frequency, "monetary": monetary},
                "margin": {
                    "segment": card.segment_names[nearest][0],
                    "distance": float(distance[0]),
                },
            }
        profile["next_changes"] = [
            {"at": step.at, "kind": step.kind, "current": step.current} for step in self.foreseen()
        ]
        return profile

    def segment_centre(self) -> dict[str, float] | None:
        """The typical customer of this customer's segment."""
        index = int(self.numbers["segment"][0])
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
        index = int(self.numbers["segment"][0])
        offers = self.card.scorecard.offers
        return None if offers is None or index < 0 else offers[index]

    @property
    def lifecycle(self) -> str | None:
        """active, fading or lost."""
        index = int(self.numbers["lifecycle"][0])
        return str(LIFECYCLES[index]) if index >= 0 else None
