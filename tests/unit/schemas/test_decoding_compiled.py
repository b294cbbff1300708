"""What is compiled reads of a record what Python reads, or leaves it to Python."""

from __future__ import annotations

import json
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import decoding
from schemas.decoding import DecodedBatch, DecodingLimits, decode_plainly, decode_transactions
from tests.support.compiled import needs_compiled

needs_compiled()

LIMITS = DecodingLimits()
STAMP_MS = 1_700_000_000_000
PLAIN = {
    "transaction_id": "t-1",
    "customer_id": "C-42",
    "occurred_at": "2023-01-02T03:04:05.678Z",
    "amount": 12.34,
}

DIGITS = st.integers(0, 10**13).map(str)
NUMBERS = st.one_of(
    st.builds("{}{}.{}".format, st.sampled_from(["", "-", "+"]), DIGITS, DIGITS),
    st.builds("{}{}".format, st.sampled_from(["", "-"]), DIGITS),
    st.sampled_from(
        ["0", "-0", "-0.0", "00", "1.", ".5", "1e3", "1E-2", "0x1", "1_0", "NaN", "1.23450"]
    ),
    st.floats(-1e12, 1e12).map(repr),
)
MOMENTS = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.builds(
        "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
        st.integers(0, 9999),
        st.integers(0, 13),
        st.integers(0, 32),
        st.sampled_from(["T", "t", " "]),
        st.integers(0, 24),
        st.integers(0, 60),
        st.integers(0, 61),
        st.sampled_from(["", ".", ".5", ".123456", ".1234567", ",5"]),
        st.sampled_from(["Z", "z", "+00:00", "-00:00", "+02:00", "", "+0000"]),
    ),
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["", "C-42", "a" * 128, "a" * 129, "a b", "\x7f", "é"]
)
VALUES = st.one_of(
    TEXTS.map(json.dumps),
    NUMBERS,
    NUMBERS.map(json.dumps),
    MOMENTS.map(json.dumps),
    st.sampled_from(["null", "true", "[]", "{}", '"USD"', '"EUR"', '"refund"', '"purchase"']),
)
NAMES = st.sampled_from([*PLAIN, "currency", "kind", "channel", "items", "more"])
BLANKS = st.sampled_from(["", "", "", " ", "\t\r\n ", "\x0b", "\x00"])


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Nearly plain ones: some fields other than they were, some twice, some missing."""
    fields = [(name, json.dumps(value)) for name, value in PLAIN.items()]
    fields += draw(st.lists(st.tuples(NAMES, VALUES), max_size=2))
    for name, strategy in (("amount", NUMBERS), ("occurred_at", MOMENTS.map(json.dumps))):
        if draw(st.booleans()):
            fields = [(one, draw(strategy) if one == name else value) for one, value in fields]
    if draw(st.integers(0, 9)) == 0:
        fields.pop(draw(st.integers(0, len(fields) - 1)))
    fields = draw(st.permutations(fields))
    if draw(st.booleans()):
        fields = list(dict(fields).items())
    parts = ",".join(
        f"{draw(BLANKS)}{json.dumps(name)}{draw(BLANKS)}:{draw(BLANKS)}{value}{draw(BLANKS)}"
        for name, value in fields
    )
    whole = f"{draw(BLANKS)}{{{parts}}}{draw(BLANKS)}".encode()
    cut = draw(st.integers(0, 40))
    return whole[:-cut] if 0 < cut < 5 else whole


STAMPS = st.sampled_from([STAMP_MS, STAMP_MS, 0, -1, 1_672_628_645_678 - 3_600_001, 2**62])


def told(batch: DecodedBatch) -> tuple[object, ...]:
    columns = batch.positions, batch.occurred_at_us, batch.amount_units, batch.is_refund
    rejects = [(index, type(error), str(error)) for index, error in batch.rejects]
    return (
        *(column.tolist() for column in columns),
        *(str(column.dtype) for column in columns),
        batch.customer_ids,
        batch.hashes,
        rejects,
    )


@given(st.lists(st.tuples(st.none() | records() | st.binary(max_size=9), STAMPS), max_size=6))
@settings(max_examples=800)
@example([(json.dumps(PLAIN | {"amount": 123456789.1234}).encode(), STAMP_MS)])
@example([(json.dumps(PLAIN | {"occurred_at": "2000-02-29T23:59:59Z"}).encode(), STAMP_MS)])
@example([(json.dumps(PLAIN | {"occurred_at": "0001-01-01T00:00:00Z"}).encode(), STAMP_MS)])
@example([(json.dumps(PLAIN | {"occurred_at": "1969-12-31T23:59:59.9Z"}).encode(), STAMP_MS)])
@example([(json.dumps(PLAIN).encode(), STAMP_MS), (None, 0), (json.dumps(PLAIN).encode(), 1)])
def test_compiled_records_are_those_of_python(given_):
    values, stamps = [value for value, _ in given_], [stamp for _, stamp in given_]
    compiled = decode_transactions(values, stamps, LIMITS)
    assert told(compiled) == told(decode_plainly(values, stamps, LIMITS))


@given(st.integers(-(10**9), 10**9), st.integers(0, 9999), st.booleans())
def test_amounts_are_read_to_the_last_unit(whole, decimals, in_quotes):
    amount = f"{whole}.{decimals:04}"
    text = json.dumps(PLAIN | {"amount": 0.5}).replace(
        "0.5", f'"{amount}"' if in_quotes else amount
    )
    compiled = decode_transactions([text.encode()], [STAMP_MS], LIMITS)
    assert told(compiled) == told(decode_plainly([text.encode()], [STAMP_MS], LIMITS))
    assert compiled.amount_units.tolist() == [abs(int(amount.replace(".", "")))]


def test_an_ordinary_record_needs_no_python(monkeypatch):
    monkeypatch.setattr(decoding, "decode_plainly", None)
    full = PLAIN | {"currency": "USD", "kind": "refund", "channel": "web", "amount": "5"}
    batch = decode_transactions(
        [json.dumps(one).encode() for one in (PLAIN, full)], [STAMP_MS] * 2, LIMITS
    )
    assert batch.customer_ids == ["C-42"] * 2
    assert batch.occurred_at_us.tolist() == [1_672_628_645_678_000] * 2
    assert batch.amount_units.tolist() == [123_400, 50_000]
    assert batch.is_refund.tolist() == [False, True]


@given(st.binary(max_size=128))
def test_compiled_hash_is_that_of_hashlib(text):
    assert decoding._decoding.hash_of(text) == blake2b(text, digest_size=8).digest()


def test_longer_text_is_not_hashed_as_if_it_ended():
    with pytest.raises(ValueError, match="129 bytes are more than 128"):
        decoding._decoding.hash_of(b"x" * 129)


def test_stamps_beyond_what_a_column_holds_are_refused_as_python_refuses_them():
    value = json.dumps(PLAIN).encode()
    for decode in (decode_transactions, decode_plainly):
        with pytest.raises(OverflowError):
            decode([value], [2**63], LIMITS)


def test_no_records_are_an_empty_batch():
    batch = decode_transactions([], [], LIMITS)
    assert told(batch) == told(decode_plainly([], [], LIMITS))
    assert batch.positions.dtype == np.intp
