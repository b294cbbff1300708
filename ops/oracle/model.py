"""Plain arithmetic of the oracle: P(alive), expected purchases, borders. Imports nothing of ours.

Slow and obvious on purpose: no closed form that production uses is used here but that of P(alive),
which is the model's definition. Expected purchases are integrated numerically, the moments of
crossings are found by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

DAY_US = 86_400_000_000
_NEVER_DAYS = 60_000.0  # no customer is looked at further ahead: 160 years
# Double exponential quadrature: nodes at these steps are right to 1e-10 for what is integrated here.
_STEP, _REACH = 0.06, 3.6
_EDGE = 1e-9  # a border counts as crossed only beyond this: it is a matter of the last bits


@dataclass(frozen=True)
class Card:
    """The scorecard's numbers that the oracle needs, as its JSON has them."""

    version: str
    r: float
    alpha_days: float
    a: float
    b: float
    mean: Sequence[float]
    scale: Sequence[float]
    centroids: Sequence[Sequence[float]]
    segments: Sequence[str]
    hysteresis: float
    floors: tuple[float, float]
    rfm: dict[str, Sequence[float]]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Card:
        """Read a scorecard's JSON; only MBG/NBD is known here."""
        alive = body["alive"]
        if alive["family"] != "mbgnbd":
            raise ValueError(f"the oracle knows no {alive['family']}")
        return cls(
            version=f"{body['origin']}-{body['number']}",
            r=alive["r"],
            alpha_days=alive["alpha_days"],
            a=alive["a"],
            b=alive["b"],
            mean=body["scaler"]["mean"],
            scale=body["scaler"]["scale"],
            centroids=body["centroids"],
            segments=body["segments"],
            hysteresis=body["hysteresis"],
            floors=(body["lifecycle"]["fading"], body["lifecycle"]["lost"]),
            rfm=body["rfm"],
        )


@dataclass(frozen=True)
class Habits:
    """What scores depend on: repeat purchase days, first and last of them, mean day sum."""

    frequency: int
    first_day: int
    last_day: int
    monetary_value: float

    @property
    def t_x_days(self) -> int:
        """From the first purchase day to the last."""
        return self.last_day - self.first_day


def prob_alive(card: Card, habits: Habits, now_us: int) -> float:
    """P(alive) under MBG/NBD (Batislam, Denizel and Filiztekin 2007)."""
    age = now_us / DAY_US - habits.first_day
    x, t_x = habits.frequency, habits.t_x_days
    gone: float = card.a / (card.b + x)
    gone *= ((card.alpha_days + age) / (card.alpha_days + t_x)) ** (card.r + x)
    return 1.0 / (1.0 + gone)


def buys_if_alive(card: Card, habits: Habits, now_us: int, days: float = 30.0) -> float:
    """Probability of a purchase in the days to come, of somebody who is alive."""
    since = card.alpha_days + now_us / DAY_US - habits.first_day
    survives: float = (since / (since + days)) ** (card.r + habits.frequency)
    return 1.0 - survives


def expected_purchases(card: Card, habits: Habits, now_us: int, days: float = 30.0) -> float:
    """Purchases expected in the days to come: the mean over the posterior of rate and dropout."""
    age = now_us / DAY_US - habits.first_day
    shape = card.r + habits.frequency
    a, b = card.a, card.b + habits.frequency + 1  # of somebody who is alive after all these

    def until_dropout(p: float) -> float:
        return -math.expm1(-shape * math.log1p(p * days / (card.alpha_days + age))) / p

    def density(p: float, rest: float) -> float:
        return math.exp((a - 1) * math.log(p) + (b - 1) * math.log(rest))

    top = _integral(lambda p, rest: until_dropout(p) * density(p, rest))
    return prob_alive(card, habits, now_us) * top / _integral(density)


def _integral(of: Callable[[float, float], float]) -> float:
    """Over p from 0 to 1; `of` gets p and 1 − p, each exact near its own zero."""
    total = 0.0
    for number in range(-int(_REACH / _STEP), int(_REACH / _STEP) + 1):
        t = number * _STEP
        u = math.pi * math.sinh(t)
        p, rest = 1 / (1 + math.exp(-u)), 1 / (1 + math.exp(u))
        total += of(p, rest) * math.cosh(t) * p * rest
    return total * math.pi * _STEP


