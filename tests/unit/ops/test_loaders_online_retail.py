"""Invoice lines added up to transactions: small files of each kind."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ops.loaders.online_retail import (
    BAD_DEBT,
    COLUMNS,
    FEE,
    REFUND_TAKES_MONEY,
    WRITE_OFF,
    ZERO_VALUE,
    load_online_retail,
)
from ops.loaders.source import MISSING_CUSTOMER, LoadReport, SourceTransaction
from schemas.errors import SourceFileError

HEADER = (
    "InvoiceNo", "StockCode", "Description", "Quantity",
    "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def line(
    invoice: str, code: str, quantity: int, moment: str, price: float, customer: float | None
) -> tuple[Any, ...]:
    return (invoice, code, "THING, BLUE £", quantity, at(moment), price, customer, "France")


LINES = [
    line("536366", "22633", 6, "2011-07-01 09:01", 1.85, 17850.0),
    line("536365", "85123A", 6, "2010-12-01 08:27", 2.55, 17850.0),
    line("536365", "85123A", 6, "2010-12-01 08:26", 2.55, 17850.0),  # same again: kept
    line("536365", "POST", 1, "2010-12-01 08:26", 18.0, 17850.0),
    line("C536379", "D", -1, "2010-12-01 09:41", 27.5, 14527.0),
    line("A563185", "B", 1, "2011-08-12 14:50", 11062.06, None),
    line("536589", "21777", -10, "2010-12-01 16:50", 0.0, None),  # stock write-off
    line("536544", "21773", 1, "2010-12-01 14:32", 2.51, None),
    line("536544", "21774", 2, "2010-12-01 14:32", 5.06, None),
    line("537032", "21275", 12, "2010-12-03 16:50", 0.0, 12647.0),  # a free gift
    line("541505", "BANK CHARGES", 1, "2011-01-18 15:58", 15.0, 15939.0),
    line("C536800", "22633", 1, "2010-12-02 10:00", 3.0, 15939.0),  # takes money
]


def write_csv(
    path: Path, lines: list[tuple[Any, ...]], time_format: str = "%Y-%m-%d %H:%M"
) -> Path:
    with path.open("w", newline="", encoding="latin-1") as handle:
        writer = csv.writer(handle)
        writer.writerow(HEADER)
        for row in lines:
            writer.writerow([*row[:4], row[4].strftime(time_format), *row[5:]])
    return path


def write_xlsx(path: Path, lines: list[tuple[Any, ...]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.append(HEADER)
    for row in lines:
        number = int(row[0]) if row[0].isdigit() else row[0]  # as Excel stores them
        sheet.append([number, int(row[1]) if row[1].isdigit() else row[1], *row[2:]])
    workbook.create_sheet("Notes").append(["nothing to see"])
    workbook.save(path)
    workbook.close()
    return path


def write_parquet(path: Path, lines: list[tuple[Any, ...]], unit: str = "us") -> Path:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = dict(zip(HEADER, map(list, zip(*lines, strict=True)), strict=True))
    columns["InvoiceDate"] = arrow.array(columns["InvoiceDate"], type=arrow.timestamp(unit))
    parquet.write_table(arrow.table(columns), path)
    return path


def write(path: Path, lines: list[tuple[Any, ...]]) -> Path:
    writers = {".csv": write_csv, ".xlsx": write_xlsx, ".parquet": write_parquet}
    return writers[path.suffix](path, lines)


def load(*paths: Path, **options: Any) -> tuple[list[SourceTransaction], LoadReport]:
    report = LoadReport()
    transactions = list(load_online_retail(paths, report=report, **options))
    assert report.rows_read == report.rows_used + report.rows_skipped
    assert report.records == len(transactions)
    return transactions, report


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_lines_are_added_up_to_invoices_whatever_the_file(tmp_path: Path, suffix: str) -> None:
    transactions, report = load(write(tmp_path / f"lines{suffix}", LINES))
    assert [
        (t.transaction_id, t.customer_id, t.occurred_at.isoformat(), t.amount, t.kind)
        for t in transactions
    ] == [
        ("536365", "17850", "2010-12-01T08:26:00+00:00", Decimal("48.60"), "purchase"),
        ("C536379", "14527", "2010-12-01T09:41:00+00:00", Decimal("27.5"), "refund"),
        ("536366", "17850", "2011-07-01T09:01:00+01:00", Decimal("11.10"), "purchase"),
    ]
    assert report.rows_read == len(LINES)
    assert report.skipped == {
        BAD_DEBT: 1,
        WRITE_OFF: 1,
        MISSING_CUSTOMER: 2,
        ZERO_VALUE: 1,
        FEE: 1,
        REFUND_TAKES_MONEY: 1,
    }
    assert (report.purchases, report.refunds, report.missing_customer_rows) == (2, 1, 4)


def test_dead_letter_yields_invoices_without_customer(tmp_path: Path) -> None:
    transactions, report = load(
        write_csv(tmp_path / "lines.csv", LINES), missing_customer="dead-letter"
    )
    unnamed = [t for t in transactions if t.customer_id is None]
    assert [(t.transaction_id, t.amount) for t in unnamed] == [("536544", Decimal("12.63"))]
    assert b"customer_id" not in unnamed[0].payload("GBP")
    assert report.expected_dead_letters == 1
    assert MISSING_CUSTOMER not in report.skipped


def test_invoice_of_two_customers_gives_each_his_own(tmp_path: Path) -> None:
    lines = [
        line("1", "10001", 1, "2011-01-01 10:00", 2.0, 1.0),
        line("1", "10001", 1, "2011-01-01 10:00", 3.0, 2.0),
    ]
    transactions, _ = load(write_csv(tmp_path / "lines.csv", lines))
    assert [(t.customer_id, t.amount) for t in transactions] == [("1", 2), ("2", 3)]


def test_invoice_that_gives_money_is_a_refund(tmp_path: Path) -> None:
    lines = [
        line("1", "10001", 1, "2011-01-01 10:00", 2.0, 1.0),
        line("1", "D", 1, "2011-01-01 10:00", -5.0, 1.0),
    ]
    (transaction,), _ = load(write_csv(tmp_path / "lines.csv", lines))
    assert (transaction.kind, transaction.amount) == ("refund", 3)


def test_invoice_goes_on_in_the_next_file(tmp_path: Path) -> None:
    first, second = line("1", "10001", 1, "2011-01-01 10:00", 2.0, 1.0), LINES[0]
    transactions, report = load(
        write_csv(tmp_path / "a.csv", [second, first]), write_csv(tmp_path / "b.csv", [first])
    )
    assert [(t.transaction_id, t.amount) for t in transactions] == [
        ("1", 4),
        ("536366", Decimal("11.10")),
    ]
    assert report.rows_read == 3


@pytest.mark.parametrize(
    ("time_format", "day"),
    [
        ("%m/%d/%Y %H:%M", 13),
        ("%m/%d/%y %H:%M", 13),
        ("%d/%m/%Y %H:%M", 13),
        ("%d.%m.%Y %H:%M", 13),
        ("%m/%d/%Y %H:%M:%S", 4),  # 04 both ways: month first, as in the copies passed around
        ("%Y-%m-%dT%H:%M:%S", 13),
    ],
)
def test_csv_times_are_read_as_the_whole_file_writes_them(
    tmp_path: Path, time_format: str, day: int
) -> None:
    lines = [
        line("1", "10001", 1, "2011-02-03 10:00", 2.0, 1.0),
        line("2", "10001", 1, f"2011-02-{day:02d} 10:00", 2.0, 1.0),
    ]
    transactions, _ = load(write_csv(tmp_path / "lines.csv", lines, time_format))
    assert [t.occurred_at.day for t in transactions] == [3, day]
    assert {t.occurred_at.month for t in transactions} == {2}


def test_times_of_mixed_formats_are_refused_at_the_odd_one(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    path.write_text(
        ",".join(HEADER) + "\n"
        "1,10001,x,1,12/1/2010 8:26,2.5,1,UK\n"
        "2,10001,x,1,noon on Friday,2.5,1,UK\n"
    )
    with pytest.raises(SourceFileError, match=r"row 3: InvoiceDate 'noon on Friday'"):
        load(path)


def test_timestamps_in_nanoseconds_are_read(tmp_path: Path) -> None:
    transactions, _ = load(write_parquet(tmp_path / "lines.parquet", LINES, unit="ns"))
    assert transactions[0].occurred_at.isoformat() == "2010-12-01T08:26:00+00:00"


def test_time_zone_can_be_another(tmp_path: Path) -> None:
    transactions, _ = load(
        write_csv(tmp_path / "lines.csv", LINES[:1]), timezone="America/New_York"
    )
    assert transactions[0].occurred_at.isoformat() == "2011-07-01T09:01:00-04:00"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("1,10001,x,six,2011-01-01 10:00,2.5,1,UK", "row 2: Quantity 'six' is not a number"),
        ("1,10001,x,1,2011-01-01 10:00,£2,1,UK", "row 2: UnitPrice '£2' is not a number"),
        ("1,10001,x,1,2011-01-01 10:00,nan,1,UK", "row 2: UnitPrice 'nan' is not a number"),
        (",10001,x,1,2011-01-01 10:00,2.5,1,UK", "row 2: InvoiceNo '' is empty"),
        ("1,10001,x,1", "row 2 has 4 cells, 7 are needed"),
    ],
)
def test_damaged_line_is_named(tmp_path: Path, cells: str, message: str) -> None:
    path = tmp_path / "lines.csv"
    path.write_text(",".join(HEADER) + "\n" + cells + "\n", encoding="utf-8")
    with pytest.raises(SourceFileError) as caught:
        load(path)
    assert f"{path} {message}" in str(caught.value)


def test_stray_byte_matters_in_columns_that_are_read_only(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    head = (",".join(HEADER) + "\n").encode()
    path.write_bytes(head + b"1,10001,caf\xe9,1,2011-01-01 10:00,2.5,1,UK\n")
    assert load(path)[1].rows_used == 1
    path.write_bytes(head + b"1,10001,x,1,2011-01-01 10:00,2.5,caf\xe9,UK\n")
    with pytest.raises(SourceFileError, match="row 2 holds text that is not UTF-8"):
        load(path)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_missing_column_is_named_with_those_seen(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"lines{suffix}", LINES)
    import ops.loaders.online_retail as module

    assert set(COLUMNS) < set(HEADER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COLUMNS", (*COLUMNS, "Till"))
        with pytest.raises(SourceFileError, match="no column 'Till'") as caught:
            load(path)
    assert "'CustomerID'" in str(caught.value.hint)


@pytest.mark.parametrize(("suffix", "module"), [(".xlsx", "openpyxl"), (".parquet", "pyarrow")])
def test_missing_package_is_named_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str
) -> None:
    path = write(tmp_path / f"lines{suffix}", LINES)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceFileError, match=module) as caught:
        load(path)
    assert caught.value.hint is not None
    assert "pip install everscore[files]" in caught.value.hint


def test_csv_needs_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert load(write_csv(tmp_path / "lines.csv", LINES))[1].transactions == 3


@pytest.mark.parametrize("name", ["lines.xlsx", "lines.parquet"])
def test_file_that_is_not_what_its_suffix_says_is_refused(tmp_path: Path, name: str) -> None:
    pytest.importorskip("openpyxl" if name.endswith("xlsx") else "pyarrow")
    path = tmp_path / name
    path.write_bytes(b"hello, not a table at all")
    with pytest.raises(SourceFileError, match=name):
        load(path)


def test_absent_file_unknown_suffix_and_no_file_are_refused(tmp_path: Path) -> None:
    for name in ("none.csv", "none.xlsx", "none.parquet"):
        with pytest.raises(SourceFileError, match=name):
            load(tmp_path / name)
    with pytest.raises(SourceFileError, match=r"suffix '\.json'"):
        load(tmp_path / "lines.json")
    with pytest.raises(SourceFileError, match="needs a file"):
        load()


def test_two_sheets_with_the_columns_are_refused(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = write_xlsx(tmp_path / "lines.xlsx", LINES)
    workbook = openpyxl.load_workbook(path)
    workbook.copy_worksheet(workbook.worksheets[0]).title = "Year 2"
    workbook.save(path)
    workbook.close()
    with pytest.raises(SourceFileError, match="2 sheets with these columns: 'Sheet', 'Year 2'"):
        load(path)
