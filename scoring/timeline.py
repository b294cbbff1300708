"""Scorecards over time: which one scored a partition from when on.

A new scorecard is adopted at one moment of the partition's clock. A customer who is met later is
first brought up to that moment under the old scorecard, then re-scored under the new one, so that the
history of changes is the same whether the re-scoring or the customer's next purchase comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas.scorecard import Scorecard
from scoring.segments import Segmenter
from scoring.states import NONE, UNKNOWN_US


class Card:
    """A scorecard ready for arithmetic."""

    def __init__(self, scorecard: Scorecard) -> None:
        self.scorecard = scorecard
        self.version = scorecard.version
        self.alive = scorecard.alive
        self.segmenter = Segmenter(scorecard)
        # Indexed by lifecycle: the P(alive) below which silence leads to the next one.
        self.lifecycle_floor = np.array(
            [scorecard.lifecycle.fading, scorecard.lifecycle.lost, -np.inf]
        )
        # Indexed by segment; index NONE is the last element: no segment, no name.
        self.segment_names = np.array([*scorecard.segments, None], dtype=object)
        self.labels: Any = None  # of `scoring.changes.labels_of`, once asked for
        self.scorers: dict[str, Any] = {}  # of `scoring.scorers`, by time zone


class Timeline:
    """The scorecards of one partition in the order of their adoption, never empty.

    Parameters
    ----------
    adoptions : sequence of (adopted_at_us, Scorecard)
        Microseconds since 1970 UTC on the partition's clock, ascending.
    """

    def __init__(self, adoptions: Sequence[tuple[int, Scorecard]]) -> None:
        self._cards = [Card(scorecard) for _, scorecard in adoptions]
        self._adopted_at = [moment for moment, _ in adoptions]

    @classmethod
    def of(cls, scorecard: Scorecard) -> Timeline:
        """A timeline on which one scorecard has always been in use."""
        return cls([(UNKNOWN_US, scorecard)])

    def adopt(self, adopted_at_us: int, scorecard: Scorecard) -> None:
        """Append the next scorecard."""
        self._cards.append(Card(scorecard))
        self._adopted_at.append(max(adopted_at_us, self._adopted_at[-1]))

    @property
    def current(self) -> int:
        """Index of the scorecard in use."""
        return len(self._cards) - 1

    @property
    def card(self) -> Card:
        """The scorecard in use."""
        return self._cards[-1]

    def __getitem__(self, index: int) -> Card:
        return self._cards[index]

    def adopted_at(self, index: int) -> int:
        """Moment of adoption, microseconds since 1970 UTC."""
        return self._adopted_at[index]

    @property
    def adoptions(self) -> list[tuple[int, str]]:
        """(adopted_at_us, version) of all, as the checkpoint keeps them."""
        return list(zip(self._adopted_at, (card.version for card in self._cards), strict=True))

    def index_of(self, version: str) -> int:
        """Latest index of a version.

        Raises
        ------
        KeyError
            Never adopted here.
        """
        for index in range(self.current, -1, -1):
            if self._cards[index].version == version:
                return index
        raise KeyError(version)

    def restored(self, index: int) -> int | None:
        """Index of the scorecard whose numbers scorecard `index` brings back, if it was in use here."""
        wanted = self._cards[index].scorecard.restores
        for earlier in range(index - 1, -1, -1):
            if self._cards[earlier].version == wanted:
                return earlier
        return None

    def translate(self, index: int) -> np.ndarray:
        """Where the segments of scorecard `index` stand in the next one, by identity; shape (k + 1,).

        The last element serves the index `NONE`.
        """
        names = self._cards[index + 1].scorecard.identities
        return np.array(
            [
                names.index(name) if name in names else NONE
                for name in (*self._cards[index].scorecard.identities, None)
            ],
            dtype=np.int64,
        )
