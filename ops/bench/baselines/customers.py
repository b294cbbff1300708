"""Recency, frequency and money of customers whose purchases come in order, and their scores in batches.

Owns the four-number state, its fields in Redis and the numpy kernel that both hand-written batch loops
share. Not for purchases out of order or refunds: none of what is compared here handles them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from redis.typing import EncodableT, FieldT

from ops.bench.baselines.task import Card, Purchase

FloatArray = NDArray[np.float64]
HashFields = dict[FieldT, EncodableT]

DAY_SECONDS = 86_400.0

FIELDS = ("first_day", "last_day", "frequency", "monetary_value", "segment")
"""What has to be read back from a customer's hash to go on."""


class Customer:
    """One customer: days since 1970, repeat purchase days, what was spent after the first day."""

    __slots__ = ("first_day", "frequency", "last_day", "later_total", "prob_alive", "segment")

    def __init__(self, day: int) -> None:
        self.first_day = self.last_day = day
        self.frequency = 0
        self.later_total = 0.0
        self.segment: str | None = None
        self.prob_alive = 0.0

    @classmethod
    def of(cls, fields: Sequence[bytes | None]) -> Customer | None:
        """Out of `FIELDS` as Redis has them; None if it has none."""
        first, last, frequency, money, segment = fields
        if first is None or last is None or frequency is None or money is None or segment is None:
            return None
        customer = cls(int(first))
        customer.last_day = int(last)
        customer.frequency = int(frequency)
        customer.later_total = float(money) * customer.frequency
        customer.segment = segment.decode()
        return customer

    def book(self, day: int, amount: float) -> None:
        """Count one purchase, not earlier than the last."""
        if day > self.last_day:
            self.last_day = day
            self.frequency += 1
        if self.frequency:
            self.later_total += amount

    @property
    def monetary_value(self) -> float:
        """Mean of the day sums without the first day."""
        return self.later_total / self.frequency if self.frequency else 0.0

    def hash_fields(self) -> HashFields:
        """The hash in Redis."""
        return {
            "first_day": self.first_day,
            "last_day": self.last_day,
            "frequency": self.frequency,
            "t_x_days": self.last_day - self.first_day,
            "monetary_value": self.monetary_value,
            "prob_alive": self.prob_alive,
            "segment": self.segment or "",
        }


class Change:
    """One change of segment, and the row of the batch that caused it."""

    __slots__ = ("current", "previous", "prob_alive", "row")

    def __init__(self, row: int, previous: str | None, current: str, prob_alive: float) -> None:
        self.row = row
        self.previous = previous
        self.current = current
        self.prob_alive = prob_alive


class Scorer:
    """P(alive) by MBG/NBD and the nearest centroid."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._mean, self._scale = np.array(card.mean), np.array(card.scale)
        self._centroids = np.array(card.centroids)
        self._squares = (self._centroids**2).sum(axis=1)
        self.segments = tuple(card.segments)

    def score_many(
        self, frequency: FloatArray, t_x: FloatArray, silence: FloatArray, monetary: FloatArray
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """P(alive) and index of the nearest centroid of each row."""
        card = self._card
        odds = (card.r + frequency) * np.log1p(silence / (card.alpha_days + t_x))
        alive = 1 / (1 + np.exp(odds + np.log(card.a / (card.b + frequency))))
        raw = np.column_stack((alive, np.log1p(frequency), np.log1p(monetary)))
        z = (raw - self._mean) / self._scale
        return alive, (self._squares - 2 * (z @ self._centroids.T)).argmin(axis=1)

    def score(self, frequency: int, t_x: int, silence: float, monetary: float) -> tuple[float, str]:
        """The same for one, without numpy, which costs more than all of this."""
        card = self._card
        odds = (card.r + frequency) * math.log1p(silence / (card.alpha_days + t_x))
        alive = 1 / (1 + math.exp(odds + math.log(card.a / (card.b + frequency))))
        point = (alive, math.log1p(frequency), math.log1p(monetary))
        (u, v, w), (mu, mv, mw) = point, card.mean
        su, sv, sw = card.scale
        u, v, w = (u - mu) / su, (v - mv) / sv, (w - mw) / sw
        best, nearest = math.inf, 0
        for index, (cu, cv, cw) in enumerate(card.centroids):
            distance = (u - cu) ** 2 + (v - cv) ** 2 + (w - cw) ** 2
            if distance < best:
                best, nearest = distance, index
        return alive, self.segments[nearest]


def split_moment(moment: datetime) -> tuple[int, float]:
    """Day since 1970 UTC, and how much of it has gone."""
    days = moment.timestamp() / DAY_SECONDS
    day = int(days)
    return day, days - day


def advance(
    customers: dict[str, Customer], purchases: Sequence[Purchase], scorer: Scorer
) -> tuple[dict[str, Customer], list[Change]]:
    """Count a batch of purchases and score after each.

    Returns
    -------
    touched : dict of str to Customer
        Whom to write.
    changes : list of Change
        In the order of the purchases.
    """
    rows: list[tuple[int, int, float, float]] = []
    booked: list[Customer] = []
    touched: dict[str, Customer] = {}
    for purchase in purchases:
        day, gone = split_moment(purchase.occurred_at)
        customer = customers.get(purchase.customer_id)
        if customer is None:
            customer = customers[purchase.customer_id] = Customer(day)
        customer.book(day, purchase.amount)
        touched[purchase.customer_id] = customer
        booked.append(customer)
        rows.append(
            (
                customer.frequency,
                customer.last_day - customer.first_day,
                gone,
                customer.monetary_value,
            )
        )
    frequency, t_x, silence, monetary = np.array(rows, dtype=np.float64).T
    alive, nearest = scorer.score_many(frequency, t_x, silence, monetary)
    names = scorer.segments
    changes = []
    for row, (customer, prob_alive, index) in enumerate(
        zip(booked, alive.tolist(), nearest.tolist(), strict=True)
    ):
        customer.prob_alive = prob_alive
        if customer.segment != (current := names[index]):
            changes.append(Change(row, customer.segment, current, prob_alive))
            customer.segment = current
    return touched, changes
