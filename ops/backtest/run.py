"""The backtest: everything that is measured, and nothing of how it is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ops.backtest.baselines import lifetimes_bgnbd
from ops.backtest.history import History
from ops.backtest.periods import Periods
from ops.backtest.walk import Walk, walk
from schemas.change import ChangeType, Lifecycle
from schemas.errors import ConfigurationError, DegenerateFitError
from schemas.scorecard import Family
from scoring.backtest import (
    Figures,
    HeldOut,
    Judged,
    SegmentOutcome,
    as_before,
    by_frequency,
    by_segment,
    judge,
    predict,
    recency_only,
    rfm_sum,
)
from scoring.business_calendar import BusinessCalendar
from scoring.flags import BatchLead, FlagOutcome, batch_lead, flag_outcome, silence_flags
from scoring.review import monetary_value, t_x_days
from scoring.states import Numbers
from streams.settings import Settings

FAMILY_NAMES = {Family.MBGNBD: "MBG/NBD", Family.BGNBD: "BG/NBD"}

WARNING_SEGMENTS = ("At-Risk", "Can't-Lose", "Slipping", "Hibernating")
"""Names that `scoring.kmeans.default_names` gives to the less alive half."""

_NIGHTLY, _WEEKLY = 1, 7


@dataclass(frozen=True, slots=True)
class Warned:
    """One kind of warning, and what the stream told of it.

    Attributes
    ----------
    name : str
        What a customer became.
    outcome : FlagOutcome
    nightly, weekly : BatchLead
    """

    name: str
    outcome: FlagOutcome
    nightly: BatchLead
    weekly: BatchLead


@dataclass(frozen=True, slots=True)
class Backtest:
    """All figures of one run."""

    periods: Periods
    walked: Walk
    judged: Judged
    bought: int
    purchase_days: int
    figures: list[Figures]
    held_out: list[HeldOut]
    segments: list[SegmentOutcome]
    warned: list[Warned]
    notes: list[str]


def run_backtest(history: History, periods: Periods, settings: Settings) -> Backtest:
    """Learn from the calibration, predict the holdout, and walk through the rest.

    Raises
    ------
    ConfigurationError
        Nobody of the calibration bought in the holdout.
    """
    walked = walk(history, periods, settings)
    known = walked.at_calibration["frequency"] >= 0
    judged = judged_customers(walked, periods)
    if not judged.bought.any():
        raise ConfigurationError(
            f"none of {len(judged):,} customers bought in the {periods.holdout_days} days of the "
            "holdout: there is nothing to judge by.",
            hint="Make it longer: --holdout-weeks or --holdout-until.",
        )
    params = walked.scorecard.alive
    ours = predict(f"Everscore ({FAMILY_NAMES[params.family]})", judged, params)
    predictions, notes = [ours], []
    if walked.refusal is not None:
        notes.append(
            f"Nothing was learnt from the calibration ({walked.refusal}). Judged is the scorecard "
            f"{walked.scorecard.version} of published parameters, with which a worker would go on."
        )
    try:
        predictions.append(lifetimes_bgnbd(judged))
    except DegenerateFitError as error:
        notes.append(str(error))
    predictions += [recency_only(judged), rfm_sum(judged), as_before(judged)]
    figures = [judge(prediction, judged) for prediction in predictions]
    notes += [
        f"{figure.name} gives no expectation for {figure.uncomputable} customers (overflow)."
        for figure in figures
        if figure.uncomputable
    ]
    assert ours.prob_purchase is not None  # noqa: S101 - for mypy: `predict` fills all of it
    assert ours.expected_purchases is not None  # noqa: S101
    segments = by_segment(
        walked.at_calibration["segment"][known],
        walked.scorecard.segments,
        judged,
        ours.prob_purchase,
    )
    return Backtest(
        periods=periods,
        walked=walked,
        judged=judged,
        bought=int(judged.bought.sum()),
        purchase_days=int(judged.bought_days.sum()),
        figures=figures,
        held_out=by_frequency(judged, ours.expected_purchases),
        segments=segments,
        warned=_warned(walked, periods, BusinessCalendar(settings.timezone)),
        notes=notes,
    )


def judged_customers(walked: Walk, periods: Periods) -> Judged:
    """Everyone with a purchase day in the calibration, in the order of the states."""
    known = walked.at_calibration["frequency"] >= 0
    before: Numbers = walked.at_calibration[known]
    after: Numbers = walked.at_holdout[known]
    return Judged(
        frequency=before["frequency"],
        t_x_days=t_x_days(before),
        age_days=(periods.calibration_day - before["first_day"]).astype(np.float64),
        monetary_value=monetary_value(before),
        bought_days=after["frequency"] - before["frequency"],
        horizon_days=float(periods.holdout_days),
    )


def _warned(walked: Walk, periods: Periods, calendar: BusinessCalendar) -> list[Warned]:
    names = [name for name in WARNING_SEGMENTS if name in walked.scorecard.segments]
    groups: list[tuple[str, ChangeType, list[str]]] = [
        (" or ".join(names), ChangeType.SEGMENT, names),
        (Lifecycle.FADING, ChangeType.LIFECYCLE, [Lifecycle.FADING, Lifecycle.LOST]),
        (Lifecycle.LOST, ChangeType.LIFECYCLE, [Lifecycle.LOST]),
    ]
    ends_us = int(calendar.instant_of(np.array([periods.data_day + 1.0]))[0])
    last_purchase_us = walked.at_end["last_at_us"]
    found = []
    for name, kind, group in groups:
        flags = silence_flags(walked.log, kind, group)
        found.append(
            Warned(
                name,
                flag_outcome(flags, last_purchase_us, ends_us, walked.scorecard.alive, calendar),
                batch_lead(flags, _NIGHTLY, ends_us, calendar),
                batch_lead(flags, _WEEKLY, ends_us, calendar),
            )
        )
    return found
