"""Any csv by a column mapping."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ops.loaders.mapped_csv import load_csv, parse_mapping
from ops.loaders.source import EXAMPLES_MAX, MISSING_CUSTOMER, LoadReport, SourceTransaction
from schemas.errors import ConfigurationError, SourceFileError
from schemas.transaction import ID_CHARS_MAX, parse_transaction

COLUMNS = {"customer_id": "Client", "occurred_at": "Date", "amount": "Total"}
FULL = COLUMNS | {"transaction_id": "Receipt", "kind": "Type"}


def load(
    *paths: Path, columns: dict[str, str] | None = None, **options: Any
) -> tuple[list[SourceTransaction], LoadReport]:
    report = LoadReport()
    transactions = list(load_csv(paths, report=report, columns=columns or COLUMNS, **options))
    assert report.rows_read == report.rows_used + report.rows_skipped
    assert report.records == len(transactions)
    return transactions, report


def write(tmp_path: Path, text: str, name: str = "sales.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding=encoding, newline="")
    return path


def test_mapped_columns_become_transactions_by_time(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "Receipt,Client,Date,Total,Type,Note\n"
        'r2,C-1,2024-03-02T10:00:00+01:00,"1,234.56",Sale,"a, b"\n'
        "r1,C-2,2024-03-01,5,refund,\n"
        "\n"
        "r3,C-1,2024-03-02 09:00,-2.50,purchase,\n",
    )
    transactions, report = load(path, columns=FULL)
    assert [
        (t.transaction_id, t.customer_id, t.occurred_at.isoformat(), t.amount, t.kind)
        for t in transactions
    ] == [
        ("r1", "C-2", "2024-03-01T00:00:00+00:00", Decimal(5), "refund"),
        ("r2", "C-1", "2024-03-02T09:00:00+00:00", Decimal("1234.56"), "purchase"),
        ("r3", "C-1", "2024-03-02T09:00:00+00:00", Decimal("2.50"), "refund"),
    ]
    assert (report.rows_read, report.purchases, report.refunds) == (3, 1, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_european_file_with_semicolons_and_decimal_commas(tmp_path: Path, encoding: str) -> None:
    path = write(
        tmp_path,
        "Client;Date;Total\r\nMüller;31.12.2023 18:05;1.234,50 €\r\nC-2;01.07.2024 09:00;-0,99\r\n",
        encoding=encoding,
    )
    transactions, _ = load(
        path, date_format="%d.%m.%Y %H:%M", timezone="Europe/Berlin", decimal_comma=True
    )
    assert [(t.customer_id, t.occurred_at.isoformat(), t.amount, t.kind) for t in transactions] == [
        ("Müller", "2023-12-31T18:05:00+01:00", Decimal("1234.50"), "purchase"),
        ("C-2", "2024-07-01T09:00:00+02:00", Decimal("0.99"), "refund"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_from_the_header(tmp_path: Path, delimiter: str) -> None:
    rows = [["Client", "Date", "Total"], ["C-1", "2024-03-01", "5"]]
    path = write(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    assert load(path)[1].rows_used == 1


def test_delimiter_can_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "Client~Date~Total\nC-1~2024-03-01~5\n")
    assert load(path, delimiter="~")[1].rows_used == 1
    with pytest.raises(ConfigurationError, match="single character"):
        load(path, delimiter="~~")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12", "12"),
        ("1,234", "1234"),
        ("£12.5", "12.5"),
        ("$ 1,234,567.89", "1234567.89"),
        ("1 234.50", "1234.50"),
        ("1'234.50", "1234.50"),
        (".5", "0.5"),
        ("+3.00", "3.00"),
        ("1.23456", "1.23456"),
    ],
)
def test_amounts_are_read_exactly(tmp_path: Path, text: str, amount: str) -> None:
    (transaction,), _ = load(write(tmp_path, f'Client,Date,Total\nC-1,2024-03-01,"{text}"\n'))
    assert transaction.amount == Decimal(amount)


def test_unreadable_rows_are_skipped_counted_and_quoted(tmp_path: Path) -> None:
    bad = ["abc", "", "12,50", "1e9", "nan", "1.2.3", "12,34,56", "9" * 50, "٣"]
    rows = [f'C-1,2024-03-01,"{value}",sale\n' for value in bad]
    rows += ["C-1,31/12/2023,5,sale\n", "C-1,2024-03-01,5,gift\n", "C-1,2024\n"]
    rows += ["C-1,2024-03-01,5,sale\n"]
    path = write(tmp_path, "Client,Date,Total,Type\n" + "".join(rows))
    transactions, report = load(path, columns=COLUMNS | {"kind": "Type"})
    assert len(transactions) == 1
    assert report.skipped == {
        "unreadable Total": len(bad),
        "unreadable Date": 1,
        "unreadable Type": 1,
        "unreadable row": 1,
    }
    assert len(report.examples) == EXAMPLES_MAX
    assert report.examples[0] == (f"{path} row 2: Total 'abc' is not an amount written as 1,234.56")


def test_missing_customers_are_skipped_or_dead_lettered(tmp_path: Path) -> None:
    path = write(tmp_path, "Client,Date,Total\nC-1,2024-03-01,5\n  ,2024-03-02,6\n")
    transactions, report = load(path)
    assert [t.customer_id for t in transactions] == ["C-1"]
    assert report.skipped == {MISSING_CUSTOMER: 1}
    transactions, report = load(path, missing_customer="dead-letter")
    assert [t.customer_id for t in transactions] == ["C-1", None]
    assert (report.expected_dead_letters, report.missing_customer_rows) == (1, 1)


def test_made_up_ids_tell_rows_and_files_apart_but_not_replays(tmp_path: Path) -> None:
    row = "C-1,2024-03-01,5\n"
    path = write(tmp_path, "Client,Date,Total\n" + row + row)
    first = [t.transaction_id for t in load(path)[0]]
    assert len(set(first)) == 2
    assert [t.transaction_id for t in load(path)[0]] == first
    write(tmp_path, "Client,Date,Total\nC-1,2024-04-01,7\n" + row)
    tomorrow = [t.transaction_id for t in load(path)[0]]
    assert tomorrow[0] == first[1]  # the same row in the same place
    assert tomorrow[1] not in first
    long = write(tmp_path, "Client,Date,Total\n" + row, name="x" * 200 + ".csv")
    (transaction,), _ = load(long)
    assert len(transaction.transaction_id) <= ID_CHARS_MAX
    assert parse_transaction(transaction.payload("USD")).amount == 5


def test_blank_transaction_id_falls_back_to_the_row(tmp_path: Path) -> None:
    path = write(tmp_path, "Receipt,Client,Date,Total,Type\n,C-1,2024-03-01,5,\n")
    (transaction,), _ = load(path, columns=FULL)
    assert transaction.transaction_id.startswith("sales-2-")
    assert transaction.kind == "purchase"


def test_file_of_which_nothing_can_be_read_is_an_error_with_a_hint(tmp_path: Path) -> None:
    good = write(tmp_path, "Client,Date,Total\nC-1,2024-03-01,5\n", name="good.csv")
    path = write(tmp_path, "Client,Date,Total\nC-1,03/01/2024,5\nC-1,03/02/2024,5\n")
    with pytest.raises(SourceFileError, match="no row can be read") as caught:
        load(good, path)
    assert f"{path} row 2: Date '03/01/2024'" in str(caught.value)
    assert "date format" in str(caught.value.hint)


def test_missing_and_double_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "Client;Date;Sum\nC-1;2024-03-01;5\n")
    with pytest.raises(SourceFileError, match="no column 'Total'") as caught:
        load(path)
    assert caught.value.hint == "Its first row holds: 'Client', 'Date', 'Sum'."
    path = write(tmp_path, "Client,Date,Total,Total\n")
    with pytest.raises(SourceFileError, match="more than one column 'Total'"):
        load(path)
    with pytest.raises(SourceFileError, match="Its first row holds: nothing"):
        load(write(tmp_path, ""))


def test_wrong_encoding_is_said_and_the_right_one_read(tmp_path: Path) -> None:
    path = write(tmp_path, "Client,Date,Total\nMüller,2024-03-01,5\n", encoding="cp1252")
    with pytest.raises(SourceFileError, match="cp1252"):
        load(path)
    assert load(path, encoding="cp1252")[0][0].customer_id == "Müller"
    with pytest.raises(SourceFileError, match="as klingon"):
        load(path, encoding="klingon")


def test_absent_file_no_file_and_broken_quoting(tmp_path: Path) -> None:
    with pytest.raises(SourceFileError, match=r"none\.csv cannot be read"):
        load(tmp_path / "none.csv")
    with pytest.raises(SourceFileError, match="needs a file"):
        load()
    path = write(tmp_path, 'Client,Date,Total\n"C-1,2024-03-01,5\n' + "x" * 200_000)
    with pytest.raises(SourceFileError, match="field larger than field limit"):
        load(path)


def test_mapping_is_read_with_commas_and_spaces_in_names() -> None:
    text = "customer_id=Client, occurred_at = Order Date ,amount=Total, gross,kind=Type"
    assert parse_mapping(text) == {
        "customer_id": "Client",
        "occurred_at": "Order Date",
        "amount": "Total, gross",
        "kind": "Type",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not field=Column"),
        ("customer_id", "is not field=Column"),
        ("customer_id=,amount=B", "is not field=Column"),
        ("amount=A,amount=B", "is given twice"),
        ("customer_id=A,occurred_at=B", r"leaves out \['amount'\]"),
        ("customer_id=A,occurred_at=B,amount=C,price=D", r"unknown \['price'\]"),
    ],
)
def test_wrong_mapping_is_refused_with_an_example(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_mapping(text)
    assert "customer_id=Client" in str(caught.value.hint)
