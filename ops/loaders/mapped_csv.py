"""Any csv file with a header, its columns named by the person who replays it.

Owns the mapping and reading dates and amounts as people write them. A row that cannot be read
is skipped, counted and quoted in the report; the known formats stop instead, for there it means
a damaged file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from zoneinfo import ZoneInfo

from ops.loaders.moments import time_zone, with_offset
from ops.loaders.source import (
    MISSING_CUSTOMER,
    LoadReport,
    MissingCustomer,
    SourceTransaction,
    in_time_order,
)
from ops.loaders.table import find_columns
from schemas.errors import ConfigurationError, SourceFileError, shown

REQUIRED_FIELDS = ("customer_id", "occurred_at", "amount")
OPTIONAL_FIELDS = ("transaction_id", "kind")

PURCHASE_WORDS = frozenset({"purchase", "sale", ""})
REFUND_WORDS = frozenset({"refund", "return"})

_DELIMITERS = (",", ";", "\t", "|")
_STEM_CHARS_MAX = 64  # leaves room for row and digest within the 128 of a transaction_id

# With groups of thousands or without; no exponent, which no till writes and whose
# "1e999999999" takes a gigabyte to write out.
_AMOUNT = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?", re.ASCII)
_AMOUNT_CHARS_MAX = 40
_SPACES_AND_SIGNS = str.maketrans("", "", " \u00a0\u202f'€£$¥")
_SWAP_COMMA_AND_POINT = str.maketrans(",.", ".,")


class _UnreadableError(ValueError):
    """A cell that cannot be read; its text says why, `reason` is what it is counted as."""

    def __init__(self, column: str, value: str, why: str) -> None:
        super().__init__(f"{column} {shown(value)} {why}")
        self.reason = f"unreadable {column}"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes a transaction of the mapped cells of a row."""

    columns: Mapping[str, str]
    zone: ZoneInfo
    date_format: str | None
    decimal_comma: bool

    def transaction(self, cells: Mapping[str, str], row_id: str) -> SourceTransaction:
        amount = self._amount(cells["amount"])
        is_refund = self._is_refund(cells.get("kind", "")) or amount < 0
        return SourceTransaction(
            cells.get("transaction_id") or row_id,
            cells["customer_id"] or None,
            self._moment(cells["occurred_at"]),
            amount.copy_abs(),
            "refund" if is_refund else "purchase",
        )

    def _moment(self, text: str) -> datetime:
        try:
            if self.date_format is None:
                moment = datetime.fromisoformat(text)
            else:
                moment = datetime.strptime(text, self.date_format)  # noqa: DTZ007 -- with_offset follows
            return with_offset(moment, self.zone)
        except (ValueError, OverflowError):
            expected = self.date_format or "ISO 8601"
            raise _UnreadableError(
                self.columns["occurred_at"], text, f"is not a time written as {expected}"
            ) from None

    def _amount(self, text: str) -> Decimal:
        plain = text.translate(_SPACES_AND_SIGNS)
        if self.decimal_comma:
            plain = plain.translate(_SWAP_COMMA_AND_POINT)
        has_digit = any(character.isdigit() for character in plain)
        if not has_digit or len(plain) > _AMOUNT_CHARS_MAX or not _AMOUNT.fullmatch(plain):
            style = "1.234,56" if self.decimal_comma else "1,234.56"
            raise _UnreadableError(
                self.columns["amount"], text, f"is not an amount written as {style}"
            )
        return Decimal(plain.replace(",", ""))

    def _is_refund(self, text: str) -> bool:
        word = text.lower()
        if word in REFUND_WORDS:
            return True
        if word in PURCHASE_WORDS:
            return False
        known = ", ".join(sorted((PURCHASE_WORDS | REFUND_WORDS) - {""}))
        raise _UnreadableError(self.columns["kind"], text, f"is none of {known}")


def parse_mapping(text: str) -> dict[str, str]:
    """Read a mapping as given on the command line.

    Parameters
    ----------
    text : str
        `field=Column,field=Column`; a column's name may hold commas and spaces.

    Returns
    -------
    dict of str to str
        Transaction field -> column.

    Raises
    ------
    ConfigurationError
        A field is unknown, given twice or left out, or a column is empty.

    Examples
    --------
    >>> parse_mapping("customer_id=Client,occurred_at=Date,amount=Total, gross")
    {'customer_id': 'Client', 'occurred_at': 'Date', 'amount': 'Total, gross'}
    """
    columns: dict[str, str] = {}
    for part in re.split(r",(?=\s*\w+\s*=)", text):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or name in columns:
            fault = "is given twice" if name in columns else "is not field=Column"
            raise ConfigurationError(f"mapping {shown(part)} {fault}.", hint=_mapping_hint())
        columns[name] = column
    check_mapping(columns)
    return columns


def check_mapping(columns: Mapping[str, str]) -> None:
    """Refuse a mapping with unknown fields or without the required ones.

    Parameters
    ----------
    columns : mapping of str to str
        Transaction field -> column.

    Raises
    ------
    ConfigurationError
    """
    known = REQUIRED_FIELDS + OPTIONAL_FIELDS
    unknown = [name for name in columns if name not in known]
    missing = [name for name in REQUIRED_FIELDS if name not in columns]
    if unknown or missing:
        fault = f"names unknown {unknown}" if unknown else f"leaves out {missing}"
        raise ConfigurationError(f"the column mapping {fault}.", hint=_mapping_hint())


