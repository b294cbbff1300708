"""P(alive) and when it will have fallen, for one customer at a time.

The formulae of `scoring.alive` on plain floats: an array of one row costs as much as one of a hundred, and
whoever asks for one customer pays it a dozen times. Every transcendental function is the same ufunc as
there, so that both give the same number to the last bit. Tests compare both on random customers.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from schemas.errors import TimelineError
from schemas.scorecard import AliveParams, Family

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
        self._always_alive = params.family != Family.MBGNBD  # who has never bought again
        self._r, self._alpha, self._a = params.r, params.alpha_days, params.a
        # B of the design: b + x, or b + x − 1 with x >= 1.
        self._least = 1 if self._always_alive else 0
        self._b = params.b - float(self._least)

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
