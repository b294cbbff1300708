"""The learner: looks now and then whether the scorecard in use still fits, and tries to learn a better one.

Runs in the worker that owns the samples topic's only used partition; computes in a process of its own,
so that learning never delays a purchase. What it learns is a candidate: a shadow, scored beside the
scorecard in use, until the gate or a person promotes it. Publishes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

from pydantic import ValidationError

from schemas.errors import ConfigurationError
from schemas.learning import Drift, Fit, Learning, Shadow
from schemas.overrides import NO_OVERRIDES, Overrides
from schemas.scorecard import Origin, Scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.drift import LOOKS_MAX, Look, Snapshot, drifted, look
from scoring.learning import LearningOptions, LearningSample, Lesson, learn
from scoring.overriding import overridden
from scoring.shadow import Gate, Judgement, judge
from streams.overrides import first_scorecard, read_overrides
from streams.sample_keeper import SampleKeeper, sample_at
from streams.settings import Settings

log = logging.getLogger("everscore")
_US_PER_DAY = 86_400_000_000
_NOT_YET_US = -(2**62)
_NICENESS = 10  # a tenth of what a purchase's process gets, where both want the same core
DRIFTS_MAX = 8
"""Drifts that are remembered of one scorecard: the latest."""

Compute = Callable[..., Awaitable[Any]]
"""Awaits a function called with arguments that can be pickled."""


def learning_options(settings: Settings) -> LearningOptions:
    """What the settings say about learning."""
    return LearningOptions(
        family=settings.family,
        segment_count=settings.segment_count,
        hysteresis=settings.hysteresis,
        lifecycle=settings.lifecycle,
        first_fit_customers=settings.first_fit_customers,
        first_fit_days=settings.first_fit_days,
        gate=Gate(settings.learn_gain_min, settings.learn_moves_min),
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt.

    Attributes
    ----------
    learning : Learning
        To be kept where people find it.
    promoted : Scorecard or None
        To be published: the gate has let it pass.
    reasons : tuple of str
        What there is to say.
    """

    learning: Learning
    promoted: Scorecard | None
    reasons: tuple[str, ...]


