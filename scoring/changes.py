"""The changes `advance` found: who moved from where to where, when, why, and in what state.

Owns their order and numbering. Rendering them as events is `scoring.change_events`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.change import Cause, ChangeType
from scoring.review import LIFECYCLES
from scoring.states import Numbers
from scoring.timeline import Card

CAUSES = tuple(Cause)

_LIFECYCLE_NAMES = np.array([*(str(name) for name in LIFECYCLES), None], dtype=object)


@dataclass(frozen=True, slots=True)
class ChangeBlock:
    """Changes of one kind, at most one a customer, with the customers as they then stood.

    Attributes
    ----------
    rows : intp, shape (n,)
        Row of each customer in the states handed to `advance`.
    previous, current : object, shape (n,)
        Names; None where there is none.
    causes : uint8, shape (n,)
        Indices into `CAUSES`.
    numbers : structured array of dtype NUMBERS, shape (n,)
        A snapshot; `sequence` is the change's own.
    """

    kind: ChangeType
    rows: NDArray[np.intp]
    previous: NDArray[np.object_]
    current: NDArray[np.object_]
    causes: NDArray[np.uint8]
    numbers: Numbers
    card: Card


@dataclass(slots=True)
class ChangeLog:
    """Blocks in the order in which they happened to each customer."""

    blocks: list[ChangeBlock] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(block.rows) for block in self.blocks)

    def record(
        self,
        rows: NDArray[np.intp],
        numbers: Numbers,
        before: Numbers,
        causes: NDArray[np.uint8],
        card: Card,
        card_before: Card,
    ) -> None:
        """Compare customers with what they were, and number what changed.

        Parameters
        ----------
        rows : intp, shape (n,)
        numbers : shape (n,)
            As they are now; `sequence` and `segment_since_us` are updated in place.
        before : shape (n,)
            As they were; only segment and lifecycle are read.
        """
        self._record_kind(
            ChangeType.SEGMENT,
            rows,
            numbers,
            card_before.segment_names[before["segment"]],
            card.segment_names[numbers["segment"]],
            causes,
            card,
        )
        self._record_kind(
            ChangeType.LIFECYCLE,
            rows,
            numbers,
            _LIFECYCLE_NAMES[before["lifecycle"]],
            _LIFECYCLE_NAMES[numbers["lifecycle"]],
            causes,
            card,
        )

    def _record_kind(
        self,
        kind: ChangeType,
        rows: NDArray[np.intp],
        numbers: Numbers,
        previous: NDArray[np.object_],
        current: NDArray[np.object_],
        causes: NDArray[np.uint8],
        card: Card,
    ) -> None:
        changed = np.flatnonzero(previous != current)
        if not len(changed):
            return
        numbers["sequence"][changed] += 1
        if kind is ChangeType.SEGMENT:
            numbers["segment_since_us"][changed] = numbers["as_of_us"][changed]
        self.blocks.append(
            ChangeBlock(
                kind=kind,
                rows=rows[changed],
                previous=previous[changed],
                current=current[changed],
                causes=causes[changed],
                numbers=numbers[changed],
                card=card,
            )
        )


def same_cause(cause: Cause, count: int) -> NDArray[np.uint8]:
    """One cause for all of a block."""
    return np.full(count, CAUSES.index(cause), dtype=np.uint8)
