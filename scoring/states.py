"""Customers as columns.

Owns the column layout that `advance` works on and the owner's cache stores. Holds no rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.compiled import compiled
from scoring.ledger import NO_DAY

_columns = compiled("scoring._columns")

Numbers = NDArray[Any]
"""Structured array of dtype `NUMBERS`, shape (n,)."""

NEVER_US = int(np.iinfo(np.int64).max)
"""Stands for "never" in columns of instants."""

UNKNOWN_US = int(np.iinfo(np.int64).min)
"""Stands for "not yet" in columns of instants."""

NONE = -1
"""Stands for "no such segment, lifecycle or topic" in index columns."""

NUMBERS = np.dtype(
    [
        # from the ledger
        ("frequency", np.int64),  # purchase days − 1; −1: nothing left to score
        ("first_day", np.int64),  # purchase days, days since 1970-01-01
        ("last_day", np.int64),
        ("repeat_units", np.int64),  # 1/10,000 major units
        ("purchase_units", np.int64),
        ("refund_units", np.int64),
        ("first_at_us", np.int64),  # of any purchase, cancelled or not; UTC microseconds
        ("last_at_us", np.int64),
        ("tail", np.int64),
        ("tail_day", np.int64),
        ("ids_generation", np.int64),
        # from scoring
        ("as_of_us", np.int64),  # when the customer was last evaluated, event time
        ("prob_alive", np.float64),
        ("card", np.int64),  # index into the partition's scorecard timeline
        ("segment", np.int64),  # index into that scorecard's names
        ("segment_since_us", np.int64),
        ("lifecycle", np.int64),  # index into LIFECYCLES
        ("next_review_us", np.int64),
        ("next_segment", np.int64),  # what silence leads to at next_review_us
        ("next_lifecycle", np.int64),
        ("sequence", np.int64),
        ("sample_rank", np.float64),  # uniform in [0, 1) by hash of the id; not stored
        # the last record applied
        ("source_topic", np.int64),  # index into the partition's input topics
        ("source_offset", np.int64),
    ]
)

_BLANK = np.zeros((), dtype=NUMBERS)
for _name, _value in {
    "frequency": NONE,
    "first_day": NO_DAY,
    "last_day": NO_DAY,
    "tail_day": NO_DAY,
    "first_at_us": NEVER_US,
    "last_at_us": UNKNOWN_US,
    "as_of_us": UNKNOWN_US,
    "prob_alive": np.nan,
    "segment": NONE,
    "segment_since_us": UNKNOWN_US,
    "lifecycle": NONE,
    "next_review_us": NEVER_US,
    "next_segment": NONE,
    "next_lifecycle": NONE,
    "source_topic": NONE,
    "source_offset": NONE,
}.items():
    _BLANK[_name] = _value


_BLANK_BYTES = _BLANK.tobytes()

Columns = tuple[Numbers, NDArray[np.object_], NDArray[np.object_], NDArray[np.object_]]
"""Of `States`, without the names."""


def blank_numbers(count: int, card: int = 0) -> Numbers:
    """Rows of customers of whom nothing is known yet, on the scorecard now in use."""
    rows = np.frombuffer(bytearray(_BLANK_BYTES * count), dtype=NUMBERS)
    if card:
        rows["card"] = card
    return rows


def take_plainly(columns: Columns, rows: list[int]) -> list[NDArray[Any]]:
    """Copies of some rows."""
    return [column[rows] for column in columns]


def put_plainly(columns: Columns, rows: list[int], values: Columns) -> None:
    """Write n rows of values into some rows."""
    for column, value in zip(columns, values, strict=True):
        column[rows] = value


_take, _put = (take_plainly, put_plainly) if _columns is None else (_columns.take, _columns.put)


@dataclass(slots=True)
class States:
    """n customers.

    Attributes
    ----------
    customer_ids : list of str, length n
    numbers : structured array of dtype NUMBERS, shape (n,)
    days, ids_previous, ids_current : object array of bytes, shape (n,)
        The packed ledger, see `scoring.ledger`.
    """

    customer_ids: list[str]
    numbers: Numbers
    days: NDArray[np.object_]
    ids_previous: NDArray[np.object_]
    ids_current: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.customer_ids)

    @classmethod
    def blank(cls, customer_ids: Sequence[str], card: int = 0) -> States:
        """States of customers never seen before."""
        count = len(customer_ids)
        return cls(
            list(customer_ids),
            blank_numbers(count, card),
            *(np.full(count, b"", dtype=object) for _ in range(3)),
        )

    @property
    def columns(self) -> Columns:
        """All but the names."""
        return self.numbers, self.days, self.ids_previous, self.ids_current

    def copy(self) -> States:
        """The same once more."""
        return self.of(self.customer_ids, list(range(len(self))))

    def take(self, rows: NDArray[np.intp]) -> States:
        """A copy of some rows."""
        places = rows.tolist()
        return self.of([self.customer_ids[row] for row in places], places)

    def of(self, customer_ids: Sequence[str], rows: list[int]) -> States:
        """A copy of some rows, under these names."""
        return States(list(customer_ids), *_take(self.columns, rows))

    def put(self, rows: list[int], states: States) -> None:
        """Write other customers' columns into some rows, one each."""
        _put(self.columns, rows, states.columns)
