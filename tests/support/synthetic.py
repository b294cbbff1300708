"""Customers drawn from the models themselves, many at once, in whole days."""

from __future__ import annotations

import numpy as np

from schemas.scorecard import AliveParams, Family, SpendParams
from scoring.learning import LearningSample

FIRST_DAY = 10_000


def draw(
    alive: AliveParams,
    spend: SpendParams,
    customers: int,
    days: int,
    seed: int,
    newest_days: int = 100,
) -> tuple[LearningSample, int]:
    """Customers who first bought up to `days` and at least `newest_days` ago; and the day of now.

    A purchase falls on the day nearest to its moment, so that rounding does not shorten lives; two on
    one day stay two.
    """
    rng = np.random.default_rng(seed)
    age = rng.integers(newest_days, days, customers)
    rate = rng.gamma(alive.r, 1 / alive.alpha_days, customers)
    dropout = rng.beta(alive.a, alive.b, customers)
    x, t_x, at = np.zeros(customers, np.int64), np.zeros(customers), np.zeros(customers)
    living = np.arange(customers)
    if alive.family is Family.MBGNBD:
        living = living[rng.random(customers) >= dropout]
    while len(living):
        at[living] += rng.exponential(1 / rate[living])
        living = living[at[living] < age[living]]
        x[living] += 1
        t_x[living] = at[living]
        living = living[rng.random(len(living)) >= dropout[living]]
    t_x_days = np.minimum(np.round(t_x), age).astype(np.int64)
    scale = rng.gamma(spend.q, 1 / spend.v, customers)
    mean = rng.gamma(spend.p * np.maximum(x, 1), 1 / scale) / np.maximum(x, 1)
    now_day = FIRST_DAY + days
    first = now_day - age
    return LearningSample(x, first, first + t_x_days, np.where(x > 0, mean, 0.0)), now_day
