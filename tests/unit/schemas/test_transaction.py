"""Transactions: the hot path says what the model says, and everything bad has a reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import decoding
from schemas.decoding import (
    TIMESTAMP_MS_MAX,
    DecodingLimits,
    decode_transactions,
    transaction_hash,
)
from schemas.errors import (
    FutureTransactionError,
    InvalidTimestampError,
    InvalidTransactionError,
    OversizeRecordError,
    WrongCurrencyError,
)
from schemas.transaction import AMOUNT_MAJOR_MAX, Transaction, is_customer_id, parse_transaction

LIMITS = DecodingLimits()
FAR_MS = TIMESTAMP_MS_MAX  # a record's timestamp in the year 9999: nothing is in its future
NOW_MS = 1_577_836_800_000  # 2020-01-01
GOOD = {
    "transaction_id": '"t-1"',
    "customer_id": '"C-42"',
    "occurred_at": '"2020-01-01T00:00:00Z"',
    "amount": "11.77",
}


def raw(**fields: str) -> bytes:
    """A record, its fields given as JSON text."""
    found = GOOD | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in found.items()) + "}").encode()


def decoded(value, timestamp_ms=FAR_MS, limits=LIMITS):
    """What the batch decoder makes of one record: its row, or its error."""
    batch = decode_transactions([value], [timestamp_ms], limits)
    if batch.rejects:
        assert len(batch.positions) == 0
        return batch.rejects[0][1]
    return (
        batch.customer_ids[0],
        batch.hashes[0],
        int(batch.occurred_at_us[0]),
        int(batch.amount_units[0]),
        bool(batch.is_refund[0]),
    )


def by_model(value):
    try:
        transaction = parse_transaction(value)
    except InvalidTransactionError as error:
        return error
    if transaction.currency not in (None, LIMITS.currency):
        return WrongCurrencyError(f"currency {transaction.currency!r} is not the configured 'USD'")
    return (
        transaction.customer_id,
        transaction_hash(transaction.transaction_id),
        transaction.occurred_at_us,
        transaction.amount_units,
        transaction.is_refund,
    )


def one_of(*texts: str):
    return st.sampled_from(texts)


STRINGS = st.text(max_size=8).map(json.dumps)
ODD = one_of("null", "true", "5", "-1.5", "[]", "{}", '""', '"NaN"', "NaN", "Infinity", '"\\u0000"')
IDS = st.one_of(
    st.text("abcXYZ019-_.:@/é日", min_size=1, max_size=12).map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=130).map(json.dumps),
    st.integers(126, 130).map(lambda size: json.dumps("x" * size)),
)
TIMES = st.one_of(
    st.datetimes(timezones=st.timezones()).map(lambda moment: json.dumps(moment.isoformat())),
    st.builds(
        '"2020-0{}-1{}{}12:34:5{}{}{}"'.format,
        st.integers(1, 9),
        st.integers(0, 9),
        one_of("T", "t", " ", "_", ""),
        st.integers(0, 9),
        st.one_of(st.just(""), st.from_regex(r"\A[.,][0-9]{1,12}\Z")),
        one_of("Z", "z", "", "+05:30", "-0330", "+24:00", "+01", " Z"),
    ),
    one_of(
        '"0001-01-01T00:00:00+14:00"',
        '"0001-01-01T00:00:00Z"',
        '"9999-12-31T23:59:59-01:00"',
        '"9999-12-31T23:59:59.9999999Z"',
        '"2020-02-30T00:00:00Z"',
        '"2020-12-31T23:59:60Z"',
        '"1577836800"',
        "1577836800",
    ),
)
AMOUNTS = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**11) - 1, 10**11 + 1, places=5).map(str),
    st.decimals(-(10**11), 10**11, places=4).map(lambda amount: json.dumps(str(amount))),
    st.integers(-(10**7), 10**7).map(lambda halves: str(Decimal(halves) / 20_000)),  # ties
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.from_regex(r"\A\"-?[0-9]{1,12}(\.[0-9]{0,8})?([eE][+-]?[0-9]{1,3})?\"\Z"),
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "sku": st.one_of(st.text(max_size=3), st.none()),
            "quantity": st.one_of(
                st.integers(-5, 5), st.floats(-5, 5), st.just("2"), st.booleans()
            ),
            "unit_price": st.floats(-5, 5),
        }
    ),
    max_size=2,
).map(json.dumps)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)


def mostly(strategy):
    """A field's values, now and then something odd."""
    return st.one_of(strategy, strategy, strategy, strategy, strategy, ODD)


PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "transaction_id": mostly(st.one_of(STRINGS, IDS)),
        "customer_id": mostly(IDS),
        "occurred_at": mostly(TIMES),
        "amount": mostly(AMOUNTS),
        "currency": mostly(one_of('"USD"', '"USD"', '"EUR"', '"usd"', '"US"', "null")),
        "kind": mostly(one_of('"purchase"', '"refund"', '"gift"')),
        "items": mostly(ITEMS),
        "channel": mostly(STRINGS),
        "unknown": ANYTHING,
    },
)


@given(PAYLOADS)
@settings(max_examples=600)
@example({"amount": "0.00005"})
@example({"amount": "0.00015"})
@example({"amount": "-0.0"})
@example({"amount": "1e11"})
@example({"amount": "99999999999.99995"})
@example({"amount": "100000000000.00001"})
@example({"amount": '"-0.0"'})
@example({"amount": '"0.00005"'})
@example({"amount": '"007.5"'})
@example({"amount": '"1e3"'})
@example({"amount": '"999999999.9999"'})
@example({"amount": '"-1234567890.1234"'})
@example({"amount": '"1.5\\n"'})
@example({"occurred_at": '"2020-01-01T00:00:00.1234567Z"'})
@example({"occurred_at": '"2020-01-01T23:59:59.9999999Z"'})
def test_hot_path_says_what_the_model_says(fields):
    value = raw(**fields)
    fast, slow = decoded(value), by_model(value)
    if isinstance(slow, InvalidTransactionError):
        assert type(fast) is type(slow)
        assert str(fast) == str(slow)
    else:
        assert fast == slow


@given(st.integers(-AMOUNT_MAJOR_MAX * 10_000, AMOUNT_MAJOR_MAX * 10_000))
def test_amount_with_four_decimals_is_exact_as_number_and_as_string(units):
    text = str(Decimal(units).scaleb(-4))
    rows = {decoded(raw(amount=text))[3:], decoded(raw(amount=json.dumps(text)))[3:]}
    assert rows == {(abs(units), units < 0)}


@given(st.decimals(0, 10_000, places=5))
def test_amount_with_more_decimals_is_rounded_half_even(amount):
    expected = int((amount * 10_000).to_integral_value(rounding=ROUND_HALF_EVEN))
    assert decoded(raw(amount=str(amount)))[3] == expected


def test_ordinary_record_never_reaches_the_model(monkeypatch):
    monkeypatch.setattr(decoding, "parse_transaction", None)
    items = '[{"sku":"a","quantity":2,"unit_price":1.5}]'
    for value in (
        raw(),
        raw(amount="-5", kind='"refund"', currency='"USD"', channel='"web"', items=items),
        raw(amount='"11.77"'),
        raw(amount='"-0.5"', kind='"refund"'),
        raw(customer_id='"Zoë"', unknown='{"a":[1]}'),
        raw(occurred_at='"2020-01-01T12:00:00.123456+05:30"'),
    ):
        assert isinstance(decoded(value), tuple)


def test_negative_amount_or_kind_refund_is_a_refund_of_the_absolute_amount():
    assert decoded(raw(amount="-5"))[3:] == (50_000, True)
    assert decoded(raw(amount="5", kind='"refund"'))[3:] == (50_000, True)
    assert decoded(raw(amount="-5", kind='"refund"'))[3:] == (50_000, True)
    assert decoded(raw(amount="5"))[3:] == (50_000, False)


