"""Columns to hashes and back, to the last bit; messages to bytes and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import LedgerError
from schemas.scorecard import Family, Origin, SpendParams
from scoring import ledger
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.ledger import NO_DAY, RecentIds
from scoring.prospects import sums_if_alive
from scoring.states import NEVER_US, NONE, NUMBERS, UNKNOWN_US, States
from scoring.texts import Texts
from scoring.timeline import Timeline
from scoring.value import value_of
from state.codec import decode_one, decode_rows, due_scores, encode_rows, parse_time, parse_times
from state.fields import FIELDS, SCORE_FIELDS
from state.outbox import Message, Run, count_records, pack_messages, unpack_messages
from tests.support.states import (
    INSTANTS,
    TIMELINE,
    TOPICS,
    US_PER_DAY,
    states_of_customers,
)

UTC = BusinessCalendar("UTC")


def hashes_of(
    states: States, timeline: Timeline = TIMELINE, calendar=UTC
) -> list[dict[str, bytes]]:
    """As a store gives them back."""
    return [
        {
            name: value if isinstance(value, bytes) else value.encode()
            for name, value in zip(FIELDS, values, strict=True)
        }
        for values in encode_rows(states, timeline, TOPICS, calendar)
    ]


def assert_same(found: States, expected: States) -> None:
    assert found.customer_ids == expected.customer_ids
    for name in ("days", "ids_previous", "ids_current"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
    for column in set(NUMBERS.names) - {"sample_rank"}:  # a hash of the id; not stored
        np.testing.assert_array_equal(found.numbers[column], expected.numbers[column], column)


@given(states_of_customers(), st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]))
@settings(max_examples=150)
def test_one_customer_comes_back_as_among_many(states, timezone):
    encoded = hashes_of(states, calendar=BusinessCalendar(timezone))
    many = decode_rows(states.customer_ids, encoded, TIMELINE, TOPICS)
    for row, found in enumerate(encoded):
        one = decode_one(states.customer_ids[row], found, TIMELINE, TOPICS)
        among = many.take(np.array([row]))
        assert one.numbers.tobytes() == among.numbers.tobytes()
        for mine, theirs in zip(one.columns[1:], among.columns[1:], strict=True):
            assert mine.tolist() == theirs.tolist()


@given(states_of_customers(), st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]))
@settings(max_examples=150)
def test_states_come_back_from_their_hashes_unchanged(states, timezone):
    encoded = hashes_of(states, calendar=BusinessCalendar(timezone))
    assert_same(decode_rows(states.customer_ids, encoded, TIMELINE, TOPICS), states)


@given(states_of_customers())
@settings(max_examples=50)
def test_every_field_but_the_ledger_is_readable_text(states):
    for encoded in hashes_of(states):
        assert tuple(encoded) == FIELDS
        for name in FIELDS[:-1]:
            assert encoded[name].decode().isprintable()


@given(states_of_customers())
@settings(max_examples=50)
def test_scores_encoded_alone_are_the_same_as_among_all_fields(states):
    alone = encode_rows(states, TIMELINE, TOPICS, UTC, SCORE_FIELDS)
    for scores, encoded in zip(alone, hashes_of(states), strict=True):
        assert [score.encode() for score in scores] == [encoded[name] for name in SCORE_FIELDS]


def one(events, **numbers) -> States:
    states = States.blank(["C-42"])
    packed = b""
    for day, units, is_refund in events:
        packed = ledger.add(packed, day, units, is_refund=is_refund)
    states.days[0] = packed
    summary = ledger.summarise(packed)
    for column in summary.__slots__:
        states.numbers[column] = getattr(summary, column)
    states.numbers["source_topic"] = 0
    for column, value in numbers.items():
        states.numbers[column] = value
    return states


def test_hash_of_a_customer_reads_as_a_person_would_write_it():
    states = one(
        [(10_000, 119_900, False), (10_030, 50_000, False), (10_030, 1, True)],
        first_at_us=10_000 * US_PER_DAY + 1,
        last_at_us=10_030 * US_PER_DAY,
        as_of_us=10_040 * US_PER_DAY,
        prob_alive=0.7,
        segment=1,
        segment_since_us=10_030 * US_PER_DAY,
        lifecycle=0,
        next_review_us=10_050 * US_PER_DAY,
        next_lifecycle=1,
        sequence=3,
        source_topic=1,
        source_offset=17,
    )
    text = {
        name: value.decode() for name, value in hashes_of(states)[0].items() if name != "ledger"
    }
    assert float(text.pop("expected_purchases_30d")) > 0
    assert [0 < float(number) < 2 for number in text.pop("value").split()] == [True, True]
    assert text == {
        "frequency": "1",
        "t_x_days": "30",
        "first_purchase_at": "1997-05-19T00:00:00.000001Z",
        "last_purchase_at": "1997-06-18T00:00:00.000000Z",
        "monetary_value": "4.9999",
        "monetary_total": "16.9900",
        "refund_total": "0.0001",
        "prob_alive": "0.7",
        "prob_alive_at": "1997-06-28T00:00:00.000000Z",
        "segment": "Loyal",
        "segment_since": "1997-06-18T00:00:00.000000Z",
        "lifecycle": "active",
        "rfm": "522",
        "next_review_at": "1997-07-08T00:00:00.000000Z",
        "next_segment": "",
        "next_lifecycle": "fading",
        "sequence": "3",
        "scorecard": "bootstrap-0",
        "source": "transactions.rekeyed:17",
    }


def test_value_is_told_in_four_decimals_once_there_is_a_spend_model():
    card = bootstrap_scorecard().model_copy(
        update={"spend": SpendParams(p=6.25, q=3.74, v=15.44), "discount_rate": 0.1}
    )
    states = one(
        [(10_000, 119_900, False), (10_030, 50_000, False)],
        as_of_us=10_040 * US_PER_DAY,
        prob_alive=0.7,
        segment=1,
        lifecycle=0,
    )
    (encoded,) = hashes_of(states, timeline=Timeline.of(card))
    told = [float(number) for number in encoded["value"].split()]
    x, t_x, age = np.array([1]), np.array([30.0]), np.array([40.0])
    sums = sums_if_alive(x, age + card.alive.alpha_days, card.alive, card.discount_rate)
    value = value_of(x, t_x, age, np.array([5.0]), np.array([0.7]), sums, card)
    assert told == [
        round(float(column[0]), 4)
        for column in (
            value.prob_purchase_30d,
            value.expected_purchases_90d,
            value.expected_spend,
            value.clv_90d,
            value.clv_365d,
        )
    ]


def test_customer_of_whom_nothing_is_left_to_score_is_stored_so_and_comes_back_so():
    states = one([(10_000, 5_000, False), (10_000, 5_000, True)], as_of_us=10_000 * US_PER_DAY)
    assert states.numbers["frequency"][0] == -1
    encoded = hashes_of(states)[0]
    for name in ("prob_alive", "value", "segment", "lifecycle", "next_review_at", "next_segment"):
        assert encoded[name] == b""
    assert encoded["frequency"] == encoded["t_x_days"] == b"0"
    assert encoded["expected_purchases_30d"] == b"0.0"
    found = decode_rows(["C-42"], [encoded], TIMELINE, TOPICS)
    assert_same(found, states)
    assert found.numbers["first_day"][0] == NO_DAY


def test_refunds_above_the_repeat_purchases_give_a_negative_mean_that_comes_back():
    events = [(10_000, 9, False), (10_001, 10_000, False), (10_002, 30_000, True)]
    states = one(events, as_of_us=10_002 * US_PER_DAY, segment=0, lifecycle=0, prob_alive=0.5)
    assert states.numbers["repeat_units"][0] == -20_000
    encoded = hashes_of(states)
    assert encoded[0]["monetary_value"] == b"-2.0"
    assert_same(decode_rows(["C-42"], encoded, TIMELINE, TOPICS), states)


def test_customer_who_is_not_known_is_blank_among_those_who_are():
    states = one([(10_000, 9, False)], as_of_us=10_000 * US_PER_DAY, segment=0, lifecycle=0)
    found = decode_rows(
        ["new", "C-42", "newer"], [None, *hashes_of(states), None], TIMELINE, TOPICS
    )
    assert found.numbers["frequency"].tolist() == [-1, 0, -1]
    assert found.numbers["last_at_us"][0] == UNKNOWN_US
    assert_same(found.take(np.array([1])), states)
    assert_same(found.take(np.array([0, 2])), States.blank(["new", "newer"]))


def test_customer_stored_under_an_older_scorecard_still_stands_on_it():
    older = bootstrap_scorecard()
    newer = older.model_copy(
        update={"number": 1, "origin": Origin.FITTED, "segments": ("D", "C", "B", "A")}
    )
    states = one([(10_000, 9, False)], as_of_us=10_000 * US_PER_DAY, segment=3, lifecycle=2)
    encoded = hashes_of(states)
    timeline = Timeline([(UNKNOWN_US, older), (5, newer)])
    found = decode_rows(["C-42", "new"], [*encoded, None], timeline, TOPICS)
    assert found.numbers["card"].tolist() == [0, 1]
    assert found.numbers["segment"].tolist() == [3, NONE]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("ledger", b"\x05\x01", LedgerError),
        ("scorecard", b"fitted-9", KeyError),
        ("segment", b"Whales", ValueError),
        ("source", b"other-topic:5", ValueError),
    ],
)
def test_hash_of_another_installation_is_not_misread(field, value, error):
    states = one([(10_000, 9, False)], as_of_us=10_000 * US_PER_DAY, segment=0, lifecycle=0)
    damaged = hashes_of(states)[0] | {field: value}
    with pytest.raises(error):
        decode_rows(["C-42"], [damaged], TIMELINE, TOPICS)


def test_bootstrap_of_the_other_family_is_encoded_too():
    timeline = Timeline.of(bootstrap_scorecard(Family.BGNBD))
    states = one([(10_000, 9, False)], as_of_us=10_100 * US_PER_DAY, segment=0, lifecycle=0)
    states.numbers["prob_alive"] = 1.0
    encoded = hashes_of(states, timeline)
    assert_same(decode_rows(["C-42"], encoded, timeline, TOPICS), states)


@given(st.lists(INSTANTS | st.just(NEVER_US), max_size=5))
def test_due_scores_are_seconds_and_keep_the_microsecond(instants):
    states = States.blank(["c"] * len(instants))
    states.numbers["next_review_us"] = instants
    for score, at in zip(due_scores(states.numbers), instants, strict=True):
        if at == NEVER_US:
            assert score == np.inf
        elif abs(at) < 2**52:  # until the year 2112
            assert round(score * 1e6) == at


def test_times_are_read_to_the_microsecond_and_empty_ones_are_missing():
    assert parse_times(
        ["1970-01-01T00:00:00.000001Z", "", "1969-12-31T00:00:00Z"], -7
    ).tolist() == [
        1,
        -7,
        -US_PER_DAY,
    ]
    assert parse_times([], 0).tolist() == []


@given(
    st.lists(
        st.builds(
            Message,
            topic=st.text(max_size=5),
            key=st.none() | st.binary(max_size=5),
            value=st.none() | st.binary(max_size=300),
            headers=st.lists(
                st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3
            ),
            partition=st.none() | st.integers(0, 2**31 - 1),
            timestamp_ms=st.none() | st.integers(0, 2**62),
        ),
        max_size=4,
    )
)
def test_messages_come_back_from_an_outbox_entry_unchanged(messages):
    packed = pack_messages(messages)
    assert bool(packed) == bool(messages)
    assert unpack_messages(packed) == messages


def test_run_comes_back_after_the_messages_and_its_records_as_they_were():
    run = Run.of("t", 3, 4, Texts.of([b"one", b"", bytes(range(256))]))
    message = Message("t", b"k", b"v", [])
    found = unpack_messages(pack_messages([run, message]))
    assert found == [message, run]
    assert list(found[1].records) == [b"one", b"", bytes(range(256))]
    assert count_records(found) == 4


def test_message_of_all_bytes_is_carried():
    every = bytes(range(256))
    message = Message("t", every, json.dumps({}).encode() + every, [("h", every)])
    assert unpack_messages(pack_messages([message])) == [message]


def test_recent_ids_survive_the_ledger_field():
    recent = RecentIds(3, b"p" * 8, b"c" * 16)
    states = one([(10_000, 9, False)], as_of_us=10_000 * US_PER_DAY, segment=0, lifecycle=0)
    states.numbers["ids_generation"] = recent.generation
    states.ids_previous[0], states.ids_current[0] = recent.previous, recent.current
    assert ledger.unpack_ledger(hashes_of(states)[0]["ledger"])[1] == recent


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1997-01-01T00:00:00.000001Z",
        "0001-01-01T00:00:00.000000Z",
        "-0004-02-29T00:00:00.000000Z",
    ],
)
def test_time_of_one_is_that_of_many(text: str) -> None:
    assert parse_time(text.encode(), NEVER_US) == parse_times([text], NEVER_US)[0]
