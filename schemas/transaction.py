"""Transaction v1: what a producer publishes.

Owns the contract (`Transaction`) and the hot path (`decode_transactions`) that reads a whole
batch of records at a quarter of its cost. The model is the truth: whatever the hot path
does not recognise at once is handed to the model, whose word is final.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from schemas.errors import (
    FutureTransactionError,
    InvalidTransactionError,
    OversizeRecordError,
    WrongCurrencyError,
    shown,
)

UNITS_PER_MAJOR = 10_000
"""Money is an exact integer of 1/10,000 major units; floats do not commute."""

AMOUNT_MAJOR_MAX = 10**11
"""Largest |amount|. Sums of 9,000 such amounts still fit an int64 of units; real ones are far below."""

ID_CHARS_MAX = 128

# Printable, no whitespace, none of the characters that mean something to Redis globs, hash tags,
# shells or quotes: an id becomes part of a key.
CUSTOMER_ID_PATTERN = r"^[^\s\x00-\x1f\x7f-\xa0{}*?\[\]\\\"'`<>]{1,128}$"
_CUSTOMER_ID = re.compile(CUSTOMER_ID_PATTERN[:-1] + r"\Z")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# An offset can carry a moment of the years 1 or 9999 out of the years that UTC has names for.
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


def is_customer_id(text: str) -> bool:
    """Whether a text may become part of a key.

    >>> is_customer_id("C-00042"), is_customer_id("a:b{c}*"), is_customer_id("a b")
    (True, False, False)
    """
    if _CUSTOMER_ID.match(text) is None:
        return False
    return text.isascii() or (
        text.isprintable() and text.encode("utf-8", "ignore").decode() == text
    )


def _customer_id(value: Any) -> Any:
    if isinstance(value, str) and not is_customer_id(value):
        raise ValueError(
            f"customer_id {shown(value)} must be 1 to {ID_CHARS_MAX} printable characters "
            "without spaces, quotes, brackets, braces, backslash, * or ?"
        )
    return value


def _rfc3339(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or value.lstrip("+-").replace(".", "", 1).isdigit():
        raise ValueError(f"occurred_at {shown(value)} must be an RFC 3339 string with an offset")
    try:
        # The hot path's own parser: pydantic's cuts what is finer than a microsecond, this one rounds.
        return msgspec.convert(value, _Moment)
    except msgspec.ValidationError:
        return value


def _within_calendar(value: datetime) -> datetime:
    if not _FIRST_US <= (value - _EPOCH) // _MICROSECOND <= _LAST_US:
        raise ValueError(f"occurred_at {value.isoformat()} lies outside the years 1 to 9999 of UTC")
    return value


def _amount(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"amount {shown(value)} must be a number or a decimal string")
    try:
        amount = Decimal(str(value)) if not isinstance(value, Decimal) else value
    except ArithmeticError:
        raise ValueError(f"amount {shown(value)} is not a decimal number") from None
    if not amount.is_finite():
        raise ValueError(f"amount {shown(value)} is not finite")
    if abs(amount) > AMOUNT_MAJOR_MAX:
        raise ValueError(f"amount {shown(value)} is beyond ±{AMOUNT_MAJOR_MAX:,}")
    return amount


class Kind(StrEnum):
    """What a transaction is; a negative amount is a refund whatever it says."""

    PURCHASE = "purchase"
    REFUND = "refund"


class Item(BaseModel):
    """One line of a basket; carried, not scored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    sku: str
    quantity: Decimal
    unit_price: Decimal


