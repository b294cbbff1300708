"""When silence is let do what it has to do: partition by partition, ever again.

Owns how often, and by which clock. What a sweep does is `streams.engine`; its timing shows in no history.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from faust.types import TP

from streams.engine import SliceEngine
from streams.settings import Settings

# Between two sweeps of a partition that is behind by more than a slice. Silence is then read from the
# log, days in a second: customers who cross several borders meanwhile, or buy, are written once. Where
# 5 s are 6 % of CDNOW's 18 months, sweeps wrote 0.50 customers a purchase instead of 0.82.
SECONDS_BEHIND = 5.0
# Customers of a commit while a partition keeps pace, by those of one while it is behind: of 2,000, each is
# what a purchase, and whoever asks Redis, has to wait for.
_SHORTER = 20


class Progress(Protocol):
    """What a sweep needs to know of a consumer."""

    def lag(self, tp: TP) -> int | None:
        """Offsets between what is acknowledged and the end of the log; None if it is not ours."""

    def caught_up(self, tp: TP) -> bool:
        """Whether the partition is ours and all its records are acknowledged."""


class Sweeps:
    """The sweeps of one worker.

    Parameters
    ----------
    settings : Settings
    engine : SliceEngine
    progress : Progress
    attempt : async callable of a partition, a step and its arguments
        Takes the step and hands on what it committed; False if memory had to be dropped instead.
    """

    def __init__(
        self,
        settings: Settings,
        engine: SliceEngine,
        progress: Progress,
        attempt: Callable[..., Awaitable[bool]],
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._progress = progress
        self._attempt = attempt
        self._swept: dict[int, float] = {}

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            for partition in list(self._engine.owned):
                if self._must_wait(partition):
                    continue
                self._swept[partition] = _now()
                await self._sweep(partition)
            await asyncio.sleep(self._settings.sweep_interval_seconds)

    def _must_wait(self, partition: int) -> bool:
        if _now() - self._swept.get(partition, -math.inf) >= SECONDS_BEHIND:
            return False
        return self._is_behind(partition)

    def _is_behind(self, partition: int) -> bool:
        lags = [self._progress.lag(tp) for tp in self._inputs(partition)]
        return max(lag or 0 for lag in lags) > self._settings.slice_records_max

    async def _sweep(self, partition: int) -> None:
        while (owned := self._engine.owned.get(partition)) is not None:
            clock_us = owned.checkpoint.clock_us
            if all(self._progress.caught_up(tp) for tp in self._inputs(partition)):
                clock_us = self._engine.caught_up_clock(partition, time.time_ns() // 1000)
            if not self._engine.is_due(partition, clock_us):
                return
            most = self._settings.sweep_customers_max
            if not self._is_behind(partition):
                most = max(1, most // _SHORTER)
            if not await self._attempt(partition, self._engine.sweep, partition, clock_us, most):
                return

    def _inputs(self, partition: int) -> list[TP]:
        return [TP(topic, partition) for topic in self._settings.input_topics]


def _now() -> float:
    return asyncio.get_running_loop().time()
