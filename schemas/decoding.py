"""The decoder: a whole batch of records read at a quarter of the model's cost.

`schemas.transaction.Transaction` is the truth: whatever the hot path here does not recognise at once
is handed to it, and its word is final. Most records `schemas._decoding` reads, where it was built.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.compiled import compiled
from schemas.errors import (
    FutureTransactionError,
    InvalidTimestampError,
    InvalidTransactionError,
    OversizeRecordError,
    WrongCurrencyError,
)
from schemas.raw_json import NESTING_MAX, check_text
from schemas.transaction import (
    AMOUNT_MAJOR_MAX,
    EPOCH,
    FIRST_US,
    ID_CHARS_MAX,
    LAST_US,
    MICROSECOND,
    UNITS_PER_MAJOR,
    Kind,
    Moment,
    is_customer_id,
    parse_transaction,
)

_decoding = compiled("schemas._decoding")

TIMESTAMP_MS_MAX = LAST_US // 1000
"""The end of the year 9999. What a producer stamps in microseconds or finer lies beyond since 1978: see
ops/decisions/0009."""


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
    occurred_at: Moment
    amount: int | float | str
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
        Milliseconds since 1970-01-01 UTC, as the producer or broker set them, or as they thought
        they were: what is no such time makes its record dead.
    limits : DecodingLimits

    Returns
    -------
    DecodedBatch
        Never raises for a bad record: it is in `rejects` with its reason.
    """
    if _decoding is None:
        return decode_plainly(values, timestamps_ms, limits)
    ids, hashes, columns, left = _decoding.read_plain(
        list(values),
        list(timestamps_ms),
        limits.currency.encode(),
        limits.future_us_max,
        min(2 * NESTING_MAX, limits.record_bytes_max),
        TIMESTAMP_MS_MAX,
    )
    positions, occurred, units, refund = columns[:, : len(ids)]
    plain = DecodedBatch(positions, ids, hashes, occurred, units, refund.astype(np.bool_), [])
    if not left:
        return plain
    rest = decode_plainly(
        [values[index] for index in left], [timestamps_ms[index] for index in left], limits
    )
    return _merged(plain, rest, np.array(left, dtype=np.intp))


def _merged(plain: DecodedBatch, rest: DecodedBatch, left: NDArray[np.intp]) -> DecodedBatch:
    """A batch from two parts of it; `left` says where each record of the rest stood."""
    positions = np.concatenate((plain.positions, left[rest.positions]))
    order = np.argsort(positions)
    ids, hashes = plain.customer_ids + rest.customer_ids, plain.hashes + rest.hashes
    return DecodedBatch(
        positions[order],
        [ids[place] for place in order.tolist()],
        [hashes[place] for place in order.tolist()],
        np.concatenate((plain.occurred_at_us, rest.occurred_at_us))[order],
        np.concatenate((plain.amount_units, rest.amount_units))[order],
        np.concatenate((plain.is_refund, rest.is_refund))[order],
        [(int(left[index]), error) for index, error in rest.rejects],
    )


def decode_plainly(
    values: Sequence[bytes | None],
    timestamps_ms: Sequence[int],
    limits: DecodingLimits,
) -> DecodedBatch:
    """The same in Python, for records of any shape."""
    stamps_ms = np.array(timestamps_ms, dtype=np.int64)
    wires, rows, plain = _read_plain(values, stamps_ms, limits)
    ids = [wire.customer_id for wire in wires]
    hashes = [transaction_hash(wire.transaction_id) for wire in wires]
    if len(rows) == len(values):
        return DecodedBatch(rows, ids, hashes, *plain, [])
    rejects: list[tuple[int, InvalidTransactionError]] = []
    found = dict(
        zip(rows.tolist(), zip(ids, hashes, *(c.tolist() for c in plain), strict=True), strict=True)
    )
    for index in sorted(set(range(len(values))) - found.keys()):
        try:
            row = _read(values[index], limits)
            stamp_ms = timestamps_ms[index]
            if not 0 <= stamp_ms <= TIMESTAMP_MS_MAX:
                raise _no_timestamp(stamp_ms)
            if row[2] > stamp_ms * 1000 + limits.future_us_max:
                raise _too_far_ahead(row[2], stamp_ms, limits)
        except InvalidTransactionError as error:
            rejects.append((index, error))
            continue
        found[index] = row
    positions = sorted(found)
    columns = [[found[index][column] for index in positions] for column in range(5)]
    return DecodedBatch(
        positions=np.array(positions, dtype=np.intp),
        customer_ids=columns[0],
        hashes=columns[1],
        occurred_at_us=np.array(columns[2], dtype=np.int64),
        amount_units=np.array(columns[3], dtype=np.int64),
        is_refund=np.array(columns[4], dtype=np.bool_),
        rejects=rejects,
    )


_Plain = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


