"""Olist: 99,441 orders of Brazilian marketplaces, 2016 to 2018, as three csv files.

Owns the join. `customer_id` is new for every order, so purchases belong to
`customer_unique_id`; what an order cost is the sum of its payments (card, boleto and vouchers
alike). Orders cancelled or unavailable never became a purchase and are left out, as are orders
without any payment. An order paid with nothing counts as a purchase of zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ops.loaders.moments import time_zone, with_offset
from ops.loaders.source import (
    MISSING_CUSTOMER,
    LoadReport,
    MissingCustomer,
    SourceTransaction,
    in_time_order,
)
from ops.loaders.table import csv_header, read_rows
from schemas.errors import SourceFileError, shown

FILE_NAMES = (
    "olist_customers_dataset.csv",
    "olist_orders_dataset.csv",
    "olist_order_payments_dataset.csv",
)

_CUSTOMERS = ("customer_id", "customer_unique_id")
_ORDERS = ("order_id", "customer_id", "order_status", "order_purchase_timestamp")
_PAYMENTS = ("order_id", "payment_value")

NO_SALE_STATUSES = frozenset({"canceled", "unavailable"})
NO_PAYMENT = "no payment"
STRAY_PAYMENTS = "payments of no order in the file"


def load_olist(
    paths: Sequence[Path],
    *,
    report: LoadReport,
    timezone: str = "America/Sao_Paulo",
    missing_customer: MissingCustomer = "skip",
) -> Iterator[SourceTransaction]:
    """Join customers, orders and payments.

    Parameters
    ----------
    paths : the folder with the three files, or the three in any order
        Told apart by their columns.
    report : LoadReport
        Filled before this returns. A row is an order; customers and payments are `also_read`.
    timezone : str
        Zone of `order_purchase_timestamp`.
    missing_customer : "skip" or "dead-letter"
        For orders whose customer_id is not in the customers file; the published one has all.

    Returns
    -------
    iterator of SourceTransaction
        By time, then place in the orders file. `transaction_id` is order_id.

    Raises
    ------
    SourceFileError
        A file is missing, or names file, row, column and value that could not be read.
    """
    zone = time_zone(timezone)
    customers_path, orders_path, payments_path = _told_apart(paths)
    people = {key: person for _, (key, person) in read_rows(customers_path, _CUSTOMERS)}
    report.also_read["customers"] += len(people)
    paid = _payments(payments_path, report)
    orders: set[str] = set()
    transactions: list[SourceTransaction] = []
    for number, (order_id, key, status, moment) in read_rows(orders_path, _ORDERS):
        report.rows_read += 1
        orders.add(order_id)
        customer_id = people.get(key) or None
        if customer_id is None:
            report.missing_customer_rows += 1
        amount = paid.get(order_id)
        if status in NO_SALE_STATUSES:
            report.skipped[f"order {status}"] += 1
        elif amount is None:
            report.skipped[NO_PAYMENT] += 1
        elif customer_id is None and missing_customer == "skip":
            report.skipped[MISSING_CUSTOMER] += 1
        else:
            try:
                occurred_at = with_offset(datetime.fromisoformat(moment), zone)
            except ValueError:
                raise _unreadable(orders_path, number, _ORDERS[3], moment, "time") from None
            transaction = SourceTransaction(order_id, customer_id, occurred_at, amount)
            report.rows_used += 1
            report.count_transaction(transaction)
            transactions.append(transaction)
    stray = len(paid.keys() - orders)
    if stray:
        report.also_read[STRAY_PAYMENTS] += stray
    return in_time_order(transactions, report)


def _payments(path: Path, report: LoadReport) -> dict[str, Decimal]:
    """What was paid for each order."""
    paid: dict[str, Decimal] = {}
    for number, (order_id, value) in read_rows(path, _PAYMENTS):
        report.also_read["payments"] += 1
        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            raise _unreadable(path, number, _PAYMENTS[1], value, "amount")
        paid[order_id] = paid.get(order_id, Decimal(0)) + amount
    return paid


def _told_apart(paths: Sequence[Path]) -> tuple[Path, Path, Path]:
    if len(paths) == 1 and paths[0].is_dir():
        paths = [paths[0] / name for name in FILE_NAMES]
    found: dict[tuple[str, ...], Path] = {}
    for path in paths:
        header = set(csv_header(path))
        roles = [role for role in (_CUSTOMERS, _ORDERS, _PAYMENTS) if header >= set(role)]
        if len(roles) != 1 or roles[0] in found:
            raise SourceFileError(
                f"{path} is not one of the three olist files, or is one of them twice; "
                f"its columns are {shown(sorted(header))}.",
                hint=f"Give {', '.join(FILE_NAMES)}, or the folder they are in.",
            )
        found[roles[0]] = path
    try:
        return found[_CUSTOMERS], found[_ORDERS], found[_PAYMENTS]
    except KeyError:
        raise SourceFileError(
            f"olist needs three files, {len(paths)} were given.",
            hint=f"Give {', '.join(FILE_NAMES)}, or the folder they are in.",
        ) from None


def _unreadable(path: Path, number: int, column: str, value: str, what: str) -> SourceFileError:
    return SourceFileError(
        f"{path} row {number}: {column} {shown(value)} is not a readable {what}.",
        hint="The file may be damaged; fetch it again.",
    )
