"""Three olist files joined."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ops.loaders.olist import FILE_NAMES, NO_PAYMENT, STRAY_PAYMENTS, load_olist
from ops.loaders.source import MISSING_CUSTOMER, LoadReport, SourceTransaction
from schemas.errors import SourceFileError

CUSTOMERS = """"customer_id","customer_unique_id","customer_zip_code_prefix","customer_city"
"c1","anna","14409","franca"
"c2","anna","14409","franca"
"c3","bruno","09790","sao paulo"
"c4","bruno","09790","sao paulo"
"""
ORDERS = """"order_id","customer_id","order_status","order_purchase_timestamp","order_approved_at"
"o2","c2","delivered","2018-01-15 23:30:00",""
"o1","c1","shipped","2017-10-02 10:56:33","2017-10-02 11:07:15"
"o3","c3","canceled","2017-10-03 00:00:00",""
"o4","c4","unavailable","2017-10-03 00:00:00",""
"o5","c3","delivered","2017-10-03 00:00:00",""
"o6","c9","delivered","2017-12-03 00:00:00",""
"o7","c4","delivered","2017-10-03 00:00:00",""
"""
PAYMENTS = """"order_id","payment_sequential","payment_type","payment_installments","payment_value"
"o1",1,"voucher",1,"18.12"
"o1",2,"credit_card",3,20.59
"o2",1,"boleto",1,99.33
"o3",1,"credit_card",1,10.00
"o6",1,"credit_card",1,7.00
"o7",1,"voucher",1,0.00
"o99",1,"voucher",1,5.00
"""


def write(folder: Path, **changed: str) -> Path:
    texts = {"customers": CUSTOMERS, "orders": ORDERS, "payments": PAYMENTS} | changed
    for name, text in zip(FILE_NAMES, texts.values(), strict=True):
        (folder / name).write_text(text, encoding="utf-8-sig")
    return folder


def load(paths: list[Path], **options: Any) -> tuple[list[SourceTransaction], LoadReport]:
    report = LoadReport()
    transactions = list(load_olist(paths, report=report, **options))
    assert report.rows_read == report.rows_used + report.rows_skipped
    assert report.records == len(transactions)
    return transactions, report


def test_orders_are_joined_with_people_and_payments(tmp_path: Path) -> None:
    transactions, report = load([write(tmp_path)])
    assert [
        (t.transaction_id, t.customer_id, t.occurred_at.isoformat(), t.amount, t.kind)
        for t in transactions
    ] == [
        ("o1", "anna", "2017-10-02T10:56:33-03:00", Decimal("38.71"), "purchase"),
        ("o7", "bruno", "2017-10-03T00:00:00-03:00", Decimal("0.00"), "purchase"),
        # Summer time: this is already the 16th by UTC.
        ("o2", "anna", "2018-01-15T23:30:00-02:00", Decimal("99.33"), "purchase"),
    ]
    assert report.rows_read == 7
    assert report.skipped == {
        "order canceled": 1,
        "order unavailable": 1,
        NO_PAYMENT: 1,
        MISSING_CUSTOMER: 1,
    }
    assert report.also_read == {"customers": 4, "payments": 7, STRAY_PAYMENTS: 1}
    assert report.missing_customer_rows == 1


def test_order_without_customer_can_be_dead_lettered(tmp_path: Path) -> None:
    transactions, report = load([write(tmp_path)], missing_customer="dead-letter")
    assert [t.transaction_id for t in transactions if t.customer_id is None] == ["o6"]
    assert report.expected_dead_letters == 1


def test_files_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    write(tmp_path)
    renamed = []
    for number, name in enumerate(reversed(FILE_NAMES)):
        renamed.append((tmp_path / name).rename(tmp_path / f"{number}.csv"))
    assert load(renamed)[1].transactions == 3


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    paths = [tmp_path / name for name in FILE_NAMES]
    with pytest.raises(SourceFileError, match="three files, 2 were given"):
        load(paths[:2])
    with pytest.raises(SourceFileError, match="three files, 0 were given"):
        load([])
    with pytest.raises(SourceFileError, match="one of them twice"):
        load([*paths, paths[0]])
    stranger = tmp_path / "sellers.csv"
    stranger.write_text("seller_id,seller_city\n")
    with pytest.raises(SourceFileError, match=r"sellers\.csv is not one of .*'seller_city'"):
        load([stranger, *paths])
    paths[1].unlink()
    with pytest.raises(SourceFileError, match=FILE_NAMES[1]):
        load([tmp_path])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"payments": PAYMENTS.replace("99.33", "")}, "row 4: payment_value ''"),
        ({"payments": PAYMENTS.replace("99.33", "NaN")}, "row 4: payment_value 'NaN'"),
        ({"payments": PAYMENTS.replace("99.33", "-1")}, "row 4: payment_value '-1'"),
        (
            {"orders": ORDERS.replace("2018-01-15 23:30:00", "15/01/2018")},
            "row 2: order_purchase_timestamp '15/01/2018'",
        ),
    ],
)
def test_damaged_cell_is_named(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(SourceFileError, match=message):
        load([write(tmp_path, **changed)])
