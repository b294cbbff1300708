"""P(alive) and what follows from it, for one customer at a time.

The formulae of `scoring.alive` on plain floats: an array of one row costs as much as one of a hundred, and
whoever asks for one customer pays it a dozen times. Every transcendental function is the same ufunc as
there, so that both give the same number to the last bit; where the closed form of expected purchases has
an edge, the arrays are asked. Tests compare both on random customers.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, hyp2f1, logit

from schemas.errors import TimelineError
from schemas.scorecard import AliveParams, Family
from scoring.alive import (
    HUGE,
    NEAR_ONE,
    SERIES_BELOW,
    SERIES_TERMS,
    SMALLEST_C,
    expected_purchases,
)

# np.expm1 overflows beyond 709.78, with a warning; either is an age beyond any calendar.
_EXPONENT_MAX = 709.0


class OneAlive:
    """One scorecard's model, what depends on it alone worked out.

    Parameters
    ----------
    params : AliveParams

    Examples
    --------
    >>> one = OneAlive(AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614))
    >>> round(one.prob_alive(2, 50.0, 80.0), 4), round(one.age_at(0.5, 2, 50.0), 2)
    (0.6673, 119.13)
    """

    def __init__(self, params: AliveParams) -> None:
        self._params = params
        self._always_alive = params.family != Family.MBGNBD  # who has never bought again
        self._r, self._alpha, self._a = params.r, params.alpha_days, params.a
        # B of the design: b + x, or b + x − 1 with x >= 1.
        self._least = 1 if self._always_alive else 0
        self._b = params.b - float(self._least)
        c_minus_x = params.a + params.b - float(self._least)
        self._c_minus_x = SMALLEST_C if abs(c_minus_x) < SMALLEST_C else c_minus_x
        self._upper = self._c_minus_x - params.r
        self._growth = max(1.0, params.a) * max(
            1.0, abs(self._upper + 1.0) / (self._c_minus_x + 1.0)
        )
        self._steps = [
            (n, (self._upper + n) * (params.a + n - 1.0) / (n + 1.0))
            for n in range(1, SERIES_TERMS)
        ]

    def prob_alive(self, frequency: int, t_x_days: float, age_days: float) -> float:
        """See `scoring.alive.prob_alive`.

        Raises
        ------
        TimelineError
            t_x_days lies outside [0, age_days].
        """
        if not 0.0 <= t_x_days <= age_days:
            raise TimelineError(
                f"t_x_days {t_x_days} lies outside [0, age_days {age_days}]", rows=[0]
            )
        return self.prob_alive_unchecked(frequency, t_x_days, age_days)

    def prob_alive_unchecked(self, frequency: int, t_x_days: float, age_days: float) -> float:
        """See `scoring.alive.prob_alive_unchecked`."""
        if self._always_alive and frequency == 0:
            return 1.0
        growth = np.log1p((age_days - t_x_days) / (t_x_days + self._alpha))
        log_odds_dead = float(growth) * (frequency + self._r)
        log_odds_dead += float(np.log(self._a / (max(frequency, self._least) + self._b)))
        return float(expit(-log_odds_dead))

    def age_at(self, p: float, frequency: int, t_x_days: float) -> float:
        """See `scoring.alive.age_at_prob_alive`."""
        if self._always_alive and frequency == 0:
            return float("inf")
        odds = (max(frequency, self._least) + self._b) / self._a
        exponent = float(np.log(odds)) - float(logit(min(max(p, 0.0), 1.0)))
        exponent /= frequency + self._r
        if exponent > _EXPONENT_MAX:
            return float("inf")
        return t_x_days + (t_x_days + self._alpha) * float(np.expm1(exponent))

    def prob_purchase(
        self, horizon_days: float, frequency: int, age_days: float, alive: float
    ) -> float:
        """See `scoring.alive.prob_purchase`."""
        survival = (frequency + self._r) * float(np.log1p(horizon_days / (age_days + self._alpha)))
        return alive * -float(np.expm1(-survival))

    def expected_purchases(
        self, horizon_days: float, frequency: int, t_x_days: float, age_days: float, alive: float
    ) -> float:
        """See `scoring.alive.expected_purchases`."""
        a = self._a
        z = horizon_days / (age_days + (self._alpha + horizon_days))
        if abs(a - 1.0) >= NEAR_ONE:
            c = frequency + self._c_minus_x
            if z * self._growth < SERIES_BELOW:
                return alive * self._series(z, c)
            hyper = float(hyp2f1(self._upper, a - 1.0, c, z))
            if abs(hyper) < HUGE:
                rest = float(np.power(1.0 - z, a - 1.0))
                return alive * (c / (a - 1.0) * (1.0 - rest * hyper))
        row = (np.array([frequency]), np.array([t_x_days]), np.array([age_days]))
        found = expected_purchases(horizon_days, *row, self._params, alive=np.array([alive]))
        return float(found[0])

    def _series(self, z: float, c: float) -> float:
        a = self._a
        term = series = 1.0
        for n, factor in self._steps:
            term *= factor * (z / (c + n))
            series += term
        hyper = self._upper * z * series
        log_rest = (a - 1.0) * float(np.log1p(-z))
        return -c * float(np.expm1(log_rest)) / (a - 1.0) - float(np.exp(log_rest)) * hyper
