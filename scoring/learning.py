"""Learning a scorecard from a sample of known customers, all evaluated at one moment.

Owns the whole step: model parameters, scaler, centroids, names, RFM cut points, and the gate that
keeps a scorecard that is no better from being published. Pure: sample, moment and seed are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.errors import DegenerateFitError
from schemas.scorecard import (
    AliveParams,
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

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Steps that polish what the online learner found; measured: more gain nothing on a warm start.
_POLISH_STEPS = 3
# P(alive) may drift without the centroids moving: a mean change of this much is news by itself.
_PROB_ALIVE_SHIFT_MAX = 0.05


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


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """What the user decides about learning; see `streams.settings.Settings` for the defaults."""

    family: Family
    segment_count: int
    hysteresis: float
    lifecycle: LifecycleThresholds
    first_fit_customers: int
    first_fit_days: float
    gain_min: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """Outcome of one try.

    Attributes
    ----------
    scorecard : Scorecard or None
        None: nothing worth publishing, `reason` says why.
    premature : bool
        There is not enough to learn from yet: worth another try soon.
    """

    scorecard: Scorecard | None
    reason: str
    premature: bool = False


def learn(
    sample: LearningSample,
    now_us: int,
    current: Scorecard,
    options: LearningOptions,
    calendar: BusinessCalendar,
    seed: int,
) -> Lesson:
    """Try to find a better scorecard than the current one.

    Parameters
    ----------
    sample : LearningSample
    now_us : int
        Moment at which all are evaluated, microseconds since 1970 UTC.
    current : Scorecard
        In use; a bootstrap one is replaced as soon as the sample suffices.
    """
    age_days: FloatArray = calendar.days_at(np.array([now_us])) - sample.first_day
    first = current.origin is Origin.BOOTSTRAP
    shortage = _shortage(sample, age_days, options) if first else None
    if shortage is not None:
        return Lesson(None, shortage, premature=True)
    t_x_days = (sample.last_day - sample.first_day).astype(np.float64)
    age_days = np.maximum(age_days, t_x_days)
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
    inertia_before = inertia(z, before) / len(z)
    if first or len(current.centroids) != options.segment_count:
        centroids = best_centroids(z, options.segment_count, rng)
    else:
        centroids = lloyd(z, learn_online(z, before, seed=seed), _POLISH_STEPS)
    inertia_after = inertia(z, centroids) / len(z)
    gain = 1.0 - inertia_after / inertia_before
    if not first:
        shift = _prob_alive_shift(sample, t_x_days, age_days, current.alive, prob_alive)
        if gain <= options.gain_min and shift <= _PROB_ALIVE_SHIFT_MAX:
            return Lesson(
                None, f"inertia falls by {gain:.1%}, P(alive) moves by {shift:.3f}: too little"
            )
    names, centroids = named(current, before, centroids, scaler)
    silence_days = age_days - t_x_days
    return Lesson(
        Scorecard(
            number=current.number + 1,
            origin=Origin.FITTED,
            alive=fitted.params,
            spend=_spend(sample),
            scaler=scaler,
            centroids=tuple(tuple(row) for row in centroids.tolist()),
            segments=names,
            hysteresis=options.hysteresis,
            lifecycle=options.lifecycle,
            rfm=rfm_cuts(silence_days, sample.frequency, sample.monetary_value),
            training=Training(
                method="maximum likelihood; k-means online (river), polished by Lloyd",
                customers=len(sample),
                repeat_customers=int((sample.frequency > 0).sum()),
                observed_at=datetime.fromtimestamp(now_us / 1e6, tz=UTC),
                inertia_per_customer=inertia_after,
                previous_inertia_per_customer=None if first else inertia_before,
                log_likelihood_per_customer=fitted.log_likelihood,
            ),
        ),
        f"inertia per customer {inertia_after:.4f}",
    )


def _shortage(sample: LearningSample, age_days: FloatArray, options: LearningOptions) -> str | None:
    if len(sample) < options.first_fit_customers:
        return f"{len(sample)} customers in the sample, {options.first_fit_customers} needed"
    span = float(age_days.max())
    if span < options.first_fit_days:
        return f"{span:.0f} days of history, {options.first_fit_days:.0f} needed"
    return None


def _prob_alive_shift(
    sample: LearningSample,
    t_x_days: FloatArray,
    age_days: FloatArray,
    current: AliveParams,
    prob_alive: FloatArray,
) -> float:
    former = prob_alive_unchecked(sample.frequency, t_x_days, age_days, current)
    return float(np.abs(prob_alive - former).mean())


def _spend(sample: LearningSample) -> SpendParams | None:
    try:
        return fit_spend(sample.frequency, sample.monetary_value)
    except DegenerateFitError:
        return None  # value is an extra: without it segments and P(alive) still hold
