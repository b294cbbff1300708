"""A whole refit from all known customers: every number of a scorecard, or the reason why not.

What `everscore fit` does. The learner's small steps are `scoring.learning`; names, features and models are
the same. Pure: customers, moment and seed are arguments.
"""

from __future__ import annotations

from collections.abc import Callable
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
from scoring.fit import AliveFit, fit_alive, fit_spend, likelihood_of
from scoring.kmeans import inertia, lloyd
from scoring.learning import LearningSample
from scoring.rfm import rfm_cuts
from scoring.segment_count import CountQuality, judge_count, judge_counts, stable_count
from scoring.segments import log_features

FloatArray = NDArray[np.float64]

CLUSTERED_MAX = 100_000
"""Customers by whom centroids are found: a mean over a quarter of them is known to 1 %, and k-means from
several starts takes a minute instead of ten for a million."""

# A fresh start must be better by this share than going on from where the centroids are: two solutions
# almost as good as each other must not take turns, or labels would.
_RESTART_GAIN_MIN = 0.03
_WARM_STEPS_MAX = 50

Judged = Callable[[CountQuality], None]


@dataclass(frozen=True, slots=True)
class RefitOptions:
    """What the user decides.

    Attributes
    ----------
    family : Family
    count : int or None
        Number of segments; None keeps that of a scorecard learnt before as long as it is stable, and else
        finds out how many are.
    hysteresis : float
    lifecycle : LifecycleThresholds
    source : str
        Where the customers came from, for the scorecard to say.
    """

    family: Family
    count: int | None
    hysteresis: float
    lifecycle: LifecycleThresholds
    source: str


@dataclass(frozen=True, slots=True)
class Refit:
    """A candidate, and what speaks for it.

    Attributes
    ----------
    scorecard : Scorecard
        Its number is provisional: the next after the one in use.
    counts : tuple of CountQuality
        Of each number of segments looked at; empty if too few customers differ.
    log_likelihood_before, inertia_before : float
        Per customer, of the scorecard in use on the same customers.
    spend_refusal : str
        Why there is no model of spend; empty if there is one.
    """

    scorecard: Scorecard
    counts: tuple[CountQuality, ...]
    log_likelihood_before: float
    inertia_before: float
    spend_refusal: str


def refit(
    customers: LearningSample,
    now_us: int,
    current: Scorecard,
    options: RefitOptions,
    calendar: BusinessCalendar,
    seed: int,
    judged: Judged = lambda _: None,
) -> Refit:
    """Fit everything anew, beginning from the scorecard in use.

    Parameters
    ----------
    customers : LearningSample
        All of them, or a uniform sample.
    now_us : int
        Moment at which all are evaluated, microseconds since 1970 UTC.
    current : Scorecard
        In use: models and centroids begin there, names are kept.
    options : RefitOptions
    calendar : BusinessCalendar
    seed : int
    judged : callable
        Told each number of segments as it has been looked at.

    Raises
    ------
    DegenerateFitError
        The customers do not determine the numbers, and why.
    """
    t_x_days, age_days = customers.spans(now_us, calendar)
    alive = fit_alive(
        customers.frequency, t_x_days, age_days, options.family, start=_start(current)
    )
    prob_alive = prob_alive_unchecked(customers.frequency, t_x_days, age_days, alive.params)
    features = log_features(prob_alive, customers.frequency, customers.monetary_value)
    scaler = scaler_of(features)
    z = standardise(_some(features, seed), scaler)
    count, counts = _count(z, options, current, seed, judged)
    before = rescale(np.array(current.centroids), current.scaler, scaler)
    centroids = _centroids(z, count, before, current, np.random.default_rng(seed))
    names, centroids = named(current, before, centroids, scaler)
    spend, refusal = _spend(customers)
    quality = next((one for one in counts if one.count == count), None)
    card = Scorecard(
        number=current.number + 1,
        origin=Origin.FITTED,
        alive=alive.params,
        spend=spend,
        scaler=scaler,
        centroids=tuple(tuple(row) for row in centroids.tolist()),
        segments=names,
        hysteresis=options.hysteresis,
        lifecycle=options.lifecycle,
        rfm=rfm_cuts(age_days - t_x_days, customers.frequency, customers.monetary_value),
        training=Training(
            method="maximum likelihood; k-means from the scorecard before and several other starts",
            customers=len(customers),
            repeat_customers=int((customers.frequency > 0).sum()),
            observed_at=datetime.fromtimestamp(now_us / 1e6, tz=UTC),
            inertia_per_customer=inertia(z, centroids) / len(z),
            previous_inertia_per_customer=inertia(z, before) / len(z),
            log_likelihood_per_customer=alive.log_likelihood,
            source=options.source,
            parameter_errors=_four(alive),
            silhouette=None if quality is None else quality.silhouette,
            stability=None if quality is None else quality.worst_agreement,
        ),
    )
    return Refit(
        scorecard=card,
        counts=counts,
        log_likelihood_before=likelihood_of(customers.frequency, t_x_days, age_days, current.alive),
        inertia_before=inertia(z, before) / len(z),
        spend_refusal=refusal,
    )


def _start(current: Scorecard) -> AliveParams | None:
    """Where to begin; published parameters of other people's customers are no better than any."""
    return None if current.origin is Origin.BOOTSTRAP else current.alive


def _some(features: FloatArray, seed: int) -> FloatArray:
    if len(features) <= CLUSTERED_MAX:
        return features
    drawn = np.random.default_rng(seed).choice(len(features), CLUSTERED_MAX, replace=False)
    some: FloatArray = features[drawn]
    return some


def _count(
    z: FloatArray, options: RefitOptions, current: Scorecard, seed: int, judged: Judged
) -> tuple[int, tuple[CountQuality, ...]]:
    if options.count is None:
        counts = judge_counts(z, seed, judged=judged)
        present = next((one for one in counts if one.count == len(current.centroids)), None)
        if current.origin is Origin.FITTED and present is not None and present.stable:
            return present.count, counts  # other numbers have other names: not without need
        return stable_count(counts, len(current.centroids)), counts
    distinct = len(np.unique(z, axis=0))
    if distinct < options.count:
        raise DegenerateFitError(
            f"{distinct} customers differ from one another: no {options.count} segments can be found "
            "among them"
        )
    quality = judge_count(z, options.count, seed)
    judged(quality)
    return options.count, (quality,)


def _centroids(
    z: FloatArray, count: int, before: FloatArray, current: Scorecard, rng: np.random.Generator
) -> FloatArray:
    """Those that the present ones lead to, unless a fresh start is better by far."""
    fresh = best_centroids(z, count, rng)
    if current.origin is Origin.BOOTSTRAP or len(before) != count:
        return fresh
    warm = lloyd(z, before, _WARM_STEPS_MAX)
    better = inertia(z, fresh) < (1 - _RESTART_GAIN_MIN) * inertia(z, warm)
    return fresh if better else warm


def _spend(customers: LearningSample) -> tuple[SpendParams | None, str]:
    try:
        return fit_spend(customers.frequency, customers.monetary_value), ""
    except DegenerateFitError as error:
        return None, str(error)  # value is an extra: without it segments and P(alive) still hold


def _four(alive: AliveFit) -> tuple[float, float, float, float]:
    r, alpha_days, a, b = alive.errors
    return r, alpha_days, a, b
