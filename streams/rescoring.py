"""Everybody scored anew after a new scorecard: in the background, and never in the way of a purchase.

Owns when a page may begin. What it does, and that it can be taken up anywhere, is `streams.engine`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streams.engine import SliceEngine


class Rescoring:
    """The re-scoring of one worker's partitions.

    Parameters
    ----------
    engine : SliceEngine
    attempt : async callable of a partition, a step and its arguments
        Takes the step and hands on what it committed; False if memory had to be dropped instead.
    """

    def __init__(self, engine: SliceEngine, attempt: Callable[..., Awaitable[bool]]) -> None:
        self._engine = engine
        self._attempt = attempt

    async def run(self, partition: int) -> None:
        """Bring all customers of a partition to the scorecard in use.

        While purchases come, half of the time is left to them: a page waits for as long as the one before
        it took.
        """
        while self._is_behind(partition):
            began, counted = _now(), self._counted()
            if not await self._attempt(partition, self._engine.rescore, partition):
                return
            if self._counted() != counted:
                await asyncio.sleep(_now() - began)

    def _is_behind(self, partition: int) -> bool:
        owned = self._engine.owned.get(partition)
        return owned is not None and owned.rescore_cursor is not None

    def _counted(self) -> int:
        return sum(owned.checkpoint.applied for owned in self._engine.owned.values())


def _now() -> float:
    return asyncio.get_running_loop().time()
