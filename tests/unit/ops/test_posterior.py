"""The posterior by PyMC-Marketing: the truth within it, chains that disagree, the library missing."""

from __future__ import annotations

import numpy as np
import pytest

from ops import posterior
from ops.posterior import check_installed, posterior_of, rhat
from schemas.errors import ConfigurationError, DegenerateFitError
from schemas.scorecard import Family
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.fit import fit_alive, fit_spend
from scoring.learning import LearningSample
from scoring.refit import spans_of

CALENDAR = BusinessCalendar("UTC")
NOW_US = 10_000 * 86_400_000_000
TRUE = {"r": 0.8, "alpha_days": 30.0, "a": 0.9, "b": 2.0, "p": 6.0, "q": 4.0, "v": 15.0}


@pytest.fixture(scope="module")
def customers() -> LearningSample:
    """1,500 who live as the model says, day by day."""
    random = np.random.default_rng(20261122)
    rows = []
    for first_day in random.integers(9_600, 9_700, 1_500).tolist():
        rate = random.gamma(TRUE["r"], 1.0 / TRUE["alpha_days"])
        leaves = random.beta(TRUE["a"], TRUE["b"])
        last, day, often = float(first_day), float(first_day), 0
        while random.random() >= leaves:  # who leaves after the very first is never seen again
            day += random.exponential(1.0 / rate)
            if day > 10_000:
                break
            last, often = day, often + 1
        scale = random.gamma(TRUE["q"], 1.0 / TRUE["v"])
        mean = random.gamma(TRUE["p"] * often, 1.0 / scale) / often if often else 0.0
        rows.append((often, first_day, round(last), mean))
    often, first, last, mean = (np.array(column) for column in zip(*rows, strict=True))
    return LearningSample(often, first, last, mean)


@pytest.fixture(scope="module")
def card(customers):
    spans = spans_of(customers, NOW_US, CALENDAR)
    return bootstrap_scorecard().model_copy(
        update={
            "alive": fit_alive(customers.frequency, *spans, Family.MBGNBD).params,
            "spend": fit_spend(customers.frequency, customers.monetary_value),
        }
    )


def test_truth_and_fit_lie_within_the_posterior(customers, card):
    found = posterior_of(customers, NOW_US, card, CALENDAR, draws=300, seed=1)
    assert [one.name for one in found] == list(TRUE)
    for one in found:
        assert one.low < one.median < one.high
        assert one.low < one.fitted < one.high, one
        wide = one.high - one.low  # 90 % would miss one of seven every other time
        assert one.low - wide < TRUE[one.name] < one.high + wide, one


def test_chains_that_disagree_are_refused_by_name(monkeypatch, customers, card):
    apart = np.array([np.linspace(0.0, 1.0, 100), np.linspace(5.0, 6.0, 100)])
    monkeypatch.setattr(posterior, "_sampled", lambda *_: {"r": apart})
    with pytest.raises(DegenerateFitError, match="do not agree on r"):
        posterior_of(customers, NOW_US, card, CALENDAR, draws=100, seed=1)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(posterior, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as refused:
        check_installed()
    assert "everscore[posterior]" in str(refused.value.hint)


def test_rhat_is_one_for_chains_of_one_distribution():
    chains = np.random.default_rng(0).normal(size=(2, 4_000))
    assert rhat(chains) == pytest.approx(1.0, abs=0.01)
    assert rhat(np.zeros((2, 10))) == float("inf")
