"""The posterior by PyMC-Marketing: the truth within it, chains that disagree, the library missing."""

from __future__ import annotations

import numpy as np
import pytest

from ops import posterior
from ops.posterior import check_installed, posterior_of, rhat
from schemas.errors import ConfigurationError, DegenerateFitError
from schemas.scorecard import AliveParams, Family, SpendParams
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.fit import fit_alive, fit_spend
from scoring.learning import LearningSample
from tests.support.synthetic import draw

CALENDAR = BusinessCalendar("UTC")
ALIVE = AliveParams(r=0.8, alpha_days=30.0, a=0.9, b=2.0)
SPEND = SpendParams(p=6.0, q=4.0, v=15.0)
TRUE = ALIVE.model_dump(exclude={"family"}) | SPEND.model_dump()


@pytest.fixture(scope="module")
def drawn() -> tuple[LearningSample, int]:
    """4,000 who live as the model says, and now."""
    customers, now_day = draw(ALIVE, SPEND, 4_000, 400, seed=20261122)
    return customers, now_day * 86_400_000_000


@pytest.fixture(scope="module")
def card(drawn):
    customers, now_us = drawn
    spans = customers.spans(now_us, CALENDAR)
    return bootstrap_scorecard().model_copy(
        update={
            "alive": fit_alive(customers.frequency, *spans, Family.MBGNBD).params,
            "spend": fit_spend(customers.frequency, customers.monetary_value),
        }
    )


def test_truth_and_fit_lie_within_the_posterior(drawn, card):
    found = posterior_of(*drawn, card, CALENDAR, draws=400, seed=1)
    assert [one.name for one in found] == list(TRUE)
    for one in found:
        assert one.low < one.median < one.high
        assert one.low < one.fitted < one.high, one
        wide = one.high - one.low  # 90 % would miss one of seven every other time
        assert one.low - wide < TRUE[one.name] < one.high + wide, one


def test_chains_that_disagree_are_refused_by_name(monkeypatch, drawn, card):
    apart = np.array([np.linspace(0.0, 1.0, 100), np.linspace(5.0, 6.0, 100)])
    monkeypatch.setattr(posterior, "_sampled", lambda *_: {"r": apart})
    with pytest.raises(DegenerateFitError, match="do not agree on r"):
        posterior_of(*drawn, card, CALENDAR, draws=100, seed=1)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(posterior, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as refused:
        check_installed()
    assert "everscore[posterior]" in str(refused.value.hint)


def test_rhat_is_one_for_chains_of_one_distribution():
    chains = np.random.default_rng(0).normal(size=(2, 4_000))
    assert rhat(chains) == pytest.approx(1.0, abs=0.01)
    assert rhat(np.zeros((2, 10))) == float("inf")
