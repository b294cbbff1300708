"""Segments: which centroid a customer belongs to, and when silence will move them to another.

Owns features, assignment with hysteresis and the closed form of the next crossing. Does not learn
centroids and knows no customer ids.

A customer in segment i leaves for j when E_ij = |z−c_i|² − |z−c_j|² − h·|c_i−c_j|² rises above 0: the
border lies h/2 of the distance between the centroids beyond their middle, so that a customer on
the middle does not flap. E is linear in z, hence linear in P(alive), hence the moment at which
silence alone carries the customer across is closed form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import Scorecard
from scoring.states import NONE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# E is of the order of 1 and rounding moves it by less than 1e-12 at its crossing. Without this, a
# customer on a border without hysteresis would cross it for ever; more would blur the border itself.
_ROUNDING = 1e-9


def log_features(
    prob_alive: FloatArray, frequency: IntArray, monetary_value: FloatArray
) -> FloatArray:
    """P(alive), log(1 + repeat purchases), log(1 + mean day sum); float64, shape (n, 3).

    A negative mean (refunds above purchases) counts as none.
    """
    return np.column_stack(
        (
            prob_alive,
            np.log1p(np.maximum(frequency, 0)),
            np.log1p(np.maximum(monetary_value, 0.0)),
        )
    )


class Tables(NamedTuple):
    """What a segmenter works with; float64, i and j are segments.

    Attributes
    ----------
    mean, scale : shape (3,)
        Of the features.
    squares : shape (k,)
        |c_j|².
    twice : shape (k, 3)
        2·c_j.
    margin : shape (k, k)
        h·|c_i−c_j|².
    slope : shape (k, k)
        dE_ij/du.
    twice_apart : shape (k, k)
        2·|c_i−c_j|; infinite for j = i.
    """

    mean: FloatArray
    scale: FloatArray
    squares: FloatArray
    twice: FloatArray
    margin: FloatArray
    slope: FloatArray
    twice_apart: FloatArray


class Segmenter:
    """The centroids of one scorecard, ready for arithmetic.

    Examples
    --------
    >>> from scoring.bootstrap import bootstrap_scorecard
    >>> segmenter = Segmenter(bootstrap_scorecard())
    >>> z = segmenter.features(np.array([0.64, 0.9]), np.array([0, 7]), np.array([0.0, 30.0]))
    >>> [segmenter.names[i] for i in segmenter.assign(z, np.array([-1, -1]))]
    ['Loyal', 'Champions']
    """

    def __init__(self, card: Scorecard) -> None:
        self.names = card.segments
        self._mean = np.array(card.scaler.mean)
        self._scale = np.array(card.scaler.scale)
        self._centroids = np.array(card.centroids)
        self._squares = (self._centroids**2).sum(axis=1)
        differences = self._centroids[:, None, :] - self._centroids[None, :, :]
        self._spread = (differences**2).sum(axis=2)  # |c_i − c_j|²
        self._margin = card.hysteresis * self._spread
        self._twice_apart = 2 * np.sqrt(self._spread)
        np.fill_diagonal(self._twice_apart, np.inf)
        # dE_ij/du = 2(c_ju − c_iu): only where it is negative does falling P carry i to j.
        u = self._centroids[:, 0]
        self._slope = 2 * (u[None, :] - u[:, None])

    @property
    def tables(self) -> Tables:
        """For those who do the same arithmetic elsewhere."""
        return Tables(
            self._mean,
            self._scale,
            self._squares,
            2 * self._centroids,
            self._margin,
            self._slope,
            self._twice_apart,
        )

    def features(
        self, prob_alive: FloatArray, frequency: IntArray, monetary_value: FloatArray
    ) -> FloatArray:
        """Standardised features, float64, shape (n, 3)."""
        raw = log_features(prob_alive, frequency, monetary_value)
        z: FloatArray = (raw - self._mean) / self._scale
        return z

    def raw_centroid(self, segment: int) -> tuple[float, float, float]:
        """P(alive), log frequency and log monetary value at a segment's centre."""
        alive, often, money = (self._centroids[segment] * self._scale + self._mean).tolist()
        return alive, often, money

    def _closeness(self, z: FloatArray) -> FloatArray:
        """|z|² − |z−c_j|² of every customer and centroid: the larger, the nearer."""
        # Not as a matrix product: BLAS rounds a row differently according to how many there are,
        # and a crossing's last digit must not tell with whom a customer was evaluated.
        closeness: FloatArray = -self._squares
        for feature in range(z.shape[1]):
            closeness = closeness + z[:, feature, None] * (2 * self._centroids[:, feature])
        return closeness

    def _excess(self, closeness: FloatArray, segment: IntArray) -> FloatArray:
        """E_ij of every customer's own i against all j; 0 for j = i."""
        own = _of_each(closeness, segment)[:, None]
        excess: FloatArray = closeness - own - self._margin[segment]
        return excess

    def assign(self, z: FloatArray, current: IntArray) -> IntArray:
        """Segment of each customer given the one they are in; `NONE` means none yet.

        Moves to the segment whose border is exceeded most, again from there, until no border is.
        """
        closeness = self._closeness(z)
        nearest = closeness.argmax(axis=1)  # ties to the lowest
        segment = np.where(current == NONE, nearest, current)
        for _ in self.names:
            excess = self._excess(closeness, segment)
            best = excess.argmax(axis=1)
            moving = _of_each(excess, best) > _ROUNDING
            if not moving.any():
                break
            segment = np.where(moving, best, segment)
        return segment

    def at_rest(self, z: FloatArray, preferred: IntArray, excluded: IntArray) -> IntArray:
        """A segment in which each customer could be at rest.

        Near a border, on which side somebody is depends on where they came from: on both they are at rest.

        Parameters
        ----------
        z : float64, shape (n, 3)
        preferred : int64, shape (n,)
            Taken where it is one of those; else the nearest of them is.
        excluded : int64, shape (n,)
            Not taken, unless there is no other; `NONE` for none.
        """
        closeness = self._closeness(z)
        excess = closeness[:, None, :] - closeness[:, :, None] - self._margin
        possible = (excess <= _ROUNDING).all(axis=2)
        others = possible & (np.arange(len(self.names)) != excluded[:, None])
        possible = np.where(others.any(axis=1)[:, None], others, possible)
        nearest: IntArray = np.where(possible, closeness, -np.inf).argmax(axis=1)
        fits = (preferred != NONE) & possible[np.arange(len(z)), preferred]
        return np.where(fits, preferred, nearest)

    def next_by_silence(self, z: FloatArray, segment: IntArray) -> tuple[FloatArray, IntArray]:
        """P(alive) at which silence moves each customer, and where to.

        Returns
        -------
        prob_alive : float64, shape (n,)
            In (0, P now]; −inf where silence moves them nowhere any more.
        segment : int64, shape (n,)
            `NONE` where nowhere.
        """
        slope = self._slope[segment]
        excess = np.minimum(self._excess(self._closeness(z), segment), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where(slope < 0, z[:, :1] - excess / slope, -np.inf)
        target = crossing.argmax(axis=1)
        prob_alive = self._mean[0] + self._scale[0] * _of_each(crossing, target)
        # P(alive) tends to 0 and never gets there: a border at or below 0 is never crossed.
        reachable = prob_alive > 0
        return (
            np.where(reachable, prob_alive, -np.inf),
            np.where(reachable, target, NONE),
        )

    def margin(self, z: FloatArray, segment: IntArray) -> tuple[FloatArray, IntArray]:
        """Distance to the nearest border, in standardised feature space, and the segment beyond.

        Returns
        -------
        distance : float64, shape (n,), >= 0
        segment : int64, shape (n,)
        """
        distance = -self._excess(self._closeness(z), segment) / self._twice_apart[segment]
        distance[np.arange(len(distance)), segment] = np.inf
        target = distance.argmin(axis=1)
        return np.maximum(_of_each(distance, target), 0.0), target


def _of_each(values: FloatArray, column: IntArray) -> FloatArray:
    """One column's value of each row."""
    picked: FloatArray = values[np.arange(len(values)), column]
    return picked
