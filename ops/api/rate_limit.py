"""How much one caller may ask: a bucket of tokens each."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from hashlib import blake2b
from typing import Protocol

from ops.api.shared_file import SharedFile

CALLERS_MAX = 10_000  # buckets kept; whoever comes back after so many others begins with a full one

_DIGEST_BYTES = 16
_SLOT = struct.Struct(f"<{_DIGEST_BYTES}sdd")  # whose, tokens, since
_GROUP_SLOTS, _GROUPS = 8, 2_048
_GROUP_BYTES = _GROUP_SLOTS * _SLOT.size
SHARED_BYTES = _GROUPS * _GROUP_BYTES


class Limit(Protocol):
    """What says who has to wait."""

    def wait_seconds(
        self, caller: str, per_second: float, burst: int, *, now: float, cost: int = 1
    ) -> int:
        """See `RateLimit.wait_seconds`."""


class RateLimit:
    """Buckets that fill with time.

    Examples
    --------
    >>> limit = RateLimit()
    >>> [limit.wait_seconds("k", 2.0, 2, now=0.0) for _ in range(3)]
    [0, 0, 1]
    >>> limit.wait_seconds("k", 2.0, 2, now=0.5)
    0
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(
        self, caller: str, per_second: float, burst: int, *, now: float, cost: int = 1
    ) -> int:
        """Take tokens.

        Parameters
        ----------
        caller : str
        per_second : float
            Tokens that come back.
        burst : int
            Tokens of a full bucket; a request that costs more waits for a full one.
        now : float
            Seconds of a clock that only rises.
        cost : int

        Returns
        -------
        int
            0: go on. Else nothing was taken, and so many seconds are to be waited.
        """
        tokens, since = self._buckets.pop(caller, (float(burst), now))
        tokens, wait = taken(tokens, now - since, per_second, burst, cost)
        self._buckets[caller] = tokens, now
        if len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        return wait


class SharedRateLimit:
    """The same for several processes: the buckets are in a file that they share.

    A caller's bucket has its place among a few, by a hash of the caller; where these are full the one
    unused for the longest gives way.

    Parameters
    ----------
    shared : SharedFile
        Of `SHARED_BYTES` at least.
    """

    def __init__(self, shared: SharedFile) -> None:
        self._shared = shared

    def wait_seconds(
        self, caller: str, per_second: float, burst: int, *, now: float, cost: int = 1
    ) -> int:
        """See `RateLimit.wait_seconds`; the clock is the same in every process of a machine."""
        digest = blake2b(
            caller.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES
        ).digest()
        start = int.from_bytes(digest[:4], "little") % _GROUPS * _GROUP_BYTES
        with self._shared.locked(start, _GROUP_BYTES) as memory:
            slots = list(_SLOT.iter_unpack(memory[start : start + _GROUP_BYTES]))
            at = next((i for i, slot in enumerate(slots) if slot[0] == digest), None)
            if at is None:
                at = min(range(_GROUP_SLOTS), key=lambda i: slots[i][2])
                slots[at] = (digest, float(burst), now)
            _, tokens, since = slots[at]
            # Another process may have read its clock later than we, and come first.
            tokens, wait = taken(tokens, max(now - since, 0.0), per_second, burst, cost)
            place = start + at * _SLOT.size
            memory[place : place + _SLOT.size] = _SLOT.pack(digest, tokens, max(now, since))
        return wait


def taken(
    tokens: float, passed: float, per_second: float, burst: int, cost: int
) -> tuple[float, int]:
    """What is in a bucket after a request, and the seconds to wait if it was refused; 0 if not.

    >>> taken(0.5, 1.0, per_second=2.0, burst=5, cost=1), taken(0.0, 0.0, 2.0, 5, cost=3)
    ((1.5, 0), (0.0, 2))
    """
    cost = min(cost, burst)
    tokens = min(burst, tokens + passed * per_second)
    if tokens >= cost:
        return tokens - cost, 0
    return tokens, max(1, math.ceil((cost - tokens) / per_second))
