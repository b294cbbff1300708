"""UCI Online Retail: the invoice lines of a UK gift shop, 2010-12-01 to 2011-12-09.

Owns what its lines mean, and adds them up to one transaction per invoice and customer:

* C-invoices are refunds. A-invoices correct bad debts: no purchase, left out.
* A negative quantity without C is stock written off: no customer, no money, left out.
* AMAZONFEE, BANK CHARGES, CRUK and B are left out: what the shop and its bank, marketplace,
  charity or debtors settle between them, booked as if an article. Counted, they would turn a
  bank's fee into a purchase day and a commission into a customer's refund.
* All other codes count, articles or not. Postage (POST, DOT), carriage (C2), manual lines (M),
  samples (S), discounts (D) and vouchers change what the customer pays for the invoice, and
  that is what a transaction's amount is.
* An invoice that adds up to nothing is left out: of 2,102 such, 2,098 name no customer (stock
  counted, found, thrown away) and the other four give goods away.
* Equal lines are kept: nothing tells a line entered twice from two of a kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ops.loaders.moments import time_zone, with_offset
from ops.loaders.source import (
    MISSING_CUSTOMER,
    LoadReport,
    MissingCustomer,
    SourceTransaction,
    in_time_order,
)
from ops.loaders.table import read_rows
from schemas.errors import SourceFileError, shown

COLUMNS = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")

BAD_DEBT = "bad-debt adjustment (A-invoice)"
WRITE_OFF = "stock write-off (negative quantity)"
FEE = "fee or settlement, no sale"
ZERO_VALUE = "invoice of zero value"
REFUND_TAKES_MONEY = "C-invoice that takes money"

FEE_CODES = frozenset({"AMAZONFEE", "BANK CHARGES", "CRUK", "B"})

# How csv copies of the file write the time, tried in this order; one must fit the whole file.
# The copy most often passed around writes month first.
_TIME_FORMATS = tuple(
    f"{date} {time}"
    for date in ("%m/%d/%Y", "%m/%d/%y", "%d/%m/%Y", "%d/%m/%y", "%d-%m-%Y", "%d.%m.%Y")
    for time in ("%H:%M", "%H:%M:%S")
)


@dataclass(slots=True)
class _Invoice:
    number: str
    customer_id: str | None
    amount: Decimal
    rows: int
    moments: list[Any]  # of 25,900 invoices all but 43 have one


class _Cells:
    """Interprets cells; values repeat, so each distinct one is read once."""

    def __init__(self) -> None:
        self.moments: dict[Any, str] = {}  # value -> where it was first seen
        self._texts: dict[Any, str | None] = {}
        self._numbers: dict[Any, Decimal] = {}

    def text(self, value: Any) -> str | None:
        try:
            return self._texts[value]
        except KeyError:
            text = self._texts[value] = _text(value)
            return text

    def number(self, value: Any, column: str, place: str) -> Decimal:
        try:
            return self._numbers[value]
        except KeyError:
            number = self._numbers[value] = _number(value, column, place)
            return number


def load_online_retail(
    paths: Sequence[Path],
    *,
    report: LoadReport,
    timezone: str = "Europe/London",
    missing_customer: MissingCustomer = "skip",
) -> Iterator[SourceTransaction]:
    """Read the invoices of one or more files.

    Parameters
    ----------
    paths : one or more
        .csv, .xlsx or .parquet; an invoice may go on in the next file.
    report : LoadReport
        Filled before this returns. A row is an invoice line.
    timezone : str
        Zone of `InvoiceDate`, which is local time to the minute.
    missing_customer : "skip" or "dead-letter"
        What becomes of a quarter of the lines, which name no customer. "dead-letter" yields
        their invoices with `customer_id` None.

    Returns
    -------
    iterator of SourceTransaction
        By time, then first line in the file. `transaction_id` is InvoiceNo; `occurred_at` the
        time of its earliest line; `amount` the exact sum of Quantity x UnitPrice.

    Raises
    ------
    SourceFileError
        Names file, row, column and value that could not be read.
    """
    zone = time_zone(timezone)
    if not paths:
        raise SourceFileError(
            "online-retail needs a file.", hint="Give the UCI file as .xlsx, .csv or .parquet."
        )
    cells = _Cells()
    invoices = _gather(paths, cells, report, keep_unnamed=missing_customer == "dead-letter")
    times = {raw: with_offset(moment, zone) for raw, moment in _read_times(cells.moments).items()}
    transactions: list[SourceTransaction] = []
    for invoice in invoices:
        is_cancellation = invoice.number[0] == "C"
        if not invoice.amount:
            report.skipped[ZERO_VALUE] += invoice.rows
        elif is_cancellation and invoice.amount > 0:
            report.skipped[REFUND_TAKES_MONEY] += invoice.rows
        else:
            transaction = SourceTransaction(
                invoice.number,
                invoice.customer_id,
                min(times[raw] for raw in invoice.moments),
                abs(invoice.amount),
                "refund" if invoice.amount < 0 else "purchase",
            )
            report.rows_used += invoice.rows
            report.count_transaction(transaction)
            transactions.append(transaction)
    return in_time_order(transactions, report)


def _gather(
    paths: Sequence[Path], cells: _Cells, report: LoadReport, *, keep_unnamed: bool
) -> Iterable[_Invoice]:
    """Invoices by their first line; lines that are no sale are skipped and counted."""
    # The customer is part of the key: no published invoice names two, but a sum over two would
    # give one of them the other's money.
    invoices: dict[tuple[str, str | None], _Invoice] = {}
    for path in paths:
        for number, row in read_rows(path, COLUMNS):
            place = f"{path} row {number}"
            report.rows_read += 1
            invoice_number, stock_code = cells.text(row[0]), cells.text(row[1])
            if not invoice_number:
                raise SourceFileError(f"{place}: InvoiceNo {shown(row[0])} is empty.")
            quantity = cells.number(row[2], "Quantity", place)
            price = cells.number(row[4], "UnitPrice", place)
            customer_id = cells.text(row[5])
            if customer_id is None:
                report.missing_customer_rows += 1
            reason = _no_sale(invoice_number, stock_code, quantity)
            if reason is None and customer_id is None and not keep_unnamed:
                reason = MISSING_CUSTOMER
            if reason is not None:
                report.skipped[reason] += 1
                continue
            moment = row[3]
            cells.moments.setdefault(moment, place)
            invoice = invoices.get((invoice_number, customer_id))
            if invoice is None:
                invoices[invoice_number, customer_id] = _Invoice(
                    invoice_number, customer_id, quantity * price, 1, [moment]
                )
                continue
            invoice.amount += quantity * price
            invoice.rows += 1
            if moment not in invoice.moments:
                invoice.moments.append(moment)
    return invoices.values()


def _no_sale(invoice_number: str, stock_code: str | None, quantity: Decimal) -> str | None:
    """Why a line is neither sale nor refund, None if it is."""
    if invoice_number[0] == "A":
        return BAD_DEBT
    if stock_code in FEE_CODES:
        return FEE
    if quantity < 0 and invoice_number[0] != "C":
        return WRITE_OFF
    return None


def _text(value: Any) -> str | None:
    """Text of a code or id; 17850.0, as a column with gaps is often stored, is 17850."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() else value
    text = "" if value is None else str(value).strip()
    if text.endswith(".0") and text[:-2].isdigit():
        text = text[:-2]
    return text or None


