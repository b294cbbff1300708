"""Learning a scorecard from a sample of known customers, all evaluated at one moment.

Owns the whole step: model parameters, scaler, centroids, names, RFM cut points. What is learnt is a
candidate, and `scoring.shadow` judges it. Pure: sample, moment and seed are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.errors import DegenerateFitError
from schemas.scorecard import (
    Family,
    LifecycleThresholds,
    Origin,
    Scorecard,
    SpendParams,
    Training,
)
from scoring.alive import prob_alive_unchecked
from scoring.business_calendar import BusinessCalendar
from scoring.clusters import best_centroids, named, rescale, scaler_of, standardise
from scoring.fit import fit_alive, fit_spend
from scoring.kmeans import inertia, learn_online, lloyd
from scoring.rfm import rfm_cuts
from scoring.segments import log_features
from scoring.shadow import Gate, Habits, Judgement, judge

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Steps that polish what the online learner found; measured: more gain nothing on a warm start.
_POLISH_STEPS = 3


@dataclass(frozen=True, slots=True)
class LearningSample:
    """n known customers with at least one purchase day, drawn uniformly.

    Attributes
    ----------
    frequency, first_day, last_day : int64, shape (n,)
        Repeat purchases; days since 1970-01-01.
    monetary_value : float64, shape (n,)
        Mean of the day sums without the first day, major units.
    """

    frequency: IntArray
    first_day: IntArray
    last_day: IntArray
    monetary_value: FloatArray

    def __len__(self) -> int:
        return len(self.frequency)

    def spans(self, now_us: int, calendar: BusinessCalendar) -> tuple[FloatArray, FloatArray]:
        """Days from the first purchase to the last, and to now; shape (n,) each."""
        t_x_days = (self.last_day - self.first_day).astype(np.float64)
        age_days = calendar.days_at(np.array([now_us])) - self.first_day
        return t_x_days, np.maximum(age_days, t_x_days)


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """What the user decides about learning; see `streams.settings.Settings` for the defaults."""

    family: Family
    segment_count: int
    hysteresis: float
    lifecycle: LifecycleThresholds
    first_fit_customers: int
    first_fit_days: float
    gate: Gate


@dataclass(frozen=True, slots=True)
class Lesson:
    """Outcome of one try.

    Attributes
    ----------
    candidate : Scorecard or None
        None: nothing was learnt, `reason` says why.
    reason : str
    judgement : Judgement or None
        Of the candidate beside the scorecard in use; None without one.
    promote : bool
        It may take the place of the one in use: the gate lets it pass, or nothing was learnt before.
    premature : bool
        There is not enough to learn from yet: worth another try soon.
    """

    candidate: Scorecard | None
    reason: str
    judgement: Judgement | None = None
    promote: bool = False
    premature: bool = False


def learn(
    sample: LearningSample,
    now_us: int,
    current: Scorecard,
    options: LearningOptions,
    calendar: BusinessCalendar,
    seed: int,
    shadow: Scorecard | None = None,
) -> Lesson:
    """Learn a candidate, beginning from the scorecard in use or from its shadow.

    Parameters
    ----------
    sample : LearningSample
    now_us : int
        Moment at which all are evaluated, microseconds since 1970 UTC.
    current : Scorecard
        In use; a bootstrap one is replaced as soon as the sample suffices.
    shadow : Scorecard, optional
        The candidate before this one, which learns on: beginning from the scorecard in use each time, a
        few steps would never get far from it.
    """
    t_x_days, age_days = sample.spans(now_us, calendar)
    first = current.origin is Origin.BOOTSTRAP
    shortage = _shortage(sample, age_days, options) if first else None
    if shortage is not None:
        return Lesson(None, shortage, premature=True)
    try:
        fitted = fit_alive(
            sample.frequency,
            t_x_days,
            age_days,
            options.family,
            start=None if first else current.alive,
        )
    except DegenerateFitError as error:
        return Lesson(None, f"no fit: {error}", premature=first)
    prob_alive = prob_alive_unchecked(sample.frequency, t_x_days, age_days, fitted.params)
    features = log_features(prob_alive, sample.frequency, sample.monetary_value)
    scaler = scaler_of(features)
    z = standardise(features, scaler)
    rng = np.random.default_rng(seed)
    before = rescale(np.array(current.centroids), current.scaler, scaler)
    if first or len(current.centroids) != options.segment_count:
        centroids = best_centroids(z, options.segment_count, rng)
    else:
        warm = before
        if shadow is not None and len(shadow.centroids) == options.segment_count:
            warm = rescale(np.array(shadow.centroids), shadow.scaler, scaler)
        centroids = lloyd(z, learn_online(z, warm, seed=seed), _POLISH_STEPS)
    names, centroids = named(current, before, centroids, scaler)
    candidate = Scorecard(
        number=current.number + 1,
        origin=Origin.FITTED,
        alive=fitted.params,
        spend=_spend(sample),
        scaler=scaler,
        centroids=tuple(tuple(row) for row in centroids.tolist()),
        segments=names,
        hysteresis=options.hysteresis,
        lifecycle=options.lifecycle,
        rfm=rfm_cuts(age_days - t_x_days, sample.frequency, sample.monetary_value),
        training=Training(
            method="maximum likelihood; k-means online (river), polished by Lloyd",
            customers=len(sample),
            repeat_customers=int((sample.frequency > 0).sum()),
            observed_at=datetime.fromtimestamp(now_us / 1e6, tz=UTC),
            inertia_per_customer=inertia(z, centroids) / len(z),
            previous_inertia_per_customer=None if first else inertia(z, before) / len(z),
            log_likelihood_per_customer=fitted.log_likelihood,
        ),
    )
    habits = Habits(sample.frequency, t_x_days, age_days, sample.monetary_value)
    judgement = judge(habits, current, candidate, options.gate)
    reason = "the first one that was learnt" if first else judgement.reason
    return Lesson(candidate, reason, judgement, promote=first or judgement.promote)


def _shortage(sample: LearningSample, age_days: FloatArray, options: LearningOptions) -> str | None:
    if len(sample) < options.first_fit_customers:
        return f"{len(sample)} customers in the sample, {options.first_fit_customers} needed"
    span = float(age_days.max())
    if span < options.first_fit_days:
        return f"{span:.0f} days of history, {options.first_fit_days:.0f} needed"
    return None


def _spend(sample: LearningSample) -> SpendParams | None:
    try:
        return fit_spend(sample.frequency, sample.monetary_value)
    except DegenerateFitError:
        return None  # value is an extra: without it segments and P(alive) still hold
