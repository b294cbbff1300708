"""The customer base in two tables: by RFM, and by purchases and silence; as of now.

Owns the bins. Holds sums only, nobody by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.alive import prob_alive
from scoring.business_calendar import BusinessCalendar
from scoring.review import age_days, silence_days, t_x_days
from scoring.segments import FloatArray
from scoring.states import Numbers
from scoring.telling import rfm_of
from scoring.timeline import Card

_SCORES = 5
_UNITS = 10_000.0
# Smallest of each bin; the last one is open. Half of a shop's customers never come back, so the first
# bins are fine and the later ones double.
FREQUENCY_FROM = (0, 1, 2, 3, 5, 8, 13)
SILENCE_FROM = (0, 15, 30, 60, 90, 180, 365)


class CrossTables:
    """Sums by cell."""

    def __init__(self) -> None:
        self._rfm = np.zeros((_SCORES, _SCORES, 2))
        self._matrix = np.zeros((len(FREQUENCY_FROM), len(SILENCE_FROM), 2))

    def add(self, numbers: Numbers, card: Card, calendar: BusinessCalendar, now_us: int) -> None:
        """Count customers; those with nothing left to score are left out.

        Parameters
        ----------
        numbers : Numbers
            As loaded.
        card : Card
        calendar : BusinessCalendar
        now_us : int
            Microseconds since 1970 UTC; who was looked at later counts as of then.
        """
        rows = numbers[numbers["frequency"] >= 0]
        if not len(rows):
            return
        rows["as_of_us"] = np.maximum(rows["as_of_us"], now_us)
        recency, frequency, _ = rfm_of(rows, card, calendar).T.astype(np.int64) - 1
        net = (rows["purchase_units"] - rows["refund_units"]) / _UNITS
        _count(self._rfm, recency, frequency, net)
        often = np.searchsorted(FREQUENCY_FROM, rows["frequency"], side="right") - 1
        silence = np.maximum(silence_days(rows, calendar), 0)
        silent = np.searchsorted(SILENCE_FROM, silence, side="right") - 1
        alive = prob_alive(rows["frequency"], t_x_days(rows), age_days(rows, calendar), card.alive)
        _count(self._matrix, often, silent, alive)

    def rfm(self) -> list[dict[str, Any]]:
        """Cells with somebody in them, by recency and frequency score."""
        return [
            {
                "recency": recency + 1,
                "frequency": frequency + 1,
                "customers": int(customers),
                "revenue": round(float(revenue), 4),
            }
            for recency, row in enumerate(self._rfm)
            for frequency, (customers, revenue) in enumerate(row)
            if customers
        ]

    def matrix(self) -> list[dict[str, Any]]:
        """Cells with somebody in them, by repeat purchases and days of silence."""
        return [
            {
                "frequency_from": FREQUENCY_FROM[often],
                "silence_days_from": SILENCE_FROM[silent],
                "customers": int(customers),
                "mean_prob_alive": float(alive / customers),
            }
            for often, row in enumerate(self._matrix)
            for silent, (customers, alive) in enumerate(row)
            if customers
        ]


def _count(
    table: FloatArray,
    down: NDArray[np.int64],
    across: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Add customers and the sum of a value to the cells of a table, shape (down, across, 2)."""
    height, width, _ = table.shape
    cells = down * width + across
    for layer, weights in enumerate((None, values)):
        sums = np.bincount(cells, weights, minlength=height * width)
        table[:, :, layer] += sums.reshape(height, width)