def load_csv(
    paths: Sequence[Path],
    *,
    report: LoadReport,
    columns: Mapping[str, str],
    timezone: str = "UTC",
    date_format: str | None = None,
    decimal_comma: bool = False,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
    missing_customer: MissingCustomer = "skip",
) -> Iterator[SourceTransaction]:
    """Read one or more csv files by a column mapping.

    Parameters
    ----------
    paths : one or more
        All with the mapped columns.
    report : LoadReport
        Filled before this returns. A row is a csv row; row numbers are line numbers.
    columns : mapping of str to str
        Transaction field -> column: customer_id, occurred_at, amount, and if the file has them
        transaction_id and kind (purchase or sale, refund or return).
    timezone : str
        Zone of times without an offset.
    date_format : str or None
        `strptime` format; None reads ISO 8601.
    decimal_comma : bool
        Amounts are written 1.234,56 instead of 1,234.56.
    delimiter : str or None
        None: whichever of comma, semicolon, tab and bar finds all columns in the header.
    encoding : str
        As Python names it.
    missing_customer : "skip" or "dead-letter"
        What becomes of rows whose customer is blank.

    Returns
    -------
    iterator of SourceTransaction
        By time, then file order. A negative amount is a refund. Without a transaction_id the
        id is made of file name, row number and a digest of the row: equal rows stay distinct,
        the same file replayed counts once, tomorrow's export under the same name counts anew.

    Raises
    ------
    SourceFileError
        A file cannot be opened, lacks a column, or none of its rows can be read.
    ConfigurationError
        The mapping, the time zone or the delimiter is wrong.
    """
    check_mapping(columns)
    if delimiter is not None and len(delimiter) != 1:
        raise ConfigurationError(f"delimiter {shown(delimiter)} must be a single character.")
    if not paths:
        raise SourceFileError("csv needs a file.", hint="Give one or more with a header line.")
    reader = _Reader(columns, time_zone(timezone), date_format, decimal_comma)
    transactions: list[SourceTransaction] = []
    for path in paths:
        rows_before, unreadable, first_fault = report.rows_read, 0, ""
        for number, row, cells in _rows(path, columns, delimiter, encoding):
            report.rows_read += 1
            try:
                if len(cells) < len(columns):
                    raise _UnreadableError("row", ",".join(row), "has too few cells")
                transaction = reader.transaction(cells, _row_id(path, number, row))
            except _UnreadableError as fault:
                unreadable += 1
                first_fault = first_fault or f"{path} row {number}: {fault}"
                report.skipped[fault.reason] += 1
                report.give_example(f"{path} row {number}: {fault}")
                continue
            if transaction.customer_id is None:
                report.missing_customer_rows += 1
                if missing_customer == "skip":
                    report.skipped[MISSING_CUSTOMER] += 1
                    continue
            report.rows_used += 1
            report.count_transaction(transaction)
            transactions.append(transaction)
        if unreadable and unreadable == report.rows_read - rows_before:
            raise SourceFileError(
                f"no row can be read; {first_fault}.",
                hint="Check the mapping, the date format and the decimal comma.",
            )
    return in_time_order(transactions, report)


def _rows(
    path: Path, columns: Mapping[str, str], delimiter: str | None, encoding: str
) -> Iterator[tuple[int, list[str], dict[str, str]]]:
    """Row number, whole row and mapped cells; a short row lacks cells."""
    try:
        with path.open(encoding=encoding, newline="") as handle:
            first_line = handle.readline()
            handle.seek(0)
            reader = csv.reader(handle, delimiter=delimiter or _delimiter(first_line, columns))
            positions = find_columns(path, next(reader, []), columns.values())
            places = list(zip(columns, positions, strict=True))
            for row in reader:
                if row:
                    cells = {name: row[at].strip() for name, at in places if at < len(row)}
                    yield reader.line_num, row, cells
    except (OSError, csv.Error) as error:
        raise SourceFileError(
            f"{path} cannot be read: {error}.", hint="Check that it is there and is csv."
        ) from None
    except (UnicodeError, LookupError) as error:
        raise SourceFileError(
            f"{path} cannot be read as {encoding}: {error}.",
            hint="Give its encoding; spreadsheets on Windows often write cp1252.",
        ) from None


def _delimiter(first_line: str, columns: Mapping[str, str]) -> str:
    wanted = set(columns.values())
    for delimiter in _DELIMITERS:
        header = next(csv.reader([first_line], delimiter=delimiter), [])
        if {name.strip() for name in header} >= wanted:
            return delimiter
    return max(_DELIMITERS, key=first_line.count)


def _row_id(path: Path, number: int, row: Sequence[str]) -> str:
    digest = blake2b("\x1f".join(row).encode(), digest_size=4).hexdigest()
    return f"{path.stem[:_STEM_CHARS_MAX]}-{number}-{digest}"


def _mapping_hint() -> str:
    return "For example customer_id=Client,occurred_at=Date,amount=Total[,transaction_id=…,kind=…]."
