"""The decoder: a whole batch of records read at a quarter of the model's cost.

`schemas.transaction.Transaction` is the truth: whatever the hot path here does not recognise at once
is handed to it, and its word is final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

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
        Milliseconds since 1970-01-01 UTC, as the producer or broker set them, or as they thought
        they were: what is no such time makes its record dead.
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
            stamp_ms = timestamps_ms[index]
            if not 0 <= stamp_ms <= TIMESTAMP_MS_MAX:
                raise _no_timestamp(stamp_ms)
            if row[2] > stamp_ms * 1000 + limits.future_us_max:
                raise _too_far_ahead(row[2], stamp_ms, limits)
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
        if len(value) > 2 * NESTING_MAX or not value.isascii():
            check_text(value)  # the decoder does not look into fields it does not know
        wire = _decode_wire(value)
        occurred_at_us = (wire.occurred_at - EPOCH) // MICROSECOND
        if not FIRST_US <= occurred_at_us <= LAST_US:
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
