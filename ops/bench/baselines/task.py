"""What a baseline process is told, and how it reads a purchase and tells a change.

Owns the one argument of each baseline's command line, the purchase's fields that the job needs, and
the names in Redis. Imports nothing of the product.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

COUNTED = "counted"
"""Redis key: how many purchases are in the hashes; written with them."""

CUSTOMER = "customer:"
"""Before each customer's id."""

PACKED = struct.Struct("<iiId")
"""The limit's customers: first day, last day, repeat purchase days, money after the first day."""

FETCHING = {
    # The in-memory broker answers an idle fetch only when its time is up. Everscore's worker waits as long
    # (EVERSCORE_FETCH_MAX_WAIT_MS).
    "fetch.wait.max.ms": 20,
    # With 100,000 records in its queue librdkafka rests for a second by default, and runs dry meanwhile.
    "fetch.queue.backoff.ms": 10,
}
"""What all users of librdkafka here set."""


class Card(msgspec.Struct, frozen=True):
    """The numbers to score by; MBG/NBD parameters, scaler and centroids."""

    r: float
    alpha_days: float
    a: float
    b: float
    mean: Sequence[float]
    scale: Sequence[float]
    centroids: Sequence[Sequence[float]]
    segments: Sequence[str]


class Task(msgspec.Struct, frozen=True):
    """Where to read, where to write, and by which numbers.

    Attributes
    ----------
    redis_port : int
        Of 127.0.0.1.
    folder : str
        Empty, for what the engine keeps on disk.
    """

    kafka: str
    redis_port: int
    topic: str
    changes_topic: str
    group: str
    folder: str
    card: Card


class Purchase(msgspec.Struct, gc=False):
    """What the job needs of a Transaction v1."""

    customer_id: str
    occurred_at: datetime
    amount: float


decode_purchase = msgspec.json.Decoder(Purchase).decode
_encode = msgspec.json.Encoder().encode


def read_task() -> Task:
    """The task in the command line's only argument."""
    return msgspec.json.decode(sys.argv[1], type=Task)


def change_body(
    customer_id: str,
    previous: str | None,
    current: str,
    occurred_at: datetime,
    prob_alive: float,
    source: tuple[int, int],
) -> bytes:
    """A change of segment as its topic has it; the source is partition and offset."""
    body: dict[str, Any] = {
        "customer_id": customer_id,
        "previous": previous,
        "current": current,
        "occurred_at": occurred_at,
        "prob_alive": prob_alive,
        "source": {"partition": source[0], "offset": source[1]},
    }
    return _encode(body)
