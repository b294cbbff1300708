"""Numbers with four decimals, as money and what is expected of customers are written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LARGEST = 4e14  # beyond, a number is cut off: whole ten-thousandths end soon after
NOT_A_NUMBER = "null"
"""In JSON."""


def decimals(units: NDArray[np.int64]) -> list[str]:
    """Texts of ten-thousandths.

    >>> decimals(np.array([119_900, 1]))
    ['11.9900', '0.0001']
    """
    return [f"{value // 10_000}.{value % 10_000:04d}" for value in units.tolist()]


def rounded(column: NDArray[np.float64]) -> list[str]:
    """Texts of numbers, >= 0; `NOT_A_NUMBER` where it is none.

    >>> rounded(np.array([0.02153, np.nan]))
    ['0.0215', 'null']
    """
    known = np.isfinite(column)
    units = np.rint(np.minimum(np.where(known, column, 0.0), _LARGEST) * 1e4)
    texts = zip(decimals(units.astype(np.int64)), known.tolist(), strict=True)
    return [text if ok else NOT_A_NUMBER for text, ok in texts]
