"""Customers' columns to Redis hashes and back.

The hash is readable by hand: times are RFC 3339, money is in major units, names are names. Only the
`ledger` field is packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np

from schemas.transaction import EPOCH, MICROSECOND
from scoring import ledger
from scoring.business_calendar import BusinessCalendar
from scoring.decimals import NOT_A_NUMBER, decimals, rounded
from scoring.ledger import RecentIds
from scoring.moments import rfc3339
from scoring.review import LIFECYCLES, monetary_value, t_x_days
from scoring.segments import FloatArray
from scoring.states import NEVER_US, NONE, NUMBERS, UNKNOWN_US, Numbers, States
from scoring.telling import Told, tell
from scoring.timeline import Timeline
from state.fields import FIELDS, SCORE_FIELDS
from state.store import Fields

_encode = msgspec.json.Encoder().encode
_LIFECYCLE_TEXTS = [*(str(name) for name in LIFECYCLES), ""]
_LIFECYCLE_NAMES = (*(str(name) for name in LIFECYCLES), None)
Row = Sequence[str | bytes]


def encode_rows(
    states: States,
    timeline: Timeline,
    topics: Sequence[str],
    calendar: BusinessCalendar,
    fields: Sequence[str] = FIELDS,
) -> list[Row]:
    """Values of each customer's hash, in the order of `fields`.

    All customers must stand on the scorecard now in use, as they do after `advance`.
    """
    columns = encode_columns(states, timeline, topics, calendar, fields)
    return list(zip(*columns.values(), strict=True))


def encode_columns(
    states: States,
    timeline: Timeline,
    topics: Sequence[str],
    calendar: BusinessCalendar,
    fields: Sequence[str] = FIELDS,
) -> dict[str, Sequence[str | bytes]]:
    """The same, field by field."""
    columns = _score_columns(states.numbers, timeline, calendar)
    if len(fields) > len(SCORE_FIELDS):
        columns |= _fact_columns(states, topics)
    return {name: columns[name] for name in fields}


def _score_columns(
    numbers: Numbers, timeline: Timeline, calendar: BusinessCalendar
) -> dict[str, Sequence[str | bytes]]:
    card = timeline.card
    names = ["" if name is None else str(name) for name in card.segment_names.tolist()]
    scored = (numbers["frequency"] >= 0).tolist()
    told = tell(numbers, card, calendar)
    return {
        "prob_alive": [
            text if ok and text != NOT_A_NUMBER else ""
            for text, ok in zip(_numbers(numbers["prob_alive"]), scored, strict=True)
        ],
        "prob_alive_at": _times(numbers["as_of_us"]),
        "expected_purchases_30d": _numbers(told.expected),
        "value": _value_texts(told, scored),
        "segment": [names[index] for index in numbers["segment"].tolist()],
        "segment_since": _times(numbers["segment_since_us"]),
        "lifecycle": [_LIFECYCLE_TEXTS[index] for index in numbers["lifecycle"].tolist()],
        "rfm": list(map(str, told.rfm.tolist())),
        "next_review_at": _times(numbers["next_review_us"]),
        "next_segment": [names[index] for index in numbers["next_segment"].tolist()],
        "next_lifecycle": [_LIFECYCLE_TEXTS[index] for index in numbers["next_lifecycle"].tolist()],
        "sequence": list(map(str, numbers["sequence"].tolist())),
        "scorecard": [card.version] * len(numbers),
    }


def _fact_columns(states: States, topics: Sequence[str]) -> dict[str, Sequence[str | bytes]]:
    numbers = states.numbers
    scored = numbers["frequency"] >= 0
    return {
        "frequency": list(map(str, np.maximum(numbers["frequency"], 0).tolist())),
        "t_x_days": list(
            map(str, np.where(scored, t_x_days(numbers), 0).astype(np.int64).tolist())
        ),
        "first_purchase_at": _times(numbers["first_at_us"]),
        "last_purchase_at": _times(numbers["last_at_us"]),
        "monetary_value": _numbers(monetary_value(numbers)),
        "monetary_total": decimals(numbers["purchase_units"]),
        "refund_total": decimals(numbers["refund_units"]),
        "source": [
            f"{topics[topic]}:{offset}"
            for topic, offset in zip(
                numbers["source_topic"].tolist(), numbers["source_offset"].tolist(), strict=True
            )
        ],
        "ledger": [
            ledger.pack_ledger(days, RecentIds(generation, previous, current))
            for days, generation, previous, current in zip(
                states.days.tolist(),
                numbers["ids_generation"].tolist(),
                states.ids_previous.tolist(),
                states.ids_current.tolist(),
                strict=True,
            )
        ],
    }


def decode_rows(
    customer_ids: Sequence[str],
    found: Sequence[Fields | None],
    timeline: Timeline,
    topics: Sequence[str],
) -> States:
    """Columns of customers as loaded; those not known are blank.

    Raises
    ------
    LedgerError
        A packed ledger is damaged.
    KeyError, ValueError
        A scorecard (KeyError), segment or topic (ValueError) that this partition never knew.
    """
    states = States.blank(customer_ids, card=timeline.current)
    known = [row for row, fields in enumerate(found) if fields is not None]
    hashes = [fields for fields in found if fields is not None]
    if not hashes:
        return states
    numbers = states.numbers[known]
    for position, (row, fields) in enumerate(zip(known, hashes, strict=True)):
        packed, recent = ledger.unpack_ledger(fields["ledger"])
        states.days[row] = packed
        states.ids_previous[row] = recent.previous
        states.ids_current[row] = recent.current
        summary = ledger.summarise(packed)
        card = timeline.index_of(fields["scorecard"].decode())
        names = timeline[card].segment_names.tolist()
        topic, _, offset = fields["source"].decode().rpartition(":")
        target = numbers[position]
        for column in summary.__slots__:
            target[column] = getattr(summary, column)
        target["ids_generation"] = recent.generation
        target["prob_alive"] = float(fields["prob_alive"] or b"nan")
        target["card"] = card
        target["segment"] = names.index(fields["segment"].decode() or None)
        target["lifecycle"] = _LIFECYCLE_TEXTS.index(fields["lifecycle"].decode())
        target["next_segment"] = names.index(fields["next_segment"].decode() or None)
        target["next_lifecycle"] = _LIFECYCLE_TEXTS.index(fields["next_lifecycle"].decode())
        target["sequence"] = int(fields["sequence"])
        target["source_topic"] = topics.index(topic)
        target["source_offset"] = int(offset)
    # The names' last entry is "none": index k means NONE.
    for column, count in (("lifecycle", len(LIFECYCLES)), ("next_lifecycle", len(LIFECYCLES))):
        numbers[column][numbers[column] == count] = NONE
    sizes = np.array([len(timeline[card].segment_names) - 1 for card in numbers["card"].tolist()])
    for column in ("segment", "next_segment"):
        numbers[column][numbers[column] == sizes] = NONE
    for column, name, missing in (
        ("first_at_us", "first_purchase_at", NEVER_US),
        ("last_at_us", "last_purchase_at", UNKNOWN_US),
        ("as_of_us", "prob_alive_at", UNKNOWN_US),
        ("segment_since_us", "segment_since", UNKNOWN_US),
        ("next_review_us", "next_review_at", NEVER_US),
    ):
        numbers[column] = parse_times([fields[name].decode() for fields in hashes], missing)
    states.numbers[known] = numbers
    return states


def decode_one(
    customer_id: str, fields: Fields, timeline: Timeline, topics: Sequence[str]
) -> States:
    """One customer as loaded: as `decode_rows`, at a tenth of the cost.

    Raises
    ------
    LedgerError, KeyError, ValueError
        See `decode_rows`.
    """
    days, recent = ledger.unpack_ledger(fields["ledger"])
    known = ledger.summarise(days)
    card = timeline.index_of(fields["scorecard"].decode())
    topic, _, offset = fields["source"].decode().rpartition(":")
    names = (*timeline[card].scorecard.segments, None)
    row = (
        known.frequency,
        known.first_day,
        known.last_day,
        known.repeat_units,
        known.purchase_units,
        known.refund_units,
        parse_time(fields["first_purchase_at"], NEVER_US),
        parse_time(fields["last_purchase_at"], UNKNOWN_US),
        known.tail,
        known.tail_day,
        recent.generation,
        parse_time(fields["prob_alive_at"], UNKNOWN_US),
        float(fields["prob_alive"] or b"nan"),
        card,
        _index(names, fields["segment"].decode() or None),
        parse_time(fields["segment_since"], UNKNOWN_US),
        _index(_LIFECYCLE_NAMES, fields["lifecycle"].decode() or None),
        parse_time(fields["next_review_at"], NEVER_US),
        _index(names, fields["next_segment"].decode() or None),
        _index(_LIFECYCLE_NAMES, fields["next_lifecycle"].decode() or None),
        int(fields["sequence"]),
        0.0,  # not stored
        topics.index(topic),
        int(offset),
    )
    packed = (np.array([text], dtype=object) for text in (days, recent.previous, recent.current))
    return States([customer_id], np.array([row], dtype=NUMBERS), *packed)


def _index(names: Sequence[str | None], name: str | None) -> int:
    """Where a name stands; `NONE` for none, which is the last of them."""
    return NONE if name is None else names.index(name)


def parse_time(text: bytes, missing: int) -> int:
    """`parse_times` of one text."""
    if not text:
        return missing
    try:
        return (datetime.fromisoformat(text.decode()) - EPOCH) // MICROSECOND
    except ValueError:  # before the year 1, of which datetime knows nothing
        return int(parse_times([text.decode()], missing)[0])


def parse_times(texts: Sequence[str], missing: int) -> np.ndarray:
    """Microseconds since 1970 UTC of RFC 3339 texts ending in Z; `missing` for empty ones."""
    moments = np.array([text[:-1] or "1970-01-01" for text in texts], dtype="datetime64[us]")
    return np.where(np.array(texts, dtype=object) == "", missing, moments.astype(np.int64))


def due_scores(numbers: Numbers) -> list[float]:
    """Review times in seconds since 1970 UTC; inf where silence changes nothing any more."""
    at = numbers["next_review_us"]
    scores: list[float] = np.where(at == NEVER_US, np.inf, at / 1e6).tolist()
    return scores


def _numbers(column: FloatArray) -> list[str]:
    """As JSON writes them: the shortest text that is read as the same number."""
    return _encode(column.tolist()).decode()[1:-1].split(",") if len(column) else []


def _value_texts(told: Told, scored: list[bool]) -> list[str]:
    """P(buy in 30 days), purchases of 90 days, and where there is a spend model that and two values."""
    columns = (told.prob_purchase, told.expected_90, told.spend, told.clv_90, told.clv_365)
    known = [column for column in columns if np.isfinite(column).all()]
    texts = zip(*map(rounded, known), strict=True)
    return [" ".join(text) if ok else "" for text, ok in zip(texts, scored, strict=True)]


def _times(instants_us: np.ndarray) -> list[str]:
    return [text or "" for text in rfc3339(instants_us)]
