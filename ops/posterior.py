"""How sure a fit is: a posterior of its parameters, sampled by PyMC-Marketing.

Owns what that library is given and asked for. It comes with `pip install 'everscore[posterior]'`, and is
imported here only, when it is asked. A scorecard holds the maximum of the likelihood either way.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from schemas.errors import ConfigurationError, DegenerateFitError
from schemas.scorecard import Family, Scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.learning import LearningSample

CUSTOMERS_MAX = 20_000
"""A uniform sample of so many tells each parameter to a few percent; time grows with their number."""

LEVEL = 0.9
"""Of a credible interval: what lies outside is as likely above as below."""

_CHAINS = 2
_RHAT_MAX = 1.05
"""Gelman and Rubin's comparison of the chains: 1 when they tell the same."""


@dataclass(frozen=True, slots=True)
class Credible:
    """One parameter.

    Attributes
    ----------
    name : str
        As in the scorecard.
    fitted : float
        What the scorecard has.
    median, low, high : float
        Of the posterior; between the last two lies a share of `LEVEL`.
    """

    name: str
    fitted: float
    median: float
    low: float
    high: float


def check_installed() -> None:
    """Refuse, before any work, where the library is missing.

    Raises
    ------
    ConfigurationError
    """
    if find_spec("pymc_marketing") is None:
        raise ConfigurationError(
            "the posterior is sampled by PyMC-Marketing, which is not installed.",
            hint="Run: pip install 'everscore[posterior]'",
        )


def posterior_of(
    customers: LearningSample,
    now_us: int,
    card: Scorecard,
    calendar: BusinessCalendar,
    *,
    draws: int,
    seed: int,
) -> list[Credible]:
    """Credible intervals of the dropout model's parameters, and of the spend model's if there is one.

    Parameters
    ----------
    customers : LearningSample
        In random order: the first `CUSTOMERS_MAX` are taken.
    now_us : int
        Moment at which all are evaluated, microseconds since 1970 UTC.
    card : Scorecard
        Fitted to them.
    calendar : BusinessCalendar
    draws : int
        Of each of two chains; as many before them find the way.
    seed : int

    Raises
    ------
    ConfigurationError
        The library is not installed.
    DegenerateFitError
        The chains tell different things: more draws are needed, or the data do not determine a parameter.

    Notes
    -----
    Priors are the library's: flat for r and alpha, uniform for a / (a + b), Pareto for a + b.
    """
    check_installed()
    # PyMC takes ten seconds to import, and is an extra.
    import pandas as pd  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they deprecate of one another is not the user's
        from pymc_marketing import clv  # noqa: PLC0415
    t_x_days, age_days = customers.spans(now_us, calendar)
    table = pd.DataFrame(
        {
            "customer_id": np.arange(len(customers)),
            "frequency": customers.frequency,
            "recency": t_x_days,
            "T": age_days,
            "monetary_value": customers.monetary_value,
        }
    )[:CUSTOMERS_MAX]
    alive, spend = card.alive, card.spend
    model = clv.ModifiedBetaGeoModel if alive.family is Family.MBGNBD else clv.BetaGeoModel
    found = _sampled(
        model, table.drop(columns="monetary_value"), ("r", "alpha", "a", "b"), draws, seed
    )
    fitted = {"r": alive.r, "alpha": alive.alpha_days, "a": alive.a, "b": alive.b}
    if spend is not None:
        spent = table[(table.frequency > 0) & (table.monetary_value > 0)]
        columns = spent[["customer_id", "frequency", "monetary_value"]]
        found |= _sampled(clv.GammaGammaModel, columns, ("p", "q", "v"), draws, seed)
        fitted |= {"p": spend.p, "q": spend.q, "v": spend.v}
    return [
        _credible("alpha_days" if name == "alpha" else name, fitted[name], chains)
        for name, chains in found.items()
    ]


def _sampled(
    model: Any, table: Any, names: Sequence[str], draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Draws of each parameter, shape (chains, draws)."""
    logging.getLogger("pymc").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model().fit(
            data=table, draws=draws, tune=draws, chains=_CHAINS, random_seed=seed, progressbar=False
        )
    return {name: np.asarray(found.posterior[name]) for name in names}


def _credible(name: str, fitted: float, chains: np.ndarray) -> Credible:
    apart = rhat(chains)
    if not apart <= _RHAT_MAX:
        raise DegenerateFitError(
            f"no posterior: the {len(chains)} chains do not agree on {name} (R-hat {apart:.3f}, "
            f"at most {_RHAT_MAX}): give --posterior-draws more, or the data do not determine it"
        )
    outside = (1.0 - LEVEL) / 2.0
    low, median, high = np.quantile(chains, (outside, 0.5, 1.0 - outside)).tolist()
    return Credible(name, fitted, median, low, high)


def rhat(chains: np.ndarray) -> float:
    """How much further apart chains are than within, each cut in half; 1 when they tell the same.

    Parameters
    ----------
    chains : float64, shape (chains, draws)

    Notes
    -----
    Source: Gelman et al. (2013), "Bayesian Data Analysis", 11.4.

    Examples
    --------
    >>> rhat(np.array([[0.0, 1.0, 0.0, 1.0], [5.0, 6.0, 5.0, 6.0]])) > 4
    True
    """
    half = chains.shape[1] // 2
    parts = np.concatenate([chains[:, :half], chains[:, -half:]])
    within = float(parts.var(axis=1, ddof=1).mean())
    between = float(parts.mean(axis=1).var(ddof=1))
    return float(np.sqrt((half - 1) / half + between / within)) if within > 0 else float("inf")