def coordinates(card: Card, habits: Habits, alive: float) -> list[float]:
    """Where a customer stands among the centroids."""
    raw = [alive, math.log1p(habits.frequency), math.log1p(max(habits.monetary_value, 0.0))]
    return [(v - m) / s for v, m, s in zip(raw, card.mean, card.scale, strict=True)]


def excess(card: Card, point: Sequence[float], own: int) -> list[float]:
    """How far a customer of a segment is beyond the border to each other one; above 0: moves."""

    def squared(to: Sequence[float], of: Sequence[float]) -> float:
        return sum((u - v) ** 2 for u, v in zip(to, of, strict=True))

    home = card.centroids[own]
    return [
        squared(point, home)
        - squared(point, other)
        - (card.hysteresis * squared(home, other) if index != own else 0.0)
        for index, other in enumerate(card.centroids)
    ]


def assign(card: Card, habits: Habits, alive: float, own: int | None) -> int:
    """Segment of a customer who is in one already, or in none."""
    point = coordinates(card, habits, alive)
    if own is None:
        distances = [
            sum((u - v) ** 2 for u, v in zip(point, centre, strict=True))
            for centre in card.centroids
        ]
        own = distances.index(min(distances))
    for _ in card.centroids:
        beyond = excess(card, point, own)
        best = beyond.index(max(beyond))
        if beyond[best] <= _EDGE:
            break
        own = best
    return own


def lifecycle_of(card: Card, alive: float, own: int | None) -> int:
    """0 active, 1 fading, 2 lost; who has fallen rises again only beyond the edge of the border."""
    fallen = own or 0
    return sum(
        alive < floor + (_EDGE if number < fallen else 0.0)
        for number, floor in enumerate(card.floors)
    )


def is_on_edge(card: Card, alive: float, own: int | None) -> bool:
    """Whether the last bit of a float decides if somebody has fallen below a floor.

    So it is where one late event undoes another that came after a crossing: P(alive) at the moment
    of the crossing is again what it was, and nobody is below the floor yet.
    """
    return any(abs(alive - floor) < _EDGE for floor in card.floors[own or 0 :])


@dataclass(frozen=True)
class Border:
    """How far P(alive) has to fall before silence moves a customer, and where to.

    Either of segment and lifecycle may be None: that stays as it is.
    """

    alive: float
    segment: int | None
    lifecycle: int | None


def next_border(card: Card, habits: Habits, segment: int, lifecycle: int) -> Border | None:
    """The border that falling P(alive) meets first; None if there is none above 0.

    What a border is away is linear in P(alive): two points of the line say where it is 0.
    """
    at_zero = excess(card, coordinates(card, habits, 0.0), segment)
    at_one = excess(card, coordinates(card, habits, 1.0), segment)
    found = [
        Border(zero / (zero - one), other, None)
        for other, (zero, one) in enumerate(zip(at_zero, at_one, strict=True))
        if other != segment and zero > one
    ]
    if lifecycle < 2:
        found.append(Border(card.floors[lifecycle], None, lifecycle + 1))
    found = [border for border in found if border.alive > 0]
    return max(found, key=lambda border: border.alive, default=None)


def moment_of(card: Card, habits: Habits, border: Border, since_us: int) -> int | None:
    """The first microsecond at which silence has brought P(alive) down to a border, by bisection."""
    low, high = since_us, since_us + DAY_US
    while prob_alive(card, habits, high) > border.alive:
        low, high = high, since_us + 2 * (high - since_us)
        if high - since_us > _NEVER_DAYS * DAY_US:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if prob_alive(card, habits, middle) > border.alive:
            low = middle
        else:
            high = middle
    return high


def rfm(card: Card, habits: Habits | None, now_us: int) -> str:
    """Quintile scores, three digits; a value on a cut point has the worse one."""
    if habits is None:
        return ""
    silence = now_us / DAY_US - habits.last_day
    cuts = card.rfm
    recency = 5 - sum(cut <= silence for cut in cuts["silence_days"])
    often = 1 + sum(cut < habits.frequency for cut in cuts["frequency"])
    money = 1 + sum(cut < habits.monetary_value for cut in cuts["monetary_value"])
    return f"{recency}{often}{money}"
