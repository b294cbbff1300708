"""Customers to be written: as rows of texts, or as whole hashes in the form in which Redis keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import msgspec

from schemas.compiled import compiled
from schemas.transaction import FIRST_US
from scoring.business_calendar import BusinessCalendar
from scoring.review import LIFECYCLES
from scoring.states import UNKNOWN_US, States
from scoring.telling import tell
from scoring.timeline import Timeline
from state.codec import Row, encode_rows
from state.fields import FIELDS

_hashes = compiled("state._hashes")
_encode = msgspec.json.Encoder().encode
_NAMES = [name.encode() for name in FIELDS]
_LIFECYCLES = [*(name.value.encode() for name in LIFECYCLES), b""]


class CustomerRows(Sequence[Row]):
    """Values of some customers' hashes; worked out when somebody asks for them.

    Parameters
    ----------
    states : States
        All on the scorecard now in use, as they are after `advance`.
    timeline, topics, calendar, fields
        See `state.codec.encode_rows`.
    """

    def __init__(
        self,
        states: States,
        timeline: Timeline,
        topics: Sequence[str],
        calendar: BusinessCalendar,
        fields: Sequence[str] = FIELDS,
    ) -> None:
        self._states = states
        self._timeline = timeline
        self._topics = topics
        self._calendar = calendar
        self._fields = fields

    @cached_property
    def _rows(self) -> list[Row]:
        return encode_rows(self._states, self._timeline, self._topics, self._calendar, self._fields)

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, index: int) -> Row:  # type: ignore[override]  # nobody slices them
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def whole_hashes(self) -> list[bytes] | None:
        """All fields of each, as RESTORE takes them; None where that was not compiled.

        Nor for moments before the year 1: they have more digits.
        """
        states, card, numbers = self._states, self._timeline.card, self._states.numbers
        if _hashes is None:
            return None
        told = tell(numbers, card, self._calendar)
        found: list[bytes] | None = _hashes.write_hashes(
            numbers,
            states.days.tolist(),
            states.ids_previous.tolist(),
            states.ids_current.tolist(),
            _NAMES,
            [("" if name is None else name).encode() for name in card.segment_names.tolist()],
            _LIFECYCLES,
            [topic.encode() for topic in self._topics],
            card.version.encode(),
            _encode(numbers["prob_alive"].tolist()),
            _encode(told.expected.tolist()),
            _encode(told.monetary.tolist()),
            told.prob_purchase,
            told.expected_90,
            told.spend,
            told.clv_90,
            told.clv_365,
            told.rfm,
            FIRST_US,
            UNKNOWN_US,
        )
        return found
