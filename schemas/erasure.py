"""Erasure v1: the record after which nobody knows a customer.

It stands in the transactions topic, keyed by the customer and without a value, so it has its place among
the purchases: whoever reads the log again forgets the customer at the same point again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from schemas.dead_letter import Header
from schemas.errors import InvalidErasureError, shown
from schemas.transaction import is_customer_id

ERASURE_HEADER = "everscore-erasure"
_VERSION = b"v1"


@dataclass(frozen=True, slots=True)
class Erasure:
    """A customer to be forgotten.

    Attributes
    ----------
    customer_id : str
    requested_at_us : int
        The record's timestamp, microseconds since 1970 UTC: what occurred until then never counts again.
    """

    customer_id: str
    requested_at_us: int


def erasure_headers() -> list[Header]:
    """Headers of the record; its key is the customer id, its value is absent."""
    return [(ERASURE_HEADER, _VERSION)]


def is_erasure(value: bytes | None, headers: Sequence[Header]) -> bool:
    """Whether a record is an erasure, and no transaction.

    >>> is_erasure(None, erasure_headers()), is_erasure(None, []), is_erasure(b"{}", erasure_headers())
    (True, False, False)
    """
    return value is None and any(name == ERASURE_HEADER for name, _ in headers)


def read_erasure(key: bytes | None, timestamp_ms: int, headers: Sequence[Header]) -> Erasure:
    """Read a record that `is_erasure`.

    Raises
    ------
    InvalidErasureError
        It names nobody, bears no time, or is of a version that we do not know.
    """
    version = dict(headers)[ERASURE_HEADER]
    if version != _VERSION:
        raise InvalidErasureError(f"erasure {shown(version)} is not the version {_VERSION!r}")
    try:
        customer_id = (key or b"").decode()
    except UnicodeDecodeError:
        customer_id = ""
    if not is_customer_id(customer_id):
        raise InvalidErasureError(f"the key {shown(key)} of an erasure is not a customer id")
    if timestamp_ms < 0:
        raise InvalidErasureError(f"the erasure's timestamp {timestamp_ms} is no time")
    return Erasure(customer_id, timestamp_ms * 1000)


_QUOTED = re.compile(rb'"((?:[^"\\\\]|\\\\.)*)"')


def customers_named(key: bytes | None, value: bytes | None) -> set[str]:
    r"""Whom a record may be about, though it is no transaction: its key, and whom its body names.

    A body that is no JSON object names everything in quotes: rather a text too many is taken for a
    customer than one of theirs is missed.

    >>> sorted(customers_named(b"C-1", b'{"customer_id": "C-2", "sku": "C-3"}'))
    ['C-1', 'C-2']
    >>> sorted(customers_named(None, b'{"customer_id": "C-2", "sku'))
    ['C-2', 'customer_id']
    """
    named = {key.decode(errors="replace")} if key else set()
    body = value or b""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return named | {quoted.decode(errors="replace") for quoted in _QUOTED.findall(body)}
    if isinstance(found, dict) and isinstance(found.get("customer_id"), str):
        named.add(found["customer_id"])
    return named


def tombstone_name(customer_id: str) -> str:
    """What is kept of an erased customer instead of the id: 16 bytes of BLAKE2b, in hexadecimal.

    >>> len(tombstone_name("C-42"))
    32
    """
    return blake2b(customer_id.encode(), digest_size=16).hexdigest()
