"""The learner: a bounded uniform sample of known customers, and a try to learn from it now and then.

Runs in the worker that owns the samples topic's only used partition; computes in a process of its own,
so that learning never delays a purchase.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context, parent_process
from typing import Any

import msgspec
import numpy as np

from schemas.errors import ConfigurationError
from schemas.overrides import NO_OVERRIDES, Overrides
from schemas.scorecard import Scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.learning import LearningOptions, LearningSample, Lesson, learn
from scoring.overriding import overridden
from streams.homes import home_partition, home_partitions
from streams.overrides import first_scorecard, read_overrides
from streams.samples import Sample, decode_sample
from streams.settings import Settings

log = logging.getLogger("everscore")
_US_PER_DAY = 86_400_000_000


class SampleKeeper:
    """The customers with the lowest ranks, each as last reported.

    Parameters
    ----------
    customers_max : int

    Attributes
    ----------
    partitions : int
        Of an input topic; to be told before anyone is reported.
    clock_us : int
        The latest clock of all partitions.
    """

    def __init__(self, customers_max: int) -> None:
        self.partitions = 1
        self._max = customers_max
        self._samples: dict[str, Sample] = {}
        self._highest: list[tuple[float, str]] = []  # a heap of (−rank, id)
        self._clocks: dict[int, int] = {}
        self.clock_us = -(2**62)

    def __len__(self) -> int:
        return len(self._samples)

    def clear(self) -> None:
        """Forget everyone: another worker learns now."""
        self._samples.clear()
        self._highest.clear()

    def report(self, key: bytes | None, raw: bytes | None) -> None:
        """Take one record of the samples topic; without a value (erased) the customer goes.

        One that is no sample is left aside: learning must not end counting.
        """
        if raw is None:
            self._forget((key or b"").decode(errors="replace"))
            return
        try:
            sample = decode_sample(raw)
        except msgspec.MsgspecError as error:
            log.warning("a record of the samples topic is no sample: %s", error)
            return
        self._hear_clock(home_partition(sample.customer_id, self.partitions), sample.clock_us)
        if sample.customer_id not in self._samples:
            if len(self._samples) >= self._max:
                if sample.rank >= -self._highest[0][0]:
                    return
                _, evicted = heapq.heappop(self._highest)
                del self._samples[evicted]
            heapq.heappush(self._highest, (-sample.rank, sample.customer_id))
        self._samples[sample.customer_id] = sample

    def _hear_clock(self, partition: int, clock_us: int) -> None:
        self._clocks[partition] = max(self._clocks.get(partition, clock_us), clock_us)
        self.clock_us = max(self.clock_us, clock_us)

    def _forget(self, customer_id: str) -> None:
        sample = self._samples.pop(customer_id, None)
        if sample is not None:
            self._highest.remove((-sample.rank, customer_id))
            heapq.heapify(self._highest)

    def columns(self) -> LearningSample:
        """The sample as of `clock_us`, by rank, so that the order of reports does not matter.

        Each partition has a now of its own: customers of one that lags behind the latest are moved
        forward by whole days, or they would look silent for as long as it lags.
        """
        samples = sorted(self._samples.values(), key=lambda sample: sample.rank)
        homes = home_partitions([sample.customer_id for sample in samples], self.partitions)
        lags = {home: (self.clock_us - at) // _US_PER_DAY for home, at in self._clocks.items()}
        lag = np.array([lags[home] for home in homes.tolist()], dtype=np.int64)
        first_day = np.array([sample.first_day for sample in samples], dtype=np.int64)
        last_day = np.array([sample.last_day for sample in samples], dtype=np.int64)
        return LearningSample(
            frequency=np.array([sample.frequency for sample in samples], dtype=np.int64),
            first_day=first_day + lag,
            last_day=last_day + lag,
            monetary_value=np.array([sample.monetary_value for sample in samples]),
        )


def learning_options(settings: Settings) -> LearningOptions:
    """What the settings say about learning."""
    return LearningOptions(
        family=settings.family,
        segment_count=settings.segment_count,
        hysteresis=settings.hysteresis,
        lifecycle=settings.lifecycle,
        first_fit_customers=settings.first_fit_customers,
        first_fit_days=settings.first_fit_days,
        gain_min=settings.learn_gain_min,
    )


class Learner:
    """Tries to learn when enough has been reported since the last try.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.keeper = SampleKeeper(settings.sample_customers_max)
        self._next_lesson_us = -(2**62)
        self._pool: ProcessPoolExecutor | None = None
        self._overrides = NO_OVERRIDES

    async def attempt(self, current: Scorecard) -> Lesson | None:
        """Learn once; None if too little stream time has passed since the last lesson."""
        keeper = self.keeper
        if not len(keeper) or keeper.clock_us < self._next_lesson_us:
            return None
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_end_with_parent
            )
        now_us = keeper.clock_us
        lesson: Lesson = await asyncio.get_running_loop().run_in_executor(
            self._pool,
            _learn,
            keeper.columns(),
            now_us,
            current,
            learning_options(self._settings),
            self._settings.timezone,
            self._settings.seed + current.number,
        )
        if lesson.scorecard is not None:
            wanted = overridden(lesson.scorecard, self._read_overrides())
            lesson = replace(lesson, scorecard=wanted)
        if not lesson.premature:
            self._next_lesson_us = now_us + int(self._settings.learn_interval_days * _US_PER_DAY)
        return lesson

    def _read_overrides(self) -> Overrides:
        """As they are now; as they were, while the file cannot be read: learning must not end counting."""
        try:
            first_scorecard(self._settings)  # they go together with the settings
            self._overrides = read_overrides(self._settings.overrides)
        except ConfigurationError as error:
            log.error("learner: %s What it said before still holds.", error)
        return self._overrides

    def stop(self) -> None:
        """End the learning process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """A worker that is killed cannot tell its learning process to end, which would wait for ever."""

    def end() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


def _learn(
    sample: LearningSample,
    now_us: int,
    current: Scorecard,
    options: LearningOptions,
    timezone: str,
    seed: int,
) -> Any:
    return learn(sample, now_us, current, options, BusinessCalendar(timezone), seed)
