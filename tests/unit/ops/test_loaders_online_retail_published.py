"""The published UCI file against sums made by pandas alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.loaders.online_retail import (
    BAD_DEBT,
    FEE,
    FEE_CODES,
    WRITE_OFF,
    ZERO_VALUE,
    load_online_retail,
)
from ops.loaders.source import MISSING_CUSTOMER, LoadReport, SourceTransaction

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "online_retail.parquet"


def load(**options: Any) -> tuple[list[SourceTransaction], LoadReport]:
    report = LoadReport()
    transactions = list(load_online_retail([PUBLISHED], report=report, **options))
    assert report.rows_read == report.rows_used + report.rows_skipped
    return transactions, report


@pytest.fixture(scope="module")
def published() -> Any:
    if not PUBLISHED.is_file():
        pytest.skip("the UCI file is not in a shared/data folder beside the checkout")
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    return pandas.read_parquet(PUBLISHED)


def test_published_file_agrees_with_an_independent_sum(published: Any) -> None:
    frame = published
    frame = frame[~frame.InvoiceNo.str.startswith("A") & ~frame.StockCode.isin(FEE_CODES)]
    frame = frame[(frame.Quantity > 0) | frame.InvoiceNo.str.startswith("C")]
    frame = frame[frame.CustomerID.notna()]
    # In thousandths, the finest price in the file.
    mills = (frame.UnitPrice * 1000).round().astype("int64") * frame.Quantity
    frame = frame.assign(mills=mills, customer=frame.CustomerID.astype("int64").astype(str))
    invoices = frame.groupby("InvoiceNo").agg(
        mills=("mills", "sum"), first=("InvoiceDate", "min"), customer=("customer", "first")
    )
    invoices = invoices[invoices.mills != 0]
    expected = {
        number: (row.customer, row.first.to_pydatetime(), int(row.mills))
        for number, row in invoices.iterrows()
    }
    transactions, report = load()
    found = {
        t.transaction_id: (
            t.customer_id,
            t.occurred_at.replace(tzinfo=None),
            int(t.amount * 1000) * (-1 if t.kind == "refund" else 1),
        )
        for t in transactions
    }
    assert found == expected
    assert len(transactions) == len(found)
    assert all((t.kind == "refund") == (t.transaction_id[0] == "C") for t in transactions)
    assert report.rows_read == len(published) == 541_909
    assert report.missing_customer_rows == published.CustomerID.isna().sum() == 135_080
    assert report.skipped == {
        MISSING_CUSTOMER: 133_682,
        WRITE_OFF: 1_336,
        FEE: 87,
        ZERO_VALUE: 7,
        BAD_DEBT: 3,
    }
    assert (report.purchases, report.refunds) == (18_521, 3_638)


def test_published_file_as_dead_letters_leaves_out_no_priced_sale(published: Any) -> None:
    transactions, report = load(missing_customer="dead-letter")
    named = [t for t in transactions if t.customer_id is not None]
    assert (len(named), report.expected_dead_letters) == (22_159, 1_550)
    taken = sum(t.amount for t in transactions if t.kind == "purchase")
    given = sum(t.amount for t in transactions if t.kind == "refund")
    frame = published
    fees = frame[frame.StockCode.isin(FEE_CODES)]
    left_out = round(float((fees.Quantity * fees.UnitPrice).sum()), 3)
    total = round(float((frame.Quantity * frame.UnitPrice).sum()), 3)
    assert float(taken - given) == pytest.approx(total - left_out, abs=1e-3)
