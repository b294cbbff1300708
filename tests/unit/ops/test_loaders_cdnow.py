"""CDNOW as shipped within lifetimes, and files laid out like it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ops.loaders.cdnow import load_cdnow, load_cdnow_sample, shipped_file
from ops.loaders.source import LoadReport, SourceTransaction
from schemas.errors import SourceFileError

HEADER = "customer_id  date number_of_cds  dollar_value\r\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "purchases.txt"
    path.write_text(text, newline="")
    return path


@pytest.fixture(scope="module")
def shipped() -> tuple[list[SourceTransaction], LoadReport]:
    report = LoadReport()
    return list(load_cdnow(report=report)), report


def test_shipped_file_has_the_published_counts(
    shipped: tuple[list[SourceTransaction], LoadReport],
) -> None:
    transactions, report = shipped
    assert len(transactions) == report.rows_read == report.rows_used == report.purchases == 69_659
    assert len({transaction.customer_id for transaction in transactions}) == 23_570
    assert sum(transaction.amount == 0 for transaction in transactions) == 80
    assert sum(transaction.amount for transaction in transactions) == Decimal("2500315.63")
    assert report.first_at == datetime(1997, 1, 1, tzinfo=UTC)
    assert report.last_at == datetime(1998, 6, 30, tzinfo=UTC)
    assert report.refunds == report.rows_skipped == 0


def test_exact_duplicate_rows_stay_distinct(
    shipped: tuple[list[SourceTransaction], LoadReport],
) -> None:
    # Two purchases of a day may differ in their number of CDs only, which is not carried on.
    rows = Counter(tuple(line.split()) for line in shipped_file().read_text().splitlines()[1:])
    assert rows.total() - len(rows) == 255
    assert len({transaction.transaction_id for transaction in shipped[0]}) == 69_659


def test_yields_by_date_then_file_order(
    shipped: tuple[list[SourceTransaction], LoadReport],
) -> None:
    keys = [(t.occurred_at, t.transaction_id) for t in shipped[0]]
    assert keys == sorted(keys)
    first = shipped[0][0]
    assert (first.transaction_id, first.customer_id) == ("cdnow-000002", "00001")
    assert first.amount == Decimal("11.77")


def test_sample_is_every_purchase_of_every_tenth_customer(
    shipped: tuple[list[SourceTransaction], LoadReport],
) -> None:
    report = LoadReport()
    sample = list(load_cdnow_sample(report=report))
    assert len(sample) == report.rows_used == 6_919
    chosen = {transaction.customer_id for transaction in sample}
    assert len(chosen) == 2_357

    def told(transactions: list[SourceTransaction]) -> Counter[tuple[str, datetime, Decimal]]:
        return Counter((t.customer_id, t.occurred_at, t.amount) for t in transactions)

    assert told(sample) == told([t for t in shipped[0] if t.customer_id in chosen])
    assert sample[0].transaction_id.startswith("cdnow-sample-")


def test_sample_takes_no_file_of_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + " 1 19970101 1 2.00\r\n")
    with pytest.raises(SourceFileError, match="line 2: columns 4 is not 5"):
        load_cdnow_sample([path], report=LoadReport())


def test_loads_without_importing_lifetimes() -> None:
    code = (
        "import sys\n"
        "from ops.loaders.cdnow import load_cdnow\n"
        "from ops.loaders.source import LoadReport\n"
        "next(load_cdnow(report=LoadReport()))\n"
        "print('lifetimes' in sys.modules, 'pandas' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_header_line_is_optional_and_dates_are_midnight_of_the_zone(tmp_path: Path) -> None:
    path = write(tmp_path, " 7 19970702  1   3.50\r\n 7 19970101  2  10.00\r\n\r\n")
    report = LoadReport()
    transactions = list(load_cdnow([path], report=report, timezone="Europe/London"))
    assert [t.transaction_id for t in transactions] == ["cdnow-000002", "cdnow-000001"]
    assert transactions[1].occurred_at.isoformat() == "1997-07-02T00:00:00+01:00"
    assert transactions[1].occurred_at.date() == date(1997, 7, 2)
    assert report.rows_read == report.rows_used == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (" 1 19970101 1", "columns 3 is not 4"),
        (" 1 1997-01-01 1 3.50", "date '1997-01-01' is not a yyyymmdd date"),
        (" 1 19971301 1 3.50", "date '19971301' is not a yyyymmdd date"),
        (" 1 19970101 1 x", "dollar_value 'x' is not an amount"),
        (" 1 19970101 1 -3.50", "dollar_value '-3.50' is not an amount"),
        (" 1 19970101 1 nan", "dollar_value 'nan' is not an amount"),
    ],
)
def test_damaged_line_is_named_with_column_and_value(
    tmp_path: Path, line: str, message: str
) -> None:
    path = write(tmp_path, HEADER + " 1 19970101 1 2.00\r\n" + line)
    with pytest.raises(SourceFileError) as caught:
        load_cdnow([path], report=LoadReport())
    assert f"{path} line 3: {message}" in str(caught.value)
    assert caught.value.hint is not None


def test_absent_file_and_two_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceFileError, match="cannot be read"):
        load_cdnow([tmp_path / "none.txt"], report=LoadReport())
    with pytest.raises(SourceFileError, match="one file, 2 were given"):
        load_cdnow([tmp_path, tmp_path], report=LoadReport())


def test_missing_lifetimes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.loaders.cdnow.find_spec", lambda name: None)
    with pytest.raises(SourceFileError, match="pip install lifetimes"):
        load_cdnow(report=LoadReport())
