"""The production's learner over CDNOW's eighteen months: everyone's purchases reported, a try each week."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from schemas.learning import Learning
from schemas.scorecard import Scorecard
from scoring.bootstrap import bootstrap_scorecard
from streams.homes import sample_rank
from streams.learner import Learner
from streams.samples import Sample, encode_sample
from streams.settings import Settings
from tests.support.purchases import cdnow

FIRST_DAY, LAST_DAY = 9_862, 10_407  # 1997-01-01, 1998-06-30
WEEK = 7
US_PER_DAY = 86_400_000_000


@dataclass
class Walk:
    """What came of it.

    Attributes
    ----------
    cards : list of (day, Scorecard)
        As they came into use.
    learnings : list of Learning
        After each try.
    """

    cards: list[tuple[int, Scorecard]] = field(default_factory=list)
    learnings: list[Learning] = field(default_factory=list)

    @property
    def drifts(self) -> list[str]:
        """Kinds of everything that drifted."""
        found = {
            (one.kind, one.at, learning.version)
            for learning in self.learnings
            if learning.fit is not None
            for one in learning.fit.drifts
        }
        return [kind for kind, _, _ in sorted(found, key=lambda one: one[1])]


async def inline(step: Any, *args: Any) -> Any:
    """Computes here, without a process of its own."""
    return step(*args)


@lru_cache
def reports() -> tuple[tuple[int, bytes], ...]:
    """Every customer after each of their purchase days, in time order; with the day."""
    sums: dict[tuple[int, str], int] = {}
    for one in cdnow():
        sums[one.day, one.customer_id] = sums.get((one.day, one.customer_id), 0) + one.cents
    seen: dict[str, tuple[int, int, int]] = {}
    found = []
    for (day, customer), cents in sorted(sums.items()):
        first, repeats, total = seen.get(customer, (day, -1, -cents))
        seen[customer] = first, repeats + 1, total + cents
        value = (total + cents) / (repeats + 1) / 100 if repeats >= 0 else 0.0
        sample = Sample(
            customer, sample_rank(customer), repeats + 1, first, day, value, day * US_PER_DAY
        )
        found.append((day, encode_sample(sample)))
    return tuple(found)


async def walk_over_cdnow(settings: Settings) -> Walk:
    """Let a learner follow it all."""
    learner, walk = Learner(settings, compute=inline), Walk()
    walk.cards.append((FIRST_DAY, bootstrap_scorecard()))
    told = iter(reports())
    day, raw = next(told)
    for week in [*range(FIRST_DAY + WEEK, LAST_DAY, WEEK), LAST_DAY]:
        while day <= week and raw:
            learner.keeper.report(None, raw)
            day, raw = next(told, (LAST_DAY + 1, b""))
        attempt = await learner.attempt(walk.cards[-1][1])
        if attempt is None:
            continue
        walk.learnings.append(attempt.learning)
        if attempt.promoted is not None:
            number = walk.cards[-1][1].number + 1
            card = attempt.promoted.model_copy(update={"number": number})
            walk.cards.append((week, card))
    return walk