class Learner:
    """Looks and learns when enough stream time has passed.

    Parameters
    ----------
    settings : Settings
    compute : callable, optional
        In the place of the process of its own.
    """

    def __init__(self, settings: Settings, compute: Compute | None = None) -> None:
        self._settings = settings
        self.keeper = SampleKeeper(settings.sample_customers_max)
        self._compute = compute or self._in_a_process
        self._pool: ProcessPoolExecutor | None = None
        self._overrides = NO_OVERRIDES
        self._next_lesson_us = _NOT_YET_US
        self._next_look_us = _NOT_YET_US
        self._of_before: Learning | None = None
        self._watch("")

    def _watch(self, version: str) -> None:
        """Forget what was found of another scorecard."""
        self._version = version
        self._fit: Fit | None = None
        self._shadow: Shadow | None = None
        self._promise: Snapshot | None = None
        self._next_look_us = _NOT_YET_US
        if self._of_before is not None and self._of_before.version == version:
            self._fit, self._shadow = self._of_before.fit, self._of_before.shadow
        self._of_before = None

    def resume(self, kept: bytes | None) -> None:
        """Go on where the learner before left off, if the same scorecard is still in use."""
        try:
            self._of_before = None if kept is None else Learning.model_validate_json(kept)
        except ValidationError as error:
            log.warning("learner: what the one before has left cannot be read: %s", error)
        self._watch(self._of_before.version if self._of_before else "")

    async def attempt(self, current: Scorecard) -> Attempt | None:
        """Look and learn once, as far as it is time; None if it is not."""
        keeper = self.keeper
        if not len(keeper):
            return None
        if current.version != self._version:
            self._watch(current.version)
        now_us = keeper.clock_us
        looks = current.origin is Origin.FITTED and now_us >= self._next_look_us
        if not looks and now_us < self._next_lesson_us:
            return None
        snapshot, reasons = keeper.snapshot(), []
        promoted: Scorecard | None = None
        if looks:
            kinds, promoted = await self._look(snapshot, now_us, current)
            reasons += [f"{kind} has drifted under {current.version}" for kind in kinds]
            if kinds:
                self._next_lesson_us = now_us
        if promoted is None and now_us >= self._next_lesson_us:
            lesson, promoted = await self._learn(snapshot, now_us, current)
            reasons.append(lesson.reason)
        learning = Learning(
            version=current.version, customers=len(snapshot), fit=self._fit, shadow=self._shadow
        )
        return Attempt(learning, promoted, tuple(reasons))

    async def _look(
        self, snapshot: Snapshot, now_us: int, current: Scorecard
    ) -> tuple[tuple[str, ...], Scorecard | None]:
        """What has drifted, and the shadow if the gate lets it pass by now."""
        shadow = self._shadow
        seen, judgement = await self._compute(
            _look,
            snapshot,
            self._promise,
            current,
            None if shadow is None else shadow.card,
            learning_options(self._settings).gate,
            self._settings.timezone,
        )
        self._next_look_us = now_us + int(self._settings.learn_look_days * _US_PER_DAY)
        self._fit, kinds = await self._compute(_fit, seen, self._fit, _moment(now_us))
        if seen.comparable or self._promise is None:
            self._promise = snapshot
        if shadow is None or judgement is None:
            return kinds, None
        self._shadow = _shadow_of(shadow.card, judgement, now_us)
        return kinds, shadow.card if judgement.promote else None

    async def _learn(
        self, snapshot: Snapshot, now_us: int, current: Scorecard
    ) -> tuple[Lesson, Scorecard | None]:
        """A lesson, and its candidate if the gate lets it pass; else it is the shadow."""
        lesson: Lesson = await self._compute(
            _learn,
            sample_at(snapshot, now_us),
            now_us,
            current,
            learning_options(self._settings),
            self._settings.timezone,
            self._settings.seed + current.number,
            None if self._shadow is None else self._shadow.card,
        )
        if not lesson.premature:
            self._next_lesson_us = now_us + int(self._settings.learn_interval_days * _US_PER_DAY)
        if lesson.candidate is None or lesson.judgement is None:
            return lesson, None
        candidate = overridden(lesson.candidate, self._read_overrides())
        self._shadow = _shadow_of(candidate, lesson.judgement, now_us)
        return lesson, candidate if lesson.promote else None

    def _read_overrides(self) -> Overrides:
        """As they are now; as they were, while the file cannot be read: learning must not end counting."""
        try:
            first_scorecard(self._settings)  # they go together with the settings
            self._overrides = read_overrides(self._settings.overrides)
        except ConfigurationError as error:
            log.error("learner: %s What it said before still holds.", error)
        return self._overrides

    async def _in_a_process(self, step: Callable[..., Any], *args: Any) -> Any:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_begin_process
            )
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(step, *args))

    def stop(self) -> None:
        """End the learning process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, tz=UTC)


def _shadow_of(card: Scorecard, judgement: Judgement, now_us: int) -> Shadow:
    return Shadow(
        card=card,
        judged_at=_moment(now_us),
        customers=judgement.customers,
        gain=judgement.gain,
        moved=judgement.moved,
        moved_by_parameters=judgement.moved_by_parameters,
        moves=judgement.moves,
        reason=judgement.reason,
    )


def _begin_process() -> None:
    """In the learning process: purchases go first, and it ends when the worker does.

    A worker that is killed cannot tell it to end, and it would wait for ever.
    """
    if hasattr(os, "nice"):  # not on Windows
        os.nice(_NICENESS)

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
    shadow: Scorecard | None,
) -> Lesson:
    return learn(sample, now_us, current, options, BusinessCalendar(timezone), seed, shadow)


def _look(
    snapshot: Snapshot,
    earlier: Snapshot | None,
    current: Scorecard,
    candidate: Scorecard | None,
    gate: Gate,
    timezone: str,
) -> tuple[Look, Judgement | None]:
    calendar = BusinessCalendar(timezone)
    seen = look(snapshot, earlier, current, calendar)
    if candidate is None:
        return seen, None
    return seen, judge(snapshot.habits(calendar), current, candidate, gate)


def _fit(seen: Look, before: Fit | None, at: datetime) -> tuple[Fit, tuple[str, ...]]:
    """All that was found of a scorecard so far, and what has drifted at this look."""
    first = seen.inertia_share if before is None else before.inertia_share_at_first
    ratios = (*(before.inertia_ratios if before else ()), seen.inertia_share / max(first, 1e-300))
    excesses = before.excesses if before else ()
    compared: dict[str, Any] = {
        "promised_buyers": before and before.promised_buyers,
        "actual_buyers": before and before.actual_buyers,
        "over_days": before and before.over_days,
    }
    if seen.comparable:
        excesses = (*excesses, seen.excess)
        compared = {
            "promised_buyers": seen.expected_buyers,
            "actual_buyers": seen.actual_buyers,
            "over_days": seen.days,
        }
    kinds = drifted(ratios, excesses if seen.comparable else ())
    drifts = (*(before.drifts if before else ()), *(Drift(kind=kind, at=at) for kind in kinds))
    fit = Fit(
        looked_at=at,
        inertia_per_customer=seen.inertia_per_customer,
        inertia_share_at_first=first,
        inertia_ratios=ratios[-LOOKS_MAX:],
        excesses=excesses[-LOOKS_MAX:],
        drifts=drifts[-DRIFTS_MAX:],
        **compared,
    )
    return fit, kinds
