"""The worker's own `advance`, from the first purchase to the end of the data.

As it would have gone: a bootstrap scorecard to the end of the calibration, then one learnt from all
customers known there, and no other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.backtest.history import History
from ops.backtest.periods import Periods
from schemas.scorecard import Scorecard
from scoring.advance import advance
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.changes import ChangeLog
from scoring.events import Events
from scoring.learning import LearningOptions, LearningSample, Lesson, learn
from scoring.review import monetary_value
from scoring.shadow import Gate
from scoring.states import UNKNOWN_US, Numbers, States
from scoring.timeline import Timeline
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Walk:
    """All customers at three moments, and what was told between the first and the last.

    Attributes
    ----------
    scorecard : Scorecard
        Learnt at the end of the calibration, or the bootstrap one.
    refusal : str or None
        Why nothing was learnt: a worker would have gone on with the bootstrap scorecard, too.
    at_calibration : structured array of dtype NUMBERS, shape (customers,)
        On that scorecard, when the last day of the calibration is over.
    at_holdout, at_end : the same when the holdout is over, and the data
    ledgers : object array of bytes, shape (customers,)
        Packed days in the end, see `scoring.ledger`.
    log : ChangeLog
        Changes after the calibration.
    """

    scorecard: Scorecard
    refusal: str | None
    at_calibration: Numbers
    at_holdout: Numbers
    at_end: Numbers
    ledgers: NDArray[np.object_]
    log: ChangeLog


def walk(history: History, periods: Periods, settings: Settings) -> Walk:
    """Let it all happen."""
    calendar = BusinessCalendar(settings.timezone)
    bootstrap = bootstrap_scorecard(
        settings.family, hysteresis=settings.hysteresis, lifecycle=settings.lifecycle
    )
    timeline = Timeline.of(bootstrap)
    stretch = _Stretch(States.blank(history.customer_ids), timeline, calendar)
    days = (periods.calibration_day, periods.holdout_day, periods.data_day)
    over_us = calendar.instant_of(np.array(days) + 1.0).tolist()
    stretch.on(history.between(periods.first_day - 1, periods.calibration_day), over_us[0])
    lesson = _lesson(stretch.states.numbers, periods, bootstrap, settings, calendar)
    if lesson.candidate is not None:
        timeline.adopt(over_us[0], lesson.candidate)
        stretch.on(Events.none(), over_us[0])
    at_calibration = stretch.states.numbers.copy()
    stretch.log = ChangeLog()  # what was told before is not judged
    stretch.on(history.between(periods.calibration_day, periods.holdout_day), over_us[1])
    at_holdout = stretch.states.numbers.copy()
    stretch.on(history.between(periods.holdout_day, periods.data_day), over_us[2])
    return Walk(
        scorecard=lesson.candidate or bootstrap,
        refusal=None if lesson.candidate else lesson.reason,
        at_calibration=at_calibration,
        at_holdout=at_holdout,
        at_end=stretch.states.numbers,
        ledgers=stretch.states.days,
        log=stretch.log,
    )


class _Stretch:
    """Everyone, brought forward stretch by stretch."""

    def __init__(self, states: States, timeline: Timeline, calendar: BusinessCalendar) -> None:
        self.states = states
        self.log = ChangeLog()
        self._timeline, self._calendar = timeline, calendar
        self._clock_us = UNKNOWN_US

    def on(self, events: Events, until_us: int) -> None:
        """Some events, then time to a moment. How they are cut into calls does not show."""
        self._advance(events, self._clock_us)
        self._advance(Events.none(), max(until_us, self._clock_us))

    def _advance(self, events: Events, now_us: int) -> None:
        advanced = advance(self.states, events, now_us, self._timeline, self._calendar)
        self.states, self._clock_us = advanced.states, advanced.clock_us
        self.log.blocks += advanced.changes.blocks


def _lesson(
    numbers: Numbers,
    periods: Periods,
    bootstrap: Scorecard,
    settings: Settings,
    calendar: BusinessCalendar,
) -> Lesson:
    """What the learner makes of everyone known, as of the last day of the calibration."""
    known = numbers[numbers["frequency"] >= 0]
    sample = LearningSample(
        known["frequency"], known["first_day"], known["last_day"], monetary_value(known)
    )
    options = LearningOptions(
        family=settings.family,
        segment_count=settings.segment_count,
        hysteresis=settings.hysteresis,
        lifecycle=settings.lifecycle,
        # The user chose the calibration: whether it suffices, the fit says.
        first_fit_customers=0,
        first_fit_days=0.0,
        gate=Gate(settings.learn_gain_min, settings.learn_moves_min),
    )
    now_us = int(calendar.instant_of(np.array([float(periods.calibration_day)]))[0])
    return learn(sample, now_us, bootstrap, options, calendar, settings.seed)
