"""A customer with their partition's clock and scorecards: all that an answer about one of them needs.

Owns the two commands that ask Redis for it, and reading their replies. They travel together and are
carried out in this order: who reads a customer first and the partition afterwards knows every scorecard
that the customer names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from scoring.states import UNKNOWN_US
from state.codec import parse_time
from state.fields import FIELDS
from state.keys import Keys
from state.store import Adoption, Glimpse

_CLOCK_FIELDS = ("stream_time", "live", "scorecards")
_LEDGER = len(FIELDS) - 1  # whoever is known has one


def glimpse_commands(keys: Keys, partition: int, customer_id: str) -> bytes:
    r"""The two commands as Redis reads them.

    Raises
    ------
    InvalidTransactionError
        The id may not become part of a key.

    Examples
    --------
    >>> glimpse_commands(Keys(), 0, "C-1")[:48]
    b'*24\r\n$5\r\nHMGET\r\n$12\r\ncustomer:C-1\r\n$9\r\nfrequency'
    """
    key = keys.customer(partition, customer_id).encode()
    return b"%b$%d\r\n%b\r\n%b" % (_HEAD, len(key), key, _rest(keys, partition))


def read_glimpse(row: Sequence[bytes | None], clock: Sequence[bytes | None]) -> Glimpse:
    """Their replies."""
    stream_time, live, scorecards = clock
    known = row[_LEDGER] is not None
    return Glimpse(
        dict(zip(FIELDS, row, strict=True)) if known else None,  # type: ignore[arg-type]
        parse_time(stream_time or b"", UNKNOWN_US),
        live == b"1",
        _adoptions(scorecards or b"[]"),
    )


def _packed(*words: str) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()) for word in words)


_HEAD = b"*%d\r\n%b" % (2 + len(FIELDS), _packed("HMGET"))


@lru_cache(maxsize=1024)  # partitions
def _rest(keys: Keys, partition: int) -> bytes:
    """What follows the customer's key: fields, and the command that asks for the partition."""
    words = ("HMGET", keys.partition(partition), *_CLOCK_FIELDS)
    return b"%b*%d\r\n%b" % (_packed(*FIELDS), len(words), _packed(*words))


@lru_cache(maxsize=1024)  # they change by the month, and are the same object until then
def _adoptions(text: bytes) -> tuple[Adoption, ...]:
    return tuple((int(moment), str(version)) for moment, version in msgspec.json.decode(text))
