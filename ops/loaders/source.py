"""What every reader of purchase files yields, and its account of what became of each row.

Owns the records (`SourceTransaction`, `RawRecord`), the options a person can give (`LoadOptions`)
and the account (`LoadReport`). Reads no file, knows no format and no broker. Time order needs
every record at once, so a file's records must fit in memory: about 0.4 GB per million.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Literal, TypeAlias, TypeVar

import msgspec

from schemas.transaction import AMOUNT_MAJOR_MAX, UNITS_PER_MAJOR

EXAMPLES_MAX = 5
"""Rows quoted in a report: enough to see the pattern, few enough to read."""

MISSING_CUSTOMER = "no customer"
"""Reason under which every format counts rows skipped for want of a customer."""

MissingCustomer: TypeAlias = Literal["skip", "dead-letter"]
"""Rows without a customer: leave them out, or replay them for the worker to dead-letter."""

_UNIT = Decimal(1) / UNITS_PER_MAJOR


class _Wire(msgspec.Struct, gc=False):
    transaction_id: str
    customer_id: str | msgspec.UnsetType
    occurred_at: datetime
    amount: Decimal | str
    kind: str
    currency: str | msgspec.UnsetType


_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class SourceTransaction:
    """One purchase or refund read from a file.

    Attributes
    ----------
    transaction_id : str
        The same for the same row of the same file, so that replaying twice counts once.
    customer_id : str or None
        None: the file names nobody; the worker dead-letters the record.
    occurred_at : datetime
        Aware.
    amount : Decimal
        Major units, not negative; `kind` gives the direction.
    kind : "purchase" or "refund"
    """

    transaction_id: str
    customer_id: str | None
    occurred_at: datetime
    amount: Decimal
    kind: Literal["purchase", "refund"] = "purchase"

    def payload(self, currency: str | None = None) -> bytes:
        """Return the record as the JSON bytes of a Transaction v1.

        Parameters
        ----------
        currency : str or None
            ISO 4217; None leaves the field out and the worker takes the configured one.

        Returns
        -------
        bytes
            Compact JSON. The amount is a number when 1/10,000 major units hold it exactly (then
            a double does too), else a decimal string; no digit is lost either way.

        Examples
        --------
        >>> from datetime import UTC
        >>> moment = datetime(1997, 1, 1, tzinfo=UTC)
        >>> SourceTransaction("t-1", "C-7", moment, Decimal("11.77")).payload()[:40]
        b'{"transaction_id":"t-1","customer_id":"C'
        """
        amount = self.amount
        exact = abs(amount) <= AMOUNT_MAJOR_MAX and amount == amount.quantize(_UNIT)
        return _encode(
            _Wire(
                self.transaction_id,
                msgspec.UNSET if self.customer_id is None else self.customer_id,
                self.occurred_at,
                amount if exact else str(amount),
                self.kind,
                msgspec.UNSET if currency is None else currency,
            )
        )


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record replayed byte for byte, readable or not.

    Attributes
    ----------
    customer_id : str or None
        The record's key; None if it names nobody.
    occurred_at : datetime
        Aware; its place in the replay. A record whose own time cannot be read takes that of the
        readable one before it.
    raw : bytes
    """

    customer_id: str | None
    occurred_at: datetime
    raw: bytes

    def payload(self, currency: str | None = None) -> bytes:
        """Return the bytes as they were in the file; `currency` is not added.

        Returns
        -------
        bytes
        """
        return self.raw


SourceRecord: TypeAlias = SourceTransaction | RawRecord


@dataclass(slots=True)
class LoadReport:
    """What became of each row: `rows_read == rows_used + rows_skipped`, always.

    A row is what the format counts by (a line, an order); header and blank lines are none. The
    report is complete when the loader returns, before its first record is taken.

    Attributes
    ----------
    rows_read, rows_used : int
    skipped : Counter of str
        Reason -> rows left out.
    purchases, refunds : int
        Transactions yielded.
    expected_dead_letters : int
        Records yielded that the worker will refuse: no customer, or no Transaction v1.
    missing_customer_rows : int
        Rows without a customer, whether skipped or used.
    also_read : Counter of str
        What was read beside the rows, such as payments joined to orders.
    examples : list of str
        The first `EXAMPLES_MAX` rows that could not be read, each with number, value and reason.
    first_at, last_at : datetime or None
        Time span of what was yielded.
    """

    rows_read: int = 0
    rows_used: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    purchases: int = 0
    refunds: int = 0
    expected_dead_letters: int = 0
    missing_customer_rows: int = 0
    also_read: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def rows_skipped(self) -> int:
        """Rows left out for whatever reason."""
        return self.skipped.total()

    @property
    def transactions(self) -> int:
        """Purchases and refunds yielded."""
        return self.purchases + self.refunds

    @property
    def records(self) -> int:
        """All that is yielded: transactions and expected dead letters."""
        return self.transactions + self.expected_dead_letters

    def give_example(self, text: str) -> None:
        """Keep the text if there is room among the examples."""
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(text)

    def count_transaction(self, transaction: SourceTransaction) -> None:
        """Count one transaction about to be yielded."""
        if transaction.customer_id is None:
            self.expected_dead_letters += 1
        elif transaction.kind == "refund":
            self.refunds += 1
        else:
            self.purchases += 1


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a person can say about a file; each format reads some of it.

    Attributes
    ----------
    timezone : str or None
        IANA name in which times without an offset are meant; None is the format's own default.
    missing_customer : "skip" or "dead-letter"
    columns : mapping of str to str
        Transaction field -> column of the file, for `csv`.
    date_format : str or None
        `strptime` format for `csv`; None reads ISO 8601.
    decimal_comma : bool
        Amounts are written 1.234,56.
    delimiter : str or None
        None finds it from the header.
    encoding : str
    """

    timezone: str | None = None
    missing_customer: MissingCustomer = "skip"
    columns: Mapping[str, str] = field(default_factory=dict)
    date_format: str | None = None
    decimal_comma: bool = False
    delimiter: str | None = None
    encoding: str = "utf-8-sig"


_Record = TypeVar("_Record", SourceTransaction, RawRecord)


def in_time_order(records: list[_Record], report: LoadReport) -> Iterator[_Record]:
    """Sort in place, equal times in file order, and note the span in the report.

    Parameters
    ----------
    records : list of SourceTransaction or of RawRecord
        In file order.
    report : LoadReport
        Gets `first_at` and `last_at`.

    Returns
    -------
    iterator over the records
    """
    records.sort(key=attrgetter("occurred_at"))
    if records:
        report.first_at, report.last_at = records[0].occurred_at, records[-1].occurred_at
    return iter(records)
