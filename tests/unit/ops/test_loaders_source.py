"""What every loader yields: bytes that the worker reads back exactly, and the account of rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from ops.loaders.moments import time_zone, with_offset
from ops.loaders.source import (
    EXAMPLES_MAX,
    LoadReport,
    RawRecord,
    SourceTransaction,
    in_time_order,
)
from schemas.decoding import DecodingLimits, decode_transactions
from schemas.errors import ConfigurationError
from schemas.transaction import parse_transaction

MOMENT = datetime(2011, 7, 1, 9, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("amount", "units", "wire"),
    [
        ("11.77", 117_700, "11.77"),
        ("0.00", 0, "0.00"),
        ("12", 120_000, "12"),
        ("0.0001", 1, "0.0001"),
        ("12.500000", 125_000, "12.500000"),
        ("1E+2", 1_000_000, "1E+2"),
        ("99999999999.9999", 999_999_999_999_999, "99999999999.9999"),
        ("0.00005", 0, '"0.00005"'),
        ("1.23456", 12_346, '"1.23456"'),
    ],
)
def test_payload_carries_the_amount_without_loss(amount: str, units: int, wire: str) -> None:
    raw = SourceTransaction("t-1", "C-1", MOMENT, Decimal(amount)).payload("USD")
    assert f'"amount":{wire},' in raw.decode()
    batch = decode_transactions([raw], [2_000_000_000_000], DecodingLimits())
    assert batch.rejects == []
    assert batch.amount_units.tolist() == [units]
    assert parse_transaction(raw).amount_units == units


def test_payload_is_compact_and_reads_back_as_the_same_transaction() -> None:
    raw = SourceTransaction("t-1", "C-1", MOMENT, Decimal("5.50"), "refund").payload("GBP")
    assert raw == (
        b'{"transaction_id":"t-1","customer_id":"C-1","occurred_at":"2011-07-01T09:30:00+01:00",'
        b'"amount":5.50,"kind":"refund","currency":"GBP"}'
    )
    read = parse_transaction(raw)
    assert (read.transaction_id, read.customer_id, read.currency) == ("t-1", "C-1", "GBP")
    assert read.occurred_at == MOMENT
    assert read.is_refund


def test_payload_without_customer_or_currency_leaves_the_fields_out() -> None:
    raw = SourceTransaction("t-1", None, MOMENT, Decimal(1)).payload(None)
    assert json.loads(raw).keys() == {"transaction_id", "occurred_at", "amount", "kind"}
    batch = decode_transactions([raw], [2_000_000_000_000], DecodingLimits())
    assert "customer_id is missing" in str(batch.rejects[0][1])


def test_amount_beyond_the_contract_goes_as_text_and_is_refused_by_the_worker() -> None:
    raw = SourceTransaction("t-1", "C-1", MOMENT, Decimal("1E+30")).payload("USD")
    assert b'"amount":"1E+30"' in raw
    batch = decode_transactions([raw], [2_000_000_000_000], DecodingLimits())
    assert "beyond" in str(batch.rejects[0][1])


def test_raw_record_gives_its_bytes_untouched() -> None:
    assert RawRecord(None, MOMENT, b"\x00 not json").payload("USD") == b"\x00 not json"


def test_time_order_is_by_instant_and_keeps_file_order_of_equal_times() -> None:
    noon = datetime(2011, 7, 1, 12, tzinfo=UTC)
    same = noon.astimezone(timezone(timedelta(hours=-3)))
    moments = [noon, same, noon - timedelta(hours=1), noon + timedelta(hours=1), noon]
    records = [SourceTransaction(str(i), "C", m, Decimal(1)) for i, m in enumerate(moments)]
    report = LoadReport()
    ordered = [record.transaction_id for record in in_time_order(records, report)]
    assert ordered == ["2", "0", "1", "4", "3"]
    assert (report.first_at, report.last_at) == (moments[2], moments[3])


def test_report_keeps_only_the_first_examples() -> None:
    report = LoadReport()
    for number in range(EXAMPLES_MAX + 3):
        report.give_example(str(number))
    assert report.examples == [str(number) for number in range(EXAMPLES_MAX)]


def test_clock_change_keeps_order_of_instants() -> None:
    london = ZoneInfo("Europe/London")
    # 01:30 on that day is leapt over: read as if the clocks had not moved yet, 01:30 UTC.
    leapt = datetime.fromisoformat("2011-03-27T01:30")
    later = datetime.fromisoformat("2011-03-27T02:10")
    assert with_offset(leapt, london).isoformat() == "2011-03-27T01:30:00+00:00"
    assert with_offset(later, london) < with_offset(leapt, london)
    repeated = with_offset(datetime.fromisoformat("2011-10-30T01:30"), london)
    assert repeated.isoformat() == "2011-10-30T01:30:00+01:00"


def test_aware_time_keeps_its_instant() -> None:
    moment = datetime(2011, 7, 1, 12, tzinfo=UTC)
    placed = with_offset(moment, ZoneInfo("Europe/London"))
    assert placed == moment
    assert placed.utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", ""])
def test_unknown_time_zone_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(ConfigurationError, match="IANA name") as caught:
        time_zone(name)
    assert repr(name) in str(caught.value)
