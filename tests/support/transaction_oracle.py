"""What the contract says about one record: counted, with which amount, moment and customer, or dead.

Written from the contract (Transaction v1) alone: slow, plain Python with nothing of the production
decoder in it, neither its parsers nor its constants.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

CURRENCY = "USD"
RECORD_BYTES_MAX = 1_048_576
FUTURE = timedelta(hours=1)
NESTING_MAX = 200
AMOUNT_MAX = Decimal(100_000_000_000)
NUMBER_CHARS_MAX = 4_300
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_TIMESTAMP_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# RFC 3339, 5.6 with its notes: T and Z in either case, or a space for the T. Producers also leave out
# the colon of the offset; what a moment means is no less clear for it.
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))"
)
_FORBIDDEN = set("{}*?[]\\\"'`<>")
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}


@dataclass(frozen=True)
class Counted:
    """A record that counts.

    Attributes
    ----------
    customer_id, transaction_id : str
    occurred_at_us : int
        Microseconds since 1970-01-01 UTC.
    units : int
        |amount| in 1/10,000 major units.
    is_refund : bool
    """

    customer_id: str
    transaction_id: str
    occurred_at_us: int
    units: int
    is_refund: bool


@dataclass(frozen=True)
class Dead:
    """A record that does not, and why."""

    why: str


class _Bad(Exception):
    """The record breaks the contract."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, duplicate keys and all."""


def verdict(value: bytes | None, timestamp_ms: int) -> Counted | Dead:
    """Say what becomes of a record.

    Parameters
    ----------
    value : bytes or None
    timestamp_ms : int
        The record's own.
    """
    try:
        return _read(value, timestamp_ms)
    except _Bad as bad:
        return Dead(str(bad))


def _read(value: bytes | None, timestamp_ms: int) -> Counted:
    if value is None:
        raise _Bad("no value")
    if len(value) > RECORD_BYTES_MAX:
        raise _Bad("oversize")
    if not 0 <= timestamp_ms <= LAST_TIMESTAMP_MS:
        raise _Bad("timestamp is no time in milliseconds")
    fields = _object(value)
    transaction_id = fields.get("transaction_id")
    if not isinstance(transaction_id, str) or not 1 <= len(transaction_id) <= 128:
        raise _Bad("transaction_id")
    customer_id = fields.get("customer_id")
    if not isinstance(customer_id, str) or not _is_customer_id(customer_id):
        raise _Bad("customer_id")
    occurred_at_us = _moment(fields.get("occurred_at"))
    amount = _number(fields.get("amount"), "amount")
    if not -AMOUNT_MAX <= amount <= AMOUNT_MAX:  # abs() would round to 28 digits
        raise _Bad("amount beyond the limit")
    currency = fields.get("currency")
    if currency is not None and currency != CURRENCY:
        raise _Bad("currency")
    kind = fields.get("kind", "purchase")
    if kind not in ("purchase", "refund"):
        raise _Bad("kind")
    _check_items(fields.get("items", []))
    channel = fields.get("channel")
    if channel is not None and not isinstance(channel, str):
        raise _Bad("channel")
    recorded_at_us = timestamp_ms * 1000
    if occurred_at_us > recorded_at_us + FUTURE // timedelta(microseconds=1):
        raise _Bad("in the future")
    return Counted(
        customer_id,
        transaction_id,
        occurred_at_us,
        _units(amount),
        kind == "refund" or amount < 0,
    )


def _object(value: bytes) -> dict[str, Any]:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _Bad("not UTF-8") from None
    if _nesting(text) > NESTING_MAX:
        raise _Bad("nested too deep")
    try:
        read = json.loads(
            text,
            parse_float=_binary64,
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_Pairs,
        )
    except ValueError:
        raise _Bad("not JSON") from None
    if not isinstance(read, _Pairs):
        raise _Bad("not an object")
    try:
        for part in _strings(read):
            part.encode()
    except UnicodeEncodeError:
        raise _Bad("half a surrogate pair is no text") from None
    return dict(read)  # of a key that stands there twice, the last value


def _binary64(text: str) -> Decimal:
    """A JSON number is what everyone's parser makes of it: the nearest float, as it prints."""
    return Decimal(repr(float(_of_a_length(text))))


def _integer(text: str) -> int:
    return int(_of_a_length(text))


def _of_a_length(text: str) -> str:
    if len(text) > NUMBER_CHARS_MAX:
        raise ValueError("a number of more digits than anyone means")
    return text


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _nesting(text: str) -> int:
    """How deep brackets stand in one another, as far as the text is JSON."""
    if text.count("[") + text.count("{") <= NESTING_MAX:
        return 0  # no deeper than that, whichever way they stand
    depth = deepest = 0
    within_string = escaped = False
    for character in text:
        if within_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                within_string = False
        elif character == '"':
            within_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _strings(read: Any) -> Iterator[str]:
    if isinstance(read, str):
        yield read
    elif isinstance(read, _Pairs):
        for key, inner in read:
            yield key
            yield from _strings(inner)
    elif isinstance(read, list):
        for inner in read:
            yield from _strings(inner)


def _is_customer_id(text: str) -> bool:
    return 1 <= len(text) <= 128 and not any(
        character in _FORBIDDEN or unicodedata.category(character) in _UNPRINTABLE
        for character in text
    )


def _moment(value: Any) -> int:
    """Microseconds since 1970 UTC; what is finer is rounded, half up."""
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _Bad("occurred_at")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = found.groups()[6:]
    try:
        days = date(year, month, day).toordinal() - EPOCH.toordinal()
    except ValueError:
        raise _Bad("occurred_at is no day") from None
    offset = int(offset_hours or 0) * 60 + int(offset_minutes or 0)
    if hour > 23 or minute > 59 or second > 59 or int(offset_hours or 0) > 23:
        raise _Bad("occurred_at is no time of day")
    if int(offset_minutes or 0) > 59:
        raise _Bad("occurred_at has no such offset")
    tenths_us = int(((fraction or "") + "0000000")[:7])
    local = ((days * 24 + hour) * 60 + minute) * 60 + second
    local_us = local * 1_000_000 + (tenths_us + 5) // 10
    utc_us = local_us - (-offset if sign == "-" else offset) * 60_000_000
    for moment in (local_us, utc_us):  # both have to have a name
        if not _FIRST_US <= moment <= _LAST_US:
            raise _Bad("occurred_at lies outside the years 1 to 9999")
    return utc_us


_FIRST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
_LAST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def _number(value: Any, name: str) -> Decimal:
    """A JSON number or a decimal string, finite."""
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value) is None:
            raise _Bad(f"{name} is no decimal number")
        try:
            value = Decimal(value)
        except ArithmeticError:
            raise _Bad(f"{name} has an exponent beyond all numbers") from None
    elif isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise _Bad(f"{name} is no number")
    return value


def _units(amount: Decimal) -> int:
    with localcontext() as context:
        context.prec = 40  # of the result, which has 16 digits: nothing is rounded before
        rounded = abs(amount.quantize(Decimal("0.0001"), rounding=ROUND_HALF_EVEN))
        return int(rounded * 10_000)


def _check_items(items: Any) -> None:
    if not isinstance(items, list) or isinstance(items, _Pairs):
        raise _Bad("items")
    for item in items:
        fields = dict(item) if isinstance(item, _Pairs) else {}
        if not isinstance(fields.get("sku"), str):
            raise _Bad("sku of an item")
        for name in ("quantity", "unit_price"):
            _number(fields.get(name), f"{name} of an item")
