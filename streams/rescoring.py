"""Everybody scored anew after a new scorecard: in the background, and never in the way of a purchase.

Owns when a page may begin. What it does, and that it can be taken up anywhere, is `streams.engine`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from streams.engine import SliceEngine

_SHORTER = 4  # a page while purchases come, by one while nothing does
_REST = 4.0  # how long after it, by how long it took
_LIVE_SECONDS = 1.0  # so long after the last one they still come


class Rescoring:
    """The re-scoring of one worker's partitions.

    Parameters
    ----------
    engine : SliceEngine
    customers_max : int
        Of one page while nothing comes.
    attempt : async callable of a partition, a step and its arguments
        Takes the step and hands on what it committed; False if memory had to be dropped instead.
    """

    def __init__(
        self, engine: SliceEngine, customers_max: int, attempt: Callable[..., Awaitable[bool]]
    ) -> None:
        self._engine = engine
        self._customers_max = customers_max
        self._attempt = attempt
        self._counted, self._counted_at = 0, -math.inf

    async def run(self, partition: int) -> None:
        """Bring all customers of a partition to the scorecard in use.

        Page after page while nothing comes. While purchases do, pages are short, and each is followed by a
        rest many times as long as it took.
        """
        while self._is_behind(partition):
            began, live = _now(), self._purchases_come()
            most = max(1, self._customers_max // _SHORTER) if live else self._customers_max
            if not await self._attempt(partition, self._engine.rescore, partition, most):
                return
            if live:
                await asyncio.sleep((_now() - began) * _REST)

    def _is_behind(self, partition: int) -> bool:
        owned = self._engine.owned.get(partition)
        return owned is not None and owned.rescore_cursor is not None

    def _purchases_come(self) -> bool:
        """Whether any was counted since we last looked, or a moment ago."""
        counted = sum(owned.checkpoint.applied for owned in self._engine.owned.values())
        if counted != self._counted:
            self._counted, self._counted_at = counted, _now()
        return _now() - self._counted_at < _LIVE_SECONDS


def _now() -> float:
    return asyncio.get_running_loop().time()
