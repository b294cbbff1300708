"""A dead letter carries why and where beside everything the record had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.dead_letter import HEADER_PREFIX, DeadLetter, original_headers
from schemas.errors import InvalidTransactionError, OversizeRecordError, WrongCurrencyError, shown

LETTER = DeadLetter.of(WrongCurrencyError("currency 'EUR'"), "transactions", 3, 2**40)
HEADERS = st.lists(
    st.tuples(
        st.text(max_size=20).filter(lambda name: not name.startswith(HEADER_PREFIX)),
        st.none() | st.binary(max_size=20),
    ),
    max_size=5,
)


def test_error_is_described_by_class_message_and_position():
    assert LETTER.headers() == [
        ("__everscore.error.class", b"WrongCurrencyError"),
        ("__everscore.error.message", b"currency 'EUR'"),
        ("__everscore.error.topic", b"transactions"),
        ("__everscore.error.partition", b"3"),
        ("__everscore.error.offset", b"1099511627776"),
    ]


@given(HEADERS, st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**63 - 1))
def test_reason_and_original_headers_are_read_back_from_among_each_other(headers, message, offset):
    letter = DeadLetter.of(InvalidTransactionError(message), "transactions.rekeyed", 0, offset)
    carried = [*headers, *letter.headers()]
    assert DeadLetter.from_headers(carried) == letter
    assert original_headers(carried) == headers


def test_message_that_is_no_valid_unicode_still_becomes_a_header():
    letter = DeadLetter.of(InvalidTransactionError("id \ud800"), "transactions", 0, 7)
    assert dict(letter.headers())[HEADER_PREFIX + "message"] == b"id ?"


@pytest.mark.parametrize("missing", range(1, 5))
def test_headers_that_lack_one_of_the_five_are_no_dead_letter(missing):
    headers = LETTER.headers()
    del headers[missing]
    with pytest.raises(ValidationError):
        DeadLetter.from_headers(headers)


def test_headers_that_a_producer_gave_our_names_are_not_taken_for_ours():
    forged = [(HEADER_PREFIX + name, None) for name in ("class", "offset")]
    forged += [(HEADER_PREFIX + "message", b"all is well"), (HEADER_PREFIX + "other", b"\xff")]
    assert DeadLetter.from_headers([*forged, *LETTER.headers()]) == LETTER


def test_headers_of_another_program_are_no_dead_letter():
    with pytest.raises(ValidationError):
        DeadLetter.from_headers([("traceparent", b"00-1-2-01")])


def test_hint_of_an_error_ends_its_message():
    error = OversizeRecordError("record of 9 bytes", hint="Raise the limit.")
    assert DeadLetter.of(error, "t", 0, 0).message == "record of 9 bytes Raise the limit."


def test_long_value_is_shown_cut_with_its_length():
    assert shown("short") == "'short'"
    text = shown("x" * 8_000_000)
    assert len(text) < 200
    assert text.endswith("(8,000,002 characters)")
