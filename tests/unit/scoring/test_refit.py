from dataclasses import replace

import numpy as np
import pytest

from schemas.errors import DegenerateFitError
from schemas.scorecard import AliveParams, Family, LifecycleThresholds, Origin, SpendParams
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.fit import distinct_histories, fit_alive, fit_spend
from scoring.learning import LearningSample
from scoring.refit import RefitOptions, refit
from tests.support.synthetic import draw

US_PER_DAY = 86_400_000_000
CALENDAR = BusinessCalendar()
ALIVE = AliveParams(r=0.7, alpha_days=70.0, a=0.6, b=1.4)
SPEND = SpendParams(p=6.0, q=4.0, v=15.0)


def options(count: int | None = 4, family: Family = Family.MBGNBD) -> RefitOptions:
    return RefitOptions(family, count, 0.05, LifecycleThresholds(), "a test")


def refitted(customers, day, current=None, count=4, seed=1):
    current = current or bootstrap_scorecard()
    return refit(customers, day * US_PER_DAY, current, options(count), CALENDAR, seed)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """How stable a number of segments is, is asked elsewhere."""
    monkeypatch.setattr("scoring.segment_count.DRAWS", 2)


@pytest.fixture(scope="module")
def some():
    return draw(ALIVE, SPEND, 3_000, 700, seed=3)


@pytest.mark.parametrize("family", Family)
def test_parameters_of_200_000_customers_are_recovered_within_three_percent(family):
    truth = ALIVE.model_copy(update={"family": family})
    customers, day = draw(truth, SPEND, 200_000, 700, seed=1)
    t_x = (customers.last_day - customers.first_day).astype(np.float64)
    age = (day - customers.first_day).astype(np.float64)
    assert len(distinct_histories(customers.frequency, t_x, age)[0]) < 0.8 * len(t_x)
    found = fit_alive(customers.frequency, t_x, age, family)
    for name, error in zip(("r", "alpha_days", "a", "b"), found.errors, strict=True):
        off = getattr(found.params, name) / getattr(truth, name) - 1
        assert abs(off) < 0.03
        assert abs(off) < 5 * error  # which says how well it is known
    spend = fit_spend(customers.frequency, customers.monetary_value)
    # Half of them came back, most of them once or twice: p and v are known to 2 %, and err together.
    for name in ("p", "q", "v"):
        assert getattr(spend, name) == pytest.approx(getattr(SPEND, name), rel=0.06)
    means = [one.p * one.v / (one.q - 1) for one in (spend, SPEND)]
    assert means[0] == pytest.approx(means[1], rel=0.01)


def test_candidate_says_what_it_was_learnt_from_and_how_good_it_is(some):
    customers, day = some
    found = refitted(customers, day)
    card, training = found.scorecard, found.scorecard.training
    assert (card.version, card.origin, len(card.segments)) == ("fitted-1", Origin.FITTED, 4)
    assert (training.customers, training.source) == (3_000, "a test")
    assert training.repeat_customers == (customers.frequency > 0).sum()
    assert training.observed_at.toordinal() - 719_163 == day
    assert training.log_likelihood_per_customer > found.log_likelihood_before
    assert training.inertia_per_customer < found.inertia_before
    assert all(0 < error < 0.5 for error in training.parameter_errors)
    assert [one.count for one in found.counts] == [4]
    assert training.stability == found.counts[0].worst_agreement
    assert card.spend is not None
    assert found.spend_refusal == ""


def test_refit_of_the_same_customers_changes_nothing(some):
    first = refitted(*some).scorecard
    again = refitted(*some, current=first, seed=99).scorecard
    assert again.number == 2
    assert again.segments == first.segments
    np.testing.assert_allclose(again.centroids, first.centroids, atol=1e-6)
    assert again.alive.r == pytest.approx(first.alive.r, rel=1e-6)
    assert again.alive.b == pytest.approx(first.alive.b, rel=1e-6)


def test_order_of_the_customers_does_not_matter_to_the_models(some):
    customers, day = some
    order = np.random.default_rng(1).permutation(len(customers))
    columns = ("frequency", "first_day", "last_day", "monetary_value")
    shuffled = LearningSample(*(getattr(customers, name)[order] for name in columns))
    one, other = refitted(customers, day).scorecard, refitted(shuffled, day).scorecard
    assert one.alive.model_dump() == pytest.approx(other.alive.model_dump())
    assert one.rfm == other.rfm


def test_number_of_segments_that_is_stable_stays_though_more_would_be_too(some, monkeypatch):
    customers, day = some
    three = refitted(customers, day, count=3).scorecard
    monkeypatch.setattr("scoring.segment_count.AGREEMENT_MIN", 0.0)  # everything is stable
    assert len(refitted(customers, day, current=three, count=None).scorecard.segments) == 3
    assert len(refitted(customers, day, count=None).scorecard.segments) == 8


def test_another_number_of_segments_gets_names_of_its_own(some):
    first = refitted(*some).scorecard
    other = refitted(*some, current=first, count=3).scorecard
    assert sorted(other.segments) == ["Champions", "Hibernating", "Loyal"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: {"frequency": one.frequency * 0}, "0 of 3000 customers came back"),
        (lambda one: {"frequency": np.where(np.arange(3000) < 99, 1, 0)}, "99 of 3000"),
        (lambda one: {"last_day": one.first_day - 1}, "t_x_days outside"),
    ],
)
def test_customers_who_determine_nothing_are_refused_with_the_reason(some, change, reason):
    customers, day = some
    with pytest.raises(DegenerateFitError, match=reason):
        refitted(replace(customers, **change(customers)), day)


def test_nobody_is_refused():
    nobody = np.empty(0, np.int64)
    with pytest.raises(DegenerateFitError, match="0 of 0 customers"):
        refitted(LearningSample(nobody, nobody, nobody, np.empty(0)), 10_000)


def test_spend_that_cannot_be_modelled_is_left_out_with_the_reason(some):
    customers, day = some
    same = np.where(customers.frequency > 0, 9.9, 0.0)
    found = refitted(replace(customers, monetary_value=same), day)
    assert found.scorecard.spend is None
    assert "spend the same amount, 9.90" in found.spend_refusal
