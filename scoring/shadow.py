"""A candidate beside the scorecard in use: what it would change, and whether it may take its place.

Owns the gate. Both score the same customers at the same moment; nothing of what is found is told to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import AliveParams, Scorecard
from scoring.alive import prob_alive_unchecked
from scoring.clusters import rescale
from scoring.kmeans import inertia
from scoring.segments import Segmenter
from scoring.states import NONE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gate:
    """What a candidate must be worth to be promoted by itself.

    Attributes
    ----------
    gain_min : float
        Share by which inertia must fall at least.
    moves_min : float
        Or the share of customers whom the models' parameters alone must move at least.
    """

    gain_min: float
    moves_min: float


@dataclass(frozen=True, slots=True)
class Habits:
    """Customers as of one moment.

    Attributes
    ----------
    frequency : int64, shape (n,)
    t_x_days, age_days : float64, shape (n,)
        Days; t_x_days <= age_days.
    monetary_value : float64, shape (n,)
    """

    frequency: IntArray
    t_x_days: FloatArray
    age_days: FloatArray
    monetary_value: FloatArray

    def prob_alive(self, params: AliveParams) -> FloatArray:
        """P(alive) of each."""
        return prob_alive_unchecked(self.frequency, self.t_x_days, self.age_days, params)

    def features(self, card: Scorecard) -> FloatArray:
        """Standardised features by a scorecard, shape (n, 3)."""
        alive = self.prob_alive(card.alive)
        return Segmenter(card).features(alive, self.frequency, self.monetary_value)

    def __len__(self) -> int:
        return len(self.frequency)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What speaks for a candidate.

    Attributes
    ----------
    customers : int
        Scored by both.
    gain : float
        Share by which inertia falls; negative if it rises.
    moves : tuple of tuple of int
        Customers by their segment in use (rows) and that of the candidate (columns).
    moved : int
        Who would be in another segment.
    moved_by_parameters : int
        Whose segment or lifecycle would be another one, if only the parameters of P(alive) were new.
    promote : bool
        The gate lets it pass.
    """

    customers: int
    gain: float
    moves: tuple[tuple[int, ...], ...]
    moved: int
    moved_by_parameters: int
    promote: bool

    @property
    def reason(self) -> str:
        """In words."""
        return (
            f"inertia falls by {self.gain:.1%}, parameters move "
            f"{self.moved_by_parameters:,} of {self.customers:,}, in all {self.moved:,} would "
            f"change segment: {'promoted' if self.promote else 'a shadow'}"
        )


def judge(habits: Habits, current: Scorecard, candidate: Scorecard, gate: Gate) -> Judgement:
    """Score customers by both scorecards.

    Parameters
    ----------
    habits : Habits
        At least one customer.
    current, candidate : Scorecard
    gate : Gate
    """
    now = _Scored(habits, current)
    then = _Scored(habits, candidate, from_segment=_carried(now, candidate))
    half = _Scored(
        habits, current.model_copy(update={"alive": candidate.alive}), from_segment=now.segment
    )
    before = rescale(np.array(current.centroids), current.scaler, candidate.scaler)
    inertia_before = inertia(then.z, before)
    gain = 1.0 - inertia(then.z, np.array(candidate.centroids)) / max(inertia_before, 1e-300)
    moves = np.zeros((len(current.segments), len(candidate.segments)), dtype=np.int64)
    np.add.at(moves, (now.segment, then.segment), 1)
    stays = sum(
        moves[row, candidate.identities.index(name)]
        for row, name in enumerate(current.identities)
        if name in candidate.identities
    )
    by_parameters = int(((now.segment != half.segment) | (now.lifecycle != half.lifecycle)).sum())
    return Judgement(
        customers=len(habits),
        gain=gain,
        moves=tuple(map(tuple, moves.tolist())),
        moved=len(habits) - int(stays),
        moved_by_parameters=by_parameters,
        promote=gain > gate.gain_min or by_parameters > gate.moves_min * len(habits),
    )


class _Scored:
    """Customers by one scorecard; without a segment to come from, they are in the nearest."""

    def __init__(
        self, habits: Habits, card: Scorecard, from_segment: IntArray | None = None
    ) -> None:
        segmenter = Segmenter(card)
        alive = habits.prob_alive(card.alive)
        self.card = card
        self.z = segmenter.features(alive, habits.frequency, habits.monetary_value)
        start = np.full(len(habits), NONE) if from_segment is None else from_segment
        self.segment = segmenter.assign(self.z, start)
        floors = card.lifecycle.lost, card.lifecycle.fading
        self.lifecycle = np.searchsorted(np.array(floors), alive, side="right")


def _carried(now: _Scored, candidate: Scorecard) -> IntArray:
    """Segments in use as the candidate has them; `NONE` for those that it has not."""
    index = {name: position for position, name in enumerate(candidate.identities)}
    places = np.array([index.get(name, NONE) for name in now.card.identities], dtype=np.int64)
    carried: IntArray = places[now.segment]
    return carried