BAD = {
    "malformed": (b'{"transaction_id": "t-1",', "t-1"),
    "empty": (b"", "b''"),
    "not an object": (b"[1, 2]", "[1, 2]"),
    "NUL": (b"\x00", "\\x00"),
    "two records in one": (raw() + raw(), "trailing characters"),
    "invalid UTF-8 in a field": (raw().replace(b"C-42", b"C-\xff"), "\\xff"),
    "invalid UTF-8 in an unknown field": (raw(note='"?"').replace(b"?", b"\xff"), "\\xff"),
    "lone surrogate": (raw(customer_id='"\\ud800"'), "ud800"),
    "deep nesting": (b"[" * 200_000, "nested 200,000 deep; 200 is the limit"),
    "deep nesting in an unknown field": (raw(note="[" * 200 + "]" * 200), "nested 201 deep"),
    "deep nesting of objects": (raw(note='{"a":' * 200 + "1" + "}" * 200), "nested 201 deep"),
    "no transaction_id": (b'{"customer_id":"c"}', "transaction_id is missing"),
    "NaN": (raw(amount="NaN"), '"amount":NaN}\'; JSON has no NaN or Infinity'),
    "NaN in an unknown field": (raw(note="[NaN]"), '"note":[NaN]}\'; JSON has no NaN'),
    "NaN in an unknown field of a record that only the model reads": (
        raw(amount='"1"', note="NaN"),
        '"note":NaN}\'; JSON has no NaN',
    ),
    "NaN as string": (raw(amount='"NaN"'), "amount 'NaN' is not finite"),
    "infinity": (raw(amount="Infinity"), '"amount":Infinity}\'; JSON has no NaN or Infinity'),
    "negative infinity": (raw(amount="-Infinity"), '"amount":-Infinity}'),
    "number beyond a float": (raw(amount="1e999"), "amount b'1e999': Number out of range"),
    "amount a boolean": (raw(amount="true"), "amount True"),
    "amount null": (raw(amount="null"), "amount None"),
    "amount a word": (raw(amount='"ten"'), "amount 'ten'"),
    "amount a list": (raw(amount="[1]"), "amount [1]"),
    "amount beyond the limit": (raw(amount="100000000001"), "amount 100000000001 is beyond"),
    "huge decimal": (raw(amount='"' + "9" * 5000 + '"'), "(5,002 characters) is beyond"),
    "huge integer": (raw(amount="9" * 5000), "99999"),
    "huge exponent": (raw(amount='"1e99999999999999999999"'), "amount '1e99999999999999999999'"),
    "id with newline and braces": (raw(customer_id='"a\\nb{c}"'), r"customer_id 'a\nb{c}'"),
    "id with NUL": (raw(customer_id='"a\\u0000b"'), r"customer_id 'a\x00b'"),
    "id with a space": (raw(customer_id='"a b"'), "customer_id 'a b'"),
    "id with a no-break space": (raw(customer_id='"a\\u00a0b"'), "customer_id"),
    "id with an asterisk": (raw(customer_id='"a*"'), "customer_id 'a*'"),
    "id with a bidirectional mark": (raw(customer_id='"a\\u202eb"'), r"customer_id 'a\u202eb'"),
    "id empty": (raw(customer_id='""'), "customer_id ''"),
    "id of 129 characters": (raw(customer_id=f'"{"x" * 129}"'), "(131 characters)"),
    "id a number": (raw(customer_id="42"), "customer_id 42"),
    "transaction id empty": (raw(transaction_id='""'), "transaction_id ''"),
    "transaction id too long": (raw(transaction_id=f'"{"x" * 129}"'), "transaction_id 'xxx"),
    "time an epoch number": (raw(occurred_at="1577836800"), "occurred_at 1577836800"),
    "time an epoch string": (raw(occurred_at='"1577836800.5"'), "occurred_at '1577836800.5'"),
    "time a boolean": (raw(occurred_at="true"), "occurred_at True"),
    "time without offset": (raw(occurred_at='"2020-01-01T00:00:00"'), "'2020-01-01T00:00:00'"),
    "time a date": (raw(occurred_at='"2020-01-01"'), "'2020-01-01'"),
    "time with a comma": (
        raw(occurred_at='"2020-01-01T00:00:00,5Z"'),
        "00:00:00,5Z' must be an RFC 3339",
    ),
    "time without seconds": (raw(occurred_at='"2020-01-01T00:00Z"'), "'2020-01-01T00:00Z'"),
    "time with an underscore": (raw(occurred_at='"2020-01-01_00:00:00Z"'), "_00:00:00Z'"),
    "time with a minus of typography": (
        raw(occurred_at='"2020-01-01T00:00:00\u221201:00"'),
        "RFC 3339",
    ),
    "time that rounds up to the year 10000": (
        raw(occurred_at='"9999-12-31T23:59:59.9999999Z"'),
        "59.9999999Z'",
    ),
    "time of a day that is not": (raw(occurred_at='"2020-02-30T00:00:00Z"'), "2020-02-30"),
    "time after the year 9999 in UTC": (
        raw(occurred_at='"9999-12-31T23:59:59-01:00"'),
        "9999-12-31T23:59:59-01:00",
    ),
    "time before the year 1 in UTC": (
        raw(occurred_at='"0001-01-01T00:00:00+14:00"'),
        "0001-01-01T00:00:00+14:00",
    ),
    "kind unknown": (raw(kind='"gift"'), "kind 'gift'"),
    "currency no code": (raw(currency='"usd"'), "currency 'usd'"),
    "items no list": (raw(items="5"), "items 5"),
    "half a million bad items": (raw(items="[" + "0," * 500_000 + "0]"), "items.0 0:"),
    "item's quantity a word": (
        raw(items='[{"sku":"a","quantity":" 1 ","unit_price":1}]'),
        "quantity ' 1 ' is not a decimal number",
    ),
    "item's price without end": (
        raw(items='[{"sku":"a","quantity":1,"unit_price":1e999}]'),
        "Number out of range",
    ),
    "item without price": (
        raw(items='[{"sku":"a","quantity":1}]'),
        "items.0.unit_price is missing",
    ),
    "duplicate key, the last one bad": (raw().replace(b"}", b',"amount":true}'), "amount True"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_record_is_refused_with_a_reason_that_names_the_value(name):
    value, named = BAD[name]
    error = decoded(value)
    assert type(error) is InvalidTransactionError
    assert named in str(error)
    assert len(str(error)) < 1_000
    assert "\n" not in str(error)
    assert not error.retriable


def test_tombstone_is_refused():
    assert "tombstone" in str(decoded(None))


def test_wrong_currency_is_refused_with_both_currencies():
    error = decoded(raw(currency='"EUR"'))
    assert type(error) is WrongCurrencyError
    assert str(error) == "currency 'EUR' is not the configured 'USD'"
    assert isinstance(decoded(raw(currency='"EUR"'), limits=DecodingLimits(currency="EUR")), tuple)


def test_record_of_8_megabytes_is_refused_unread():
    value = raw(note='"' + "x" * 8_000_000 + '"')
    error = decoded(value)
    assert type(error) is OversizeRecordError
    assert f"{len(value):,} bytes" in str(error)
    assert "1,048,576" in str(error)


def test_record_is_oversize_only_beyond_the_limit():
    value = raw()
    assert isinstance(decoded(value, limits=DecodingLimits(record_bytes_max=len(value))), tuple)
    error = decoded(value, limits=DecodingLimits(record_bytes_max=len(value) - 1))
    assert type(error) is OversizeRecordError


def test_year_9999_is_refused_with_both_times():
    error = decoded(raw(occurred_at='"9999-12-31T23:59:59Z"'), NOW_MS)
    assert type(error) is FutureTransactionError
    assert "9999-12-31T23:59:59+00:00" in str(error)
    assert "2020-01-01T00:00:00.000+00:00" in str(error)


def test_transaction_may_lie_one_hour_ahead_of_its_record_and_no_more():
    assert isinstance(decoded(raw(occurred_at='"2020-01-01T01:00:00Z"'), NOW_MS), tuple)
    error = decoded(raw(occurred_at='"2020-01-01T01:00:00.000001Z"'), NOW_MS)
    assert type(error) is FutureTransactionError


def test_record_without_a_timestamp_is_refused_with_a_reason():
    for value in (raw(), raw(occurred_at='"1969-12-31T23:59:59Z"')):
        error = decoded(value, -1)
        assert type(error) is InvalidTimestampError
        assert str(error) == "the record has no timestamp (−1)"


@pytest.mark.parametrize(
    "stamp",
    [NOW_MS * 1000, NOW_MS * 1_000_000, TIMESTAMP_MS_MAX + 1, 2**63 - 1, -2, -(2**63)],
    ids=["in microseconds", "in nanoseconds", "year 10000", "largest", "minus two", "smallest"],
)
def test_record_whose_timestamp_is_no_time_in_milliseconds_is_refused_and_it_is_named(stamp):
    error = decoded(raw(), stamp)
    assert type(error) is InvalidTimestampError
    assert f"timestamp {stamp} " in str(error)
    assert "milliseconds" in str(error)


def test_record_stamped_in_seconds_is_refused_as_of_1970():
    error = decoded(raw(), NOW_MS // 1000)
    assert type(error) is FutureTransactionError
    assert "1970-01-19" in str(error)


def test_first_and_last_millisecond_are_timestamps():
    assert isinstance(decoded(raw(), TIMESTAMP_MS_MAX), tuple)
    assert isinstance(decoded(raw(occurred_at='"1970-01-01T01:00:00Z"'), 0), tuple)


def test_brackets_that_nest_no_deeper_than_the_limit_are_counted():
    for note in (
        "[" * 199 + "]" * 199,
        '{"a":' * 199 + "1" + "}" * 199,
        "[" + "[]," * 5_000 + "{}]",
        '"' + "[" * 5_000 + '"',
        '"' + '\\"[' * 5_000 + '"',
    ):
        assert isinstance(decoded(raw(note=note)), tuple), note[:20]
        assert isinstance(decoded(raw(note=note, amount='"1"')), tuple), note[:20]


def test_number_of_too_many_digits_is_refused_wherever_it_stands_and_digits_of_a_string_are_not():
    for amount in ("1", '"1"'):
        for number in ("9" * 4_301, "0." + "1" * 4_299, "1" + "0" * 99_999 + "e-99999"):
            error = decoded(raw(note=number, amount=amount))
            assert f"a number of {len(number):,} characters" in str(error)
            assert isinstance(decoded(raw(note=f'"{number}"', amount=amount)), tuple)
        assert isinstance(decoded(raw(note="9" * 4_300, amount=amount)), tuple)
    assert isinstance(decoded(raw(note="[" + "1," * 9_000 + "1]")), tuple)


def test_value_that_a_later_one_of_the_same_name_replaces_may_be_of_any_kind():
    for first in ("1e999", "9" * 4_300, "true", '"x"', "[[]]"):
        value = raw().replace(b"{", b'{"amount":' + first.encode() + b",", 1)
        assert decoded(value)[3] == 117_700


def test_duplicate_key_counts_as_its_last_value():
    doubled = raw().replace(b"}", b',"amount":2,"customer_id":"D"}')
    assert decoded(doubled) == by_model(doubled)
    assert decoded(doubled)[0] == "D"
    assert decoded(doubled)[3] == 20_000


def test_long_decimals_are_counted():
    assert decoded(raw(amount='"0.' + "1" * 100_000 + '"'))[3] == 1111
    assert decoded(raw(amount="0." + "9" * 4_000))[3] == 10_000
    assert decoded(raw(amount='"1e-999999999"'))[3] == 0


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        ("0.00005", 0),
        ("0.00005000000000000000000000000000000000001", 1),
        ("0.00015", 2),
        ("99999999999.99985", 999_999_999_999_998),
        ("99999999999.999850000000000000000000000000001", 999_999_999_999_999),
        ("100000000000", 1_000_000_000_000_000),
    ],
)
def test_decimal_string_is_rounded_once_from_all_its_digits(amount, units):
    assert decoded(raw(amount=json.dumps(amount)))[3] == units


def test_decimal_string_a_trifle_beyond_the_limit_is_refused():
    error = decoded(raw(amount='"100000000000.00000000000000000000000000001"'))
    assert "is beyond ±100,000,000,000" in str(error)


def test_good_records_keep_their_order_around_bad_ones():
    values = [raw(customer_id='"a"'), b"?", raw(customer_id='"b"'), None, raw(customer_id='"c"')]
    batch = decode_transactions(values, [FAR_MS] * 5, LIMITS)
    assert batch.positions.tolist() == [0, 2, 4]
    assert batch.customer_ids == ["a", "b", "c"]
    assert [index for index, _ in batch.rejects] == [1, 3]


def test_empty_batch_gives_empty_columns():
    batch = decode_transactions([], [], LIMITS)
    assert len(batch.positions) == len(batch.occurred_at_us) == len(batch.rejects) == 0


@given(st.text(max_size=130))
@settings(max_examples=300)
def test_customer_id_is_what_the_published_pattern_and_the_model_say(text):
    try:
        Transaction(transaction_id="t", customer_id=text, occurred_at=datetime.now(UTC), amount=1)
    except ValueError:
        assert not is_customer_id(text)
    else:
        assert is_customer_id(text)


@pytest.mark.parametrize(
    "text", ["C-42", "a@b.example", "00042", "Zoë", "日本", "a:b/c#d,e;f|g&h=i%"]
)
def test_ordinary_ids_are_customer_ids(text):
    assert is_customer_id(text)


@pytest.mark.parametrize(
    "character", [*"\t\n\r\0\x1b\x7f\x85\xa0 {}*?[]\\\"'`<>", "\u2028", "\ud800"]
)
def test_character_that_means_something_elsewhere_is_in_no_customer_id(character):
    assert not is_customer_id(f"a{character}b")
    assert not is_customer_id(f"a{character}")


def test_transaction_hash_is_eight_bytes_and_differs_by_id():
    hashes = {transaction_hash(text) for text in ("", "a", "A", "é", "\ud800", "x" * 10_000)}
    assert len(hashes) == 6
    assert {len(found) for found in hashes} == {8}


@pytest.mark.parametrize("amount", ["1_000", " 1 ", "٣", "1.", ".5", "0x10", "1e", ""])
def test_text_that_only_python_reads_as_a_decimal_is_refused_and_named(amount):
    value = json.dumps(
        {
            "transaction_id": "t",
            "customer_id": "c",
            "occurred_at": "2026-01-05T10:00:00Z",
            "amount": amount,
        },
        ensure_ascii=False,
    ).encode()
    with pytest.raises(InvalidTransactionError) as refused:
        parse_transaction(value)
    assert repr(amount) in str(refused.value)


@pytest.mark.parametrize("text", ["a\\nb", "\\n", "a\\n", "\\nb", "a\\n\\nb", "a b", "a*"])
def test_bad_customer_id_is_refused_whoever_its_neighbours_are(text):
    values = [raw(), raw(customer_id=f'"{text}"'), raw(customer_id='"C-43"')]
    for some in (values, values[1:], values[:2], values[1:2]):
        batch = decode_transactions(some, [FAR_MS] * len(some), LIMITS)
        assert [index for index, _ in batch.rejects] == [some.index(values[1])]
        assert batch.customer_ids == [name for name in ("C-42", "C-43") if name in str(some)]
