"""Events as columns: what `advance` lets happen to customers. Holds no rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Events:
    """n events in log order.

    Attributes
    ----------
    rows : intp, shape (n,)
        Whose event, as row of the states.
    occurred_at_us : int64, shape (n,)
        Event time, microseconds since 1970 UTC.
    amount_units : int64, shape (n,)
        1/10,000 major units, not negative.
    is_refund : bool, shape (n,)
    hashes : list of n 8-byte hashes of the transaction ids
    generations : int64, shape (n,)
        Arrival time divided by the dedup horizon.
    topics, offsets : int64, shape (n,)
        Where in the log; topics are indices into the input topics.
    not_before_us : int64, shape (n,), optional
        How far a clock on the wall had come when each of them was counted.
    """

    rows: NDArray[np.intp]
    occurred_at_us: NDArray[np.int64]
    amount_units: NDArray[np.int64]
    is_refund: NDArray[np.bool_]
    hashes: list[bytes]
    generations: NDArray[np.int64]
    topics: NDArray[np.int64]
    offsets: NDArray[np.int64]
    not_before_us: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls) -> Events:
        """No events: `advance` then only lets time pass."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, empty.astype(np.bool_), [], empty, empty, empty)
