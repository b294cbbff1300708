"""The changes `advance` found: who moved from where to where, when, why, and in what state.

Owns their order and numbering. Rendering them as events is `scoring.change_events`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.change import Cause, ChangeType
from scoring.review import LIFECYCLES
from scoring.states import Numbers
from scoring.timeline import Card

CAUSES = tuple(Cause)
KINDS = tuple(ChangeType)
_STAGES: tuple[str | None, ...] = (*(str(name) for name in LIFECYCLES), None)


@dataclass(frozen=True, slots=True)
class ChangeBlock:
    """Changes under one scorecard, with the customers as they then stood; each one's own in order.

    Attributes
    ----------
    rows : intp, shape (n,)
        Row of each customer in the states handed to `advance`.
    kinds : uint8, shape (n,)
        Indices into `KINDS`.
    previous, current : int16, shape (n,)
        Indices into `labels`.
    labels : Labels
    causes : uint8, shape (n,)
        Indices into `CAUSES`.
    numbers : structured array of dtype NUMBERS, shape (n,)
        A snapshot; `sequence` is the change's own.
    """

    rows: NDArray[np.intp]
    kinds: NDArray[np.uint8]
    previous: NDArray[np.int16]
    current: NDArray[np.int16]
    labels: Labels
    causes: NDArray[np.uint8]
    numbers: Numbers
    card: Card


@dataclass(frozen=True, slots=True)
class Labels:
    """What the segments and lifecycles are called between which changes lead.

    Attributes
    ----------
    names : tuple of str, the last None
        None stands for none.
    texts : tuple of bytes
        The same in UTF-8, without the last.
    segments_before, segments : int16, shape (k + 1,)
        Index of each segment's name, of the scorecard before and of this one; index NONE is the last.
    lifecycles : int16, shape (4,)
        Likewise.
    """

    names: tuple[str | None, ...]
    texts: tuple[bytes, ...]
    segments_before: NDArray[np.int16]
    segments: NDArray[np.int16]
    lifecycles: NDArray[np.int16]

    @classmethod
    def of(cls, names: Iterable[str | None], before: Card, card: Card) -> Labels:
        """Labels with these names: they hold all of both scorecards."""
        known = [name for name in names if name is not None]
        index: dict[str | None, int] = {name: place for place, name in enumerate([*known, None])}
        return cls(
            tuple(index),
            tuple(name.encode() for name in known),
            *(
                np.array([index[name] for name in some], dtype=np.int16)
                for some in (before.segment_names.tolist(), card.segment_names.tolist(), _STAGES)
            ),
        )

    def indices(self, names: Sequence[str | None]) -> NDArray[np.int16]:
        """Where some of the names stand."""
        return np.array([self.names.index(name) for name in names], dtype=np.int16)


def labels_of(before: Card, card: Card) -> Labels:
    """Labels of changes from one scorecard to another, or under one."""
    if before is card and card.labels is not None:
        found: Labels = card.labels
        return found
    # Someone may come from a segment that only an older scorecard has.
    segments = [*card.scorecard.segments, *before.scorecard.segments]
    found = Labels.of(dict.fromkeys([*segments, *_STAGES]), before, card)
    if before is card:
        card.labels = found
    return found


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
        labels = labels_of(card_before, card)
        self._record_kind(
            ChangeType.SEGMENT,
            rows,
            numbers,
            labels.segments_before[before["segment"]],
            labels.segments[numbers["segment"]],
            labels,
            causes,
            card,
        )
        self._record_kind(
            ChangeType.LIFECYCLE,
            rows,
            numbers,
            labels.lifecycles[before["lifecycle"]],
            labels.lifecycles[numbers["lifecycle"]],
            labels,
            causes,
            card,
        )

    def _record_kind(
        self,
        kind: ChangeType,
        rows: NDArray[np.intp],
        numbers: Numbers,
        previous: NDArray[np.int16],
        current: NDArray[np.int16],
        labels: Labels,
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
                rows=rows[changed],
                kinds=np.full(len(changed), KINDS.index(kind), dtype=np.uint8),
                previous=previous[changed],
                current=current[changed],
                labels=labels,
                causes=causes[changed],
                numbers=numbers[changed],
                card=card,
            )
        )


def same_cause(cause: Cause, count: int) -> NDArray[np.uint8]:
    """One cause for all of a block."""
    return np.full(count, CAUSES.index(cause), dtype=np.uint8)