def _number(value: Any, column: str, place: str) -> Decimal:
    try:
        # A double's shortest decimal form is the price as it was written.
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise SourceFileError(
            f"{place}: {column} {shown(value)} is not a number.",
            hint="Numbers are written 1234.56, without signs of currency.",
        )
    return number


def _read_times(places: dict[Any, str]) -> dict[Any, datetime]:
    """Read each distinct time; texts that are not ISO 8601 must all fit one format."""
    times: dict[Any, datetime] = {}
    others: list[str] = []
    for raw, place in places.items():
        if isinstance(raw, datetime):
            times[raw] = raw
        elif not isinstance(raw, str):
            raise _unreadable_time(raw, place)
        else:
            try:
                times[raw] = datetime.fromisoformat(raw.strip())
            except ValueError:
                others.append(raw)
    furthest = -1
    for time_format in _TIME_FORMATS if others else ():
        read: list[datetime] = []
        try:
            for raw in others:
                read.append(datetime.strptime(raw.strip(), time_format))  # noqa: DTZ007, PERF401 -- naive, as the file is
        except ValueError:
            furthest = max(furthest, len(read))
            continue
        return times | dict(zip(others, read, strict=True))
    if others:
        # The value at which the format that got furthest failed.
        raise _unreadable_time(others[furthest], places[others[furthest]])
    return times


def _unreadable_time(raw: object, place: str) -> SourceFileError:
    return SourceFileError(
        f"{place}: InvoiceDate {shown(raw)} is not a time, or not written as those before it.",
        hint="Write all as 2010-12-01 08:26, or all as 12/1/2010 8:26 (month first).",
    )
