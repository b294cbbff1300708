"""How much one caller may ask: a bucket of tokens each."""

from __future__ import annotations

import math
from collections import OrderedDict

CALLERS_MAX = 10_000  # buckets kept; whoever comes back after so many others begins with a full one


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
        cost = min(cost, burst)
        tokens, since = self._buckets.pop(caller, (float(burst), now))
        tokens = min(burst, tokens + (now - since) * per_second)
        wait = 0
        if tokens >= cost:
            tokens -= cost
        else:
            wait = max(1, math.ceil((cost - tokens) / per_second))
        self._buckets[caller] = tokens, now
        if len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        return wait
