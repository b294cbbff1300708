"""Which segment one customer belongs to: `scoring.segments` on plain floats.

Every sum is taken in the order of the arrays there, so that both agree to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoring.states import NONE

# E is of the order of 1 and rounding moves it by less than 1e-12 at its crossing. Without this, a
# customer on a border without hysteresis would cross it for ever; more would blur the border itself.
ROUNDING = 1e-9
_NOWHERE = float("-inf")


@dataclass(frozen=True, slots=True)
class OneSegmenter:
    """The centroids of one scorecard; made by `Segmenter.one`.

    Attributes
    ----------
    mean, scale : list of float, length 3
    twice_centroids : list of k lists of 3
    squares : list of k
        |c_j|².
    margin, twice_apart, slope : list of k lists of k
        See `Segmenter`.
    """

    mean: list[float]
    scale: list[float]
    twice_centroids: list[list[float]]
    squares: list[float]
    margin: list[list[float]]
    twice_apart: list[list[float]]
    slope: list[list[float]]

    def habits(self, frequency: int, monetary_value: float) -> tuple[float, float]:
        """Standardised features that silence does not change: frequency and money."""
        often = float(np.log1p(float(max(frequency, 0))))
        money = float(np.log1p(max(monetary_value, 0.0)))
        return (
            (often - self.mean[1]) / self.scale[1],
            (money - self.mean[2]) / self.scale[2],
        )

    def standard_alive(self, prob_alive: float) -> float:
        """P(alive), standardised."""
        return (prob_alive - self.mean[0]) / self.scale[0]

    def closeness(self, alive: float, often: float, money: float) -> list[float]:
        """|z|² − |z−c_j|² of every centroid: the larger, the nearer."""
        return [
            -square + alive * u + often * v + money * w
            for square, (u, v, w) in zip(self.squares, self.twice_centroids, strict=True)
        ]

    def _excess(self, closeness: list[float], segment: int) -> list[float]:
        own = closeness[segment]
        margin = self.margin[segment]
        return [near - own - least for near, least in zip(closeness, margin, strict=True)]

    def settle(self, closeness: list[float], segment: int) -> int:
        """Segment of who is in one already; see `Segmenter.assign`."""
        for _ in closeness:
            excess = self._excess(closeness, segment)
            most = max(excess)
            if not most > ROUNDING:
                break
            segment = excess.index(most)
        return segment

    def next_by_silence(
        self, closeness: list[float], alive: float, segment: int
    ) -> tuple[float, int]:
        """See `Segmenter.next_by_silence`; `alive` is P(alive) now, standardised."""
        soonest, target = _NOWHERE, NONE
        for index, (excess, slope) in enumerate(
            zip(self._excess(closeness, segment), self.slope[segment], strict=True)
        ):
            if slope < 0.0:
                crossing = alive - min(excess, 0.0) / slope
                if crossing > soonest:
                    soonest, target = crossing, index
        prob_alive = self.mean[0] + self.scale[0] * soonest
        return (prob_alive, target) if prob_alive > 0.0 else (_NOWHERE, NONE)

    def nearest_border(self, closeness: list[float], segment: int) -> tuple[float, int]:
        """Distance to the nearest border, and the segment beyond; see `Segmenter.margin`."""
        least, target = float("inf"), 0
        for index, (excess, apart) in enumerate(
            zip(self._excess(closeness, segment), self.twice_apart[segment], strict=True)
        ):
            if index != segment:
                distance = -excess / apart if apart else 0.0  # two centroids in one place
                if distance < least:
                    least, target = distance, index
        return max(least, 0.0), target
