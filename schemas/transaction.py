"""Transaction v1: what a producer publishes.

Owns the contract, field by field, and what each refuses. Reading many at once is `schemas.decoding`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)

from schemas.errors import InvalidTransactionError, shown
from schemas.raw_json import decode_object, decode_value

UNITS_PER_MAJOR = 10_000
"""Money is an exact integer of 1/10,000 major units; floats do not commute."""

AMOUNT_MAJOR_MAX = 10**11
"""Largest |amount|; a customer's sums have a limit too, `scoring.ledger.TOTAL_UNITS_MAX`."""

_UNIT = Decimal("0.0001")

ID_CHARS_MAX = 128

# Printable, no whitespace, none of the characters that mean something to Redis globs, hash tags,
# shells or quotes: an id becomes part of a key.
CUSTOMER_ID_PATTERN = r"^[^\s\x00-\x1f\x7f-\xa0{}*?\[\]\\\"'`<>]{1,128}$"
_CUSTOMER_ID = re.compile(CUSTOMER_ID_PATTERN[:-1] + r"\Z")

# Decimal itself also reads "1_000", " 1 " and the digits of other scripts, and so would hide a fault.
_DECIMAL = re.compile(
    r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# An offset can carry a moment of the years 1 or 9999 out of the years that UTC has names for.
FIRST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LAST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


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
    try:
        # The hot path's own parser: pydantic's cuts what is finer than a microsecond and reads numbers,
        # minutes without seconds and other marks than RFC 3339's; this one rounds and reads none of them.
        return msgspec.convert(value, Moment)
    except msgspec.ValidationError:
        raise ValueError(
            f"occurred_at {shown(value)} must be an RFC 3339 string with an offset"
        ) from None


def _within_calendar(value: datetime) -> datetime:
    if not FIRST_US <= (value - EPOCH) // MICROSECOND <= LAST_US:
        raise ValueError(f"occurred_at {value.isoformat()} lies outside the years 1 to 9999 of UTC")
    return value


def _decimal(value: Any, info: ValidationInfo) -> Decimal:
    name = info.field_name
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"{name} {shown(value)} must be a number or a decimal string")
    if isinstance(value, str) and _DECIMAL.fullmatch(value) is None:
        raise ValueError(f"{name} {shown(value)} is not a decimal number")
    try:
        number = Decimal(str(value)) if not isinstance(value, Decimal) else value
    except ArithmeticError:
        raise ValueError(f"{name} {shown(value)} is not a decimal number") from None
    if not number.is_finite():
        raise ValueError(f"{name} {shown(value)} is not finite")
    return number


def _amount(value: Any, info: ValidationInfo) -> Decimal:
    amount = _decimal(value, info)
    if not -AMOUNT_MAJOR_MAX <= amount <= AMOUNT_MAJOR_MAX:
        raise ValueError(f"amount {shown(value)} is beyond ±{AMOUNT_MAJOR_MAX:,}")
    return amount


FiniteDecimal = Annotated[Decimal, BeforeValidator(_decimal)]


class Kind(StrEnum):
    """What a transaction is; a negative amount is a refund whatever it says."""

    PURCHASE = "purchase"
    REFUND = "refund"


class Item(BaseModel):
    """One line of a basket; carried, not scored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    sku: str
    quantity: FiniteDecimal
    unit_price: FiniteDecimal


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
    ] = Field(
        description="RFC 3339 with an offset, whose colon may be missing; rounded to microseconds."
    )
    amount: Annotated[Decimal, BeforeValidator(_amount)] = Field(
        description="Major units, a number or a decimal string; rounded half-even to 1/10,000."
    )
    currency: Currency | None = Field(
        default=None, description="ISO 4217; the configured one if absent."
    )
    kind: Kind = Kind.PURCHASE
    items: Annotated[
        tuple[Item, ...], FailFast()
    ] = ()  # a million bad ones need no million reasons
    channel: str | None = None

    @property
    def is_refund(self) -> bool:
        """A refund by kind or by sign."""
        return self.kind is Kind.REFUND or self.amount < 0

    @property
    def amount_units(self) -> int:
        """|amount| in 1/10,000 major units."""
        # Rounded once, from all digits there are: arithmetic would first round to 28 of them.
        rounded = self.amount.quantize(_UNIT, rounding=ROUND_HALF_EVEN)
        return int(abs(rounded) * UNITS_PER_MAJOR)

    @property
    def occurred_at_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return (self.occurred_at - EPOCH) // MICROSECOND


_MISSING = msgspec.Raw(b"")


class _Fields(msgspec.Struct, gc=False):
    """The fields as they stand in the record; of one that stands there twice, the last."""

    transaction_id: msgspec.Raw = _MISSING
    customer_id: msgspec.Raw = _MISSING
    occurred_at: msgspec.Raw = _MISSING
    amount: msgspec.Raw = _MISSING
    currency: msgspec.Raw = _MISSING
    kind: msgspec.Raw = _MISSING
    items: msgspec.Raw = _MISSING
    channel: msgspec.Raw = _MISSING


_fields_decoder = msgspec.json.Decoder(_Fields)


def parse_transaction(raw: bytes) -> Transaction:
    """Read one record by the model.

    Raises
    ------
    InvalidTransactionError
        Names the field and the value seen.
    """
    found = decode_object(raw, _fields_decoder)
    values = {
        name: decode_value(name, text)
        for name in found.__struct_fields__
        if (text := getattr(found, name)) is not _MISSING
    }
    try:
        return Transaction.model_validate(values)
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