def _read_plain(
    values: Sequence[bytes | None], stamps_ms: NDArray[np.int64], limits: DecodingLimits
) -> tuple[list[_Wire], NDArray[np.intp], _Plain]:
    """Those about which there is no doubt, looked at all at once.

    Returns
    -------
    list of wires, their indices, and their occurred_at_us, amount_units and is_refund
    """
    size_max = min(2 * NESTING_MAX, limits.record_bytes_max)
    found: list[tuple[int, _Wire]] = []
    for index, value in enumerate(values):
        if value is not None and len(value) <= size_max and value.isascii():
            try:
                found.append((index, _decode_wire(value)))
            except msgspec.MsgspecError:
                continue
    if not found:
        return [], _NO_ROWS, (_NO_ROWS, _NO_ROWS, _NO_ROWS.astype(np.bool_))
    wires = [wire for _, wire in found]
    rows = np.array([index for index, _ in found], dtype=np.intp)
    occurred = np.array([(wire.occurred_at - EPOCH) // MICROSECOND for wire in wires])
    amounts = np.array([_as_float(wire.amount) for wire in wires])
    scaled = amounts * UNITS_PER_MAJOR
    units = np.rint(scaled)
    stamps = stamps_ms[rows]
    known = (stamps >= 0) & (stamps <= TIMESTAMP_MS_MAX)
    latest = np.where(known, stamps, 0) * 1000 + limits.future_us_max
    sure = known & (occurred <= latest) & (occurred >= FIRST_US) & (occurred <= LAST_US)
    # A float's shortest decimal form is what the producer wrote; rounding that form is what the
    # model does, and differs from rounding the product in rare ties. Integers are exact.
    with np.errstate(invalid="ignore"):
        sure &= (np.abs(amounts) <= AMOUNT_MAJOR_MAX) & (np.abs(scaled - units) <= 1e-4)
    currencies = {wire.currency for wire in wires} - {None, limits.currency}
    if currencies:
        sure &= np.array([wire.currency not in currencies for wire in wires])
    if not _are_plain([wire.customer_id for wire in wires]):
        sure &= np.array([is_customer_id(wire.customer_id) for wire in wires])
    refund = np.array([wire.kind is Kind.REFUND for wire in wires]) | (amounts < 0)
    if not sure.all():
        wires = [wire for wire, good in zip(wires, sure.tolist(), strict=True) if good]
    plain = occurred[sure], np.abs(units[sure]).astype(np.int64), refund[sure]
    return wires, rows[sure], plain


_NO_ROWS = np.zeros(0, dtype=np.int64)
_PLAIN_IDS = re.compile(r"[A-Za-z0-9_.:\n-]+")


def _are_plain(customer_ids: Sequence[str]) -> bool:
    """Whether no id of some needs a second look; one that holds a line break of its own does."""
    lines = "\n".join(customer_ids)
    return lines.count("\n") < len(customer_ids) and _PLAIN_IDS.fullmatch(lines) is not None


# Decimal strings whose units a float multiplied by 10,000 is nearest to, without a doubt.
_is_plain_decimal = re.compile(r"-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,4})?").fullmatch


def _as_float(amount: float | str) -> float:
    """What the amount is, or infinity where the model has to look."""
    if isinstance(amount, str):
        return float(amount) if _is_plain_decimal(amount) else np.inf
    return amount if -AMOUNT_MAJOR_MAX <= amount <= AMOUNT_MAJOR_MAX else np.inf


def _read(value: bytes | None, limits: DecodingLimits) -> tuple[str, bytes, int, int, bool]:
    if value is None:
        raise InvalidTransactionError("record has no value (a tombstone)")
    if len(value) > limits.record_bytes_max:
        raise OversizeRecordError(
            f"record of {len(value):,} bytes is larger than the limit of {limits.record_bytes_max:,}"
        )
    try:
        if len(value) > 2 * NESTING_MAX or not value.isascii():
            check_text(value)  # the decoder does not look into fields it does not know
        wire = _decode_wire(value)
        occurred_at_us = (wire.occurred_at - EPOCH) // MICROSECOND
        if not FIRST_US <= occurred_at_us <= LAST_US:
            return _read_slowly(value, limits)
        amount = wire.amount
        if (
            isinstance(amount, str)
            or not -AMOUNT_MAJOR_MAX <= amount <= AMOUNT_MAJOR_MAX
            or not is_customer_id(wire.customer_id)
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
    except (msgspec.MsgspecError, OverflowError):
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


def _no_timestamp(stamp_ms: int) -> InvalidTimestampError:
    if stamp_ms == -1:
        return InvalidTimestampError("the record has no timestamp (−1)")
    return InvalidTimestampError(
        f"the record's timestamp {stamp_ms} is no time in milliseconds, 0 to {TIMESTAMP_MS_MAX}"
    )


def _too_far_ahead(
    occurred_at_us: int, timestamp_ms: int, limits: DecodingLimits
) -> FutureTransactionError:
    occurred_at = EPOCH + timedelta(microseconds=occurred_at_us)
    recorded_at = EPOCH + timedelta(milliseconds=timestamp_ms)
    return FutureTransactionError(
        f"occurred_at {occurred_at.isoformat()} lies more than {limits.future_us_max // 1_000_000} s "
        f"ahead of its record's timestamp {recorded_at.isoformat(timespec='milliseconds')}"
    )
