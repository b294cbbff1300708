"""A shop whose customers come, buy and go as the models say, week after week; habits may change one day."""

from __future__ import annotations

import numpy as np

from schemas.scorecard import AliveParams
from scoring.drift import Snapshot

FIRST_DAY = 10_000
US_PER_DAY = 86_400_000_000
_FOUNDED_DAYS = 700  # before FIRST_DAY


class SteadyShop:
    """Purchases of everyone, drawn once.

    Parameters
    ----------
    alive : AliveParams
        MBG/NBD.
    customers : int
        In all; they come evenly, from long before the first day to `days` after it.
    days : int
    seed : int
    pace_from, pace : int, float
        From that day on everybody buys so many times as often.
    """

    def __init__(
        self,
        alive: AliveParams,
        customers: int,
        days: int,
        seed: int,
        pace_from: int = 10**9,
        pace: float = 1.0,
    ) -> None:
        rng = np.random.default_rng(seed)
        begins = rng.uniform(FIRST_DAY - _FOUNDED_DAYS, FIRST_DAY + days, customers)
        rate = rng.gamma(alive.r, 1 / alive.alpha_days, customers)
        dropout = rng.beta(alive.a, alive.b, customers)
        moments, who = [begins], [np.arange(customers)]
        at, living = begins.copy(), np.flatnonzero(rng.random(customers) >= dropout)
        while len(living):
            # Time runs `pace` times as fast after the change: a gap that spans it is cut there.
            gap = rng.exponential(1 / rate[living])
            before = np.maximum(pace_from - at[living], 0.0)
            at[living] += np.where(gap <= before, gap, before + (gap - before) / pace)
            living = living[at[living] < FIRST_DAY + days]
            moments.append(at[living].copy())
            who.append(living)
            living = living[rng.random(len(living)) >= dropout[living]]
        rows = np.unique(
            np.column_stack((np.concatenate(who), np.floor(np.concatenate(moments)))), axis=0
        ).astype(np.int64)
        self._who, self._day = rows.T
        self._value = rng.gamma(6.0, 5.0, customers)

    def snapshot(self, day: int) -> Snapshot:
        """Everyone known by the end of a day."""
        seen = self._day <= day
        who, days = self._who[seen], self._day[seen]
        known, first_row = np.unique(who, return_index=True)
        last_row = np.r_[first_row[1:], len(who)] - 1
        frequency = last_row - first_row
        return Snapshot(
            customer_ids=tuple(map(str, known.tolist())),
            frequency=frequency,
            first_day=days[first_row],
            last_day=days[last_row],
            monetary_value=np.where(frequency > 0, self._value[known], 0.0),
            clock_us=np.full(len(known), (day + 1) * US_PER_DAY),
        )