CustomerId = Annotated[str, BeforeValidator(_customer_id), Field(pattern=CUSTOMER_ID_PATTERN)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Transaction(BaseModel):
    """One purchase or refund of one customer. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, title="Transaction v1")

    transaction_id: Annotated[str, StringConstraints(min_length=1, max_length=ID_CHARS_MAX)] = (
        Field(description="Counts once, however often it is published.")
    )
    customer_id: CustomerId = Field(description="Also the record's key.")
    occurred_at: Annotated[
        AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_within_calendar)
    ] = Field(description="RFC 3339 with an offset.")
    amount: Annotated[Decimal, BeforeValidator(_amount)] = Field(
        description="Major units, a number or a decimal string; rounded half-even to 1/10,000."
    )
    currency: Currency | None = Field(
        default=None, description="ISO 4217; the configured one if absent."
    )
    kind: Kind = Kind.PURCHASE
    items: tuple[Item, ...] = ()
    channel: str | None = None

    @property
    def is_refund(self) -> bool:
        """A refund by kind or by sign."""
        return self.kind is Kind.REFUND or self.amount < 0

    @property
    def amount_units(self) -> int:
        """|amount| in 1/10,000 major units."""
        exact = abs(self.amount) * UNITS_PER_MAJOR
        return int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))

    @property
    def occurred_at_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return (self.occurred_at - _EPOCH) // _MICROSECOND


def parse_transaction(raw: bytes) -> Transaction:
    """Read one record by the model.

    Raises
    ------
    InvalidTransactionError
        Names the field and the value seen.
    """
    try:
        return Transaction.model_validate_json(raw)
    except ValidationError as error:
        reasons = "; ".join(_reason(detail) for detail in error.errors(include_url=False)[:3])
        raise InvalidTransactionError(reasons) from None


def _reason(detail: Any) -> str:
    field = ".".join(str(part) for part in detail["loc"]) or "record"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return str(message)
    if detail["type"] == "missing":
        return f"{field} is missing"
    return f"{field} {shown(detail['input'])}: {message}"


def transaction_hash(transaction_id: str) -> bytes:
    """8 bytes that stand for a transaction id in a customer's recent ids.

    With 1,000 recent ids of one customer, two collide with probability 3e-14.
    """
    return blake2b(transaction_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """The good records of a batch as columns, in log order, and the bad ones with their reasons.

    Attributes
    ----------
    positions : intp, shape (n,)
        Index of each good record in the batch handed in.
    customer_ids : list of str, length n
    hashes : list of bytes, length n
        `transaction_hash` of each.
    occurred_at_us : int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    amount_units : int64, shape (n,)
        |amount| in 1/10,000 major units.
    is_refund : bool, shape (n,)
    rejects : list of (index, error)
    """

    positions: NDArray[np.intp]
    customer_ids: list[str]
    hashes: list[bytes]
    occurred_at_us: NDArray[np.int64]
    amount_units: NDArray[np.int64]
    is_refund: NDArray[np.bool_]
    rejects: list[tuple[int, InvalidTransactionError]]


class _WireItem(msgspec.Struct, gc=False):
    sku: str
    quantity: int | float
    unit_price: int | float


class _Wire(msgspec.Struct, gc=False):
    """The shape nearly every record has; anything else goes to the model."""

    transaction_id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
    customer_id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
    occurred_at: _Moment
    amount: int | float
    currency: str | None = None
    kind: Kind = Kind.PURCHASE
    items: list[_WireItem] = []
    channel: str | None = None


_decode_wire = msgspec.json.Decoder(_Wire).decode


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What the decoder refuses beyond the shape of a record.

    Attributes
    ----------
    currency : str
        ISO 4217; the only one counted.
    future_us_max : int
        Microseconds a transaction may lie ahead of its record's own timestamp. The record's
        timestamp, not the worker's clock: a replay must refuse what the first reading refused.
    record_bytes_max : int
    """

    currency: str = "USD"
    future_us_max: int = 3_600_000_000
    record_bytes_max: int = 1_048_576


def decode_transactions(
    values: Sequence[bytes | None],
    timestamps_ms: Sequence[int],
    limits: DecodingLimits,
) -> DecodedBatch:
    """Read a batch of records.

    Parameters
    ----------
    values : n record values
    timestamps_ms : n record timestamps
        Milliseconds since 1970-01-01 UTC, as the producer or broker set them.
    limits : DecodingLimits

    Returns
    -------
    DecodedBatch
        Never raises for a bad record: it is in `rejects` with its reason.
    """
    positions: list[int] = []
    customer_ids: list[str] = []
    hashes: list[bytes] = []
    occurred: list[int] = []
    units: list[int] = []
    refunds: list[bool] = []
    rejects: list[tuple[int, InvalidTransactionError]] = []
    for index, value in enumerate(values):
        try:
            row = _read(value, limits)
            if row[2] > timestamps_ms[index] * 1000 + limits.future_us_max:
                raise _too_far_ahead(row[2], timestamps_ms[index], limits)
        except InvalidTransactionError as error:
            rejects.append((index, error))
            continue
        positions.append(index)
        customer_ids.append(row[0])
        hashes.append(row[1])
        occurred.append(row[2])
        units.append(row[3])
        refunds.append(row[4])
    return DecodedBatch(
        positions=np.array(positions, dtype=np.intp),
        customer_ids=customer_ids,
        hashes=hashes,
        occurred_at_us=np.array(occurred, dtype=np.int64),
        amount_units=np.array(units, dtype=np.int64),
        is_refund=np.array(refunds, dtype=np.bool_),
        rejects=rejects,
    )


def _read(value: bytes | None, limits: DecodingLimits) -> tuple[str, bytes, int, int, bool]:
    if value is None:
        raise InvalidTransactionError("record has no value (a tombstone)")
    if len(value) > limits.record_bytes_max:
        raise OversizeRecordError(
            f"record of {len(value):,} bytes is larger than the limit of {limits.record_bytes_max:,}"
        )
    try:
        if not value.isascii():
            value.decode()  # the decoder does not look into fields it does not know
        wire = _decode_wire(value)
        occurred_at_us = (wire.occurred_at - _EPOCH) // _MICROSECOND
        if not _FIRST_US <= occurred_at_us <= _LAST_US:
            return _read_slowly(value, limits)
        amount = wire.amount
        if not -AMOUNT_MAJOR_MAX <= amount <= AMOUNT_MAJOR_MAX or not is_customer_id(
            wire.customer_id
        ):
            return _read_slowly(value, limits)
        if wire.currency is not None and wire.currency != limits.currency:
            return _read_slowly(value, limits)
        if type(amount) is float:
            # A float's shortest decimal form is what the producer wrote; rounding that form is
            # what the model does, and differs from rounding the product in rare ties.
            scaled = amount * UNITS_PER_MAJOR
            units = round(scaled)
            if abs(scaled - units) > 1e-4:
                return _read_slowly(value, limits)
        else:
            units = int(amount) * UNITS_PER_MAJOR
        return (
            wire.customer_id,
            transaction_hash(wire.transaction_id),
            occurred_at_us,
            abs(units),
            wire.kind is Kind.REFUND or amount < 0,
        )
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError):
        return _read_slowly(value, limits)


def _read_slowly(value: bytes, limits: DecodingLimits) -> tuple[str, bytes, int, int, bool]:
    transaction = parse_transaction(value)
    if transaction.currency is not None and transaction.currency != limits.currency:
        raise WrongCurrencyError(
            f"currency {transaction.currency!r} is not the configured {limits.currency!r}"
        )
    return (
        transaction.customer_id,
        transaction_hash(transaction.transaction_id),
        transaction.occurred_at_us,
        transaction.amount_units,
        transaction.is_refund,
    )


def _too_far_ahead(
    occurred_at_us: int, timestamp_ms: int, limits: DecodingLimits
) -> FutureTransactionError:
    occurred_at = _EPOCH + timedelta(microseconds=occurred_at_us)
    recorded_at = _EPOCH + timedelta(milliseconds=max(timestamp_ms, 0))  # −1: it has none
    return FutureTransactionError(
        f"occurred_at {occurred_at.isoformat()} lies more than {limits.future_us_max // 1_000_000} s "
        f"ahead of its record's timestamp {recorded_at.isoformat(timespec='milliseconds')}"
    )
