"""P(alive), expectations, crossings and fits against lifetimes 0.11.3 on CDNOW."""

import warnings
from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

from schemas.scorecard import AliveParams, Family, SpendParams
from scoring.alive import age_at_prob_alive, expected_purchases, prob_alive, prob_purchase
from scoring.bootstrap import bootstrap_scorecard
from scoring.fit import fit_alive, fit_spend
from scoring.prospects import sums_if_alive
from scoring.value import expected_spend, value_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # lifetimes 0.11.3 sets an option that pandas 3 has retired
    from lifetimes import BetaGeoFitter, GammaGammaFitter, ModifiedBetaGeoFitter
    from lifetimes.utils import (
        _customer_lifetime_value as customer_lifetime_value,
    )
    from lifetimes.utils import (
        summary_data_from_transaction_data,
    )

FITTERS = {Family.BGNBD: BetaGeoFitter, Family.MBGNBD: ModifiedBetaGeoFitter}
# Fader, Hardie and Lee (2005) and Batislam, Denizel and Filiztekin (2007), weeks × 7.
PARAMS = {
    Family.BGNBD: AliveParams(family=Family.BGNBD, r=0.243, alpha_days=4.414 * 7, a=0.793, b=2.426),
    Family.MBGNBD: AliveParams(
        family=Family.MBGNBD, r=0.525, alpha_days=6.183 * 7, a=0.891, b=1.614
    ),
}
BOTH = pytest.mark.parametrize("family", Family)


class Customers(NamedTuple):
    frequency: np.ndarray
    t_x_days: np.ndarray
    age_days: np.ndarray
    monetary_value: np.ndarray

    @property
    def history(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self[:3]


def dataset(name: str, **options) -> pd.DataFrame:
    with as_file(files("lifetimes") / "datasets" / name) as path:
        return pd.read_csv(path, **options)


@pytest.fixture(scope="module")
def cdnow() -> Customers:
    """All 23,570 customers as of the end of the log, 30 June 1998."""
    log = dataset(
        "CDNOW_master.txt",
        sep=r"\s+",
        header=0,
        names=["id", "date", "cds", "dollars"],
        dtype={"date": str},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes 0.11.3 uses what pandas 3 deprecates
        summary = summary_data_from_transaction_data(
            log, "id", "date", "dollars", datetime_format="%Y%m%d"
        )
    assert len(summary) == 23_570
    return Customers(
        summary["frequency"].to_numpy().astype(np.int64),
        summary["recency"].to_numpy(),
        summary["T"].to_numpy(),
        summary["monetary_value"].to_numpy(),
    )


@pytest.fixture(scope="module")
def sample() -> Customers:
    """The 2,357 customers of the published fits: 39 weeks, rounded to hundredths of a week."""
    table = dataset("cdnow_customers_summary_with_transactions.csv")
    assert len(table) == 2357
    days = (table[["t_x", "T"]] * 7).round().to_numpy()
    return Customers(table["x"].to_numpy(), days[:, 0], days[:, 1], table["zbar"].to_numpy())


def oracle(family: Family):
    """A fitter of lifetimes with the published parameters, in days."""
    fitter, params = FITTERS[family](), PARAMS[family]
    fitter.params_ = pd.Series(
        {"r": params.r, "alpha": params.alpha_days, "a": params.a, "b": params.b}
    )
    return fitter


@BOTH
def test_prob_alive_equals_lifetimes(cdnow, family):
    theirs = oracle(family).conditional_probability_alive(*cdnow.history)
    np.testing.assert_allclose(prob_alive(*cdnow.history, PARAMS[family]), theirs, rtol=1e-12)


@BOTH
@pytest.mark.parametrize("horizon", [1.0, 30.0, 365.0])
def test_expected_purchases_equal_lifetimes(cdnow, family, horizon):
    theirs = oracle(family).conditional_expected_number_of_purchases_up_to_time(
        horizon, *cdnow.history
    )
    finite = np.isfinite(theirs)
    assert finite.mean() > 0.999
    ours = expected_purchases(horizon, *cdnow.history, PARAMS[family])
    np.testing.assert_allclose(ours[finite], theirs[finite], rtol=1e-9)
    assert np.isfinite(ours).all()


@BOTH
@pytest.mark.parametrize("p", [0.5, 0.2, 0.05])
def test_lifetimes_finds_the_probability_waited_for_at_the_crossing_age(cdnow, family, p):
    x, t_x, _ = cdnow.history
    age = age_at_prob_alive(p, x, t_x, PARAMS[family])
    crossing = np.isfinite(age) & (age >= t_x)
    assert crossing.sum() > (10_000 if family is Family.BGNBD else 23_000)
    theirs = oracle(family).conditional_probability_alive(x, t_x, age)
    np.testing.assert_allclose(theirs[crossing], p, rtol=1e-9)


@BOTH
def test_crossing_age_equals_the_root_found_numerically_on_lifetimes(cdnow, family):
    repeats = np.flatnonzero(cdnow.frequency > 0)
    rows = np.random.default_rng(1).choice(repeats, 200, replace=False)
    x, t_x = cdnow.frequency[rows], cdnow.t_x_days[rows]
    fitter = oracle(family)

    def above(age: float, x: int, t_x: float) -> float:
        return fitter.conditional_probability_alive(x, t_x, age)[0] - 0.2

    roots = [
        brentq(above, last, 1e5, args=(count, last), xtol=1e-12, rtol=1e-14)
        for count, last in zip(x, t_x, strict=True)
    ]
    np.testing.assert_allclose(age_at_prob_alive(0.2, x, t_x, PARAMS[family]), roots, rtol=1e-9)


def test_prob_purchase_equals_lifetimes_for_new_customers():
    # Under BG/NBD a customer without repeats buys within t unless P(N(t) = 0).
    fitter, params = oracle(Family.BGNBD), PARAMS[Family.BGNBD]
    for horizon in (1.0, 30.0, 400.0):
        ours = prob_purchase(horizon, np.array([0]), np.zeros(1), np.zeros(1), params)
        theirs = 1 - fitter.probability_of_n_purchases_up_to_time(horizon, 0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@BOTH
def test_fit_equals_the_published_one(sample, family):
    found, published = fit_alive(*sample.history, family).params, PARAMS[family]
    assert found.alpha_days / 7 == pytest.approx(published.alpha_days / 7, abs=1e-3)
    for name in ("r", "a", "b"):
        assert getattr(found, name) == pytest.approx(getattr(published, name), abs=1e-3)


@BOTH
@pytest.mark.parametrize("population", ["sample", "cdnow"])
def test_fit_on_weighted_rows_equals_lifetimes_on_all_rows(request, population, family):
    customers = request.getfixturevalue(population)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimiser probes points of overflow
        theirs = FITTERS[family]().fit(*customers.history)
    found = fit_alive(*customers.history, family)
    # They measure time in the longest age: a density of purchase times has another unit there.
    unit = np.log(customers.age_days.max()) * customers.frequency.mean()
    wanted = -theirs._negative_log_likelihood_ - unit
    assert found.log_likelihood == pytest.approx(wanted, abs=1e-9)
    ours = [found.params.r, found.params.alpha_days, found.params.a, found.params.b]
    # The same objective; they stop at a slope of 1e-7, which leaves them 1e-6 from where it vanishes.
    np.testing.assert_allclose(ours, theirs.params_.to_numpy(), rtol=1e-5)
    # Their errors are of the parameters in that unit; as shares they are the same.
    shares = theirs.standard_errors_.to_numpy() / theirs.params_.to_numpy()
    np.testing.assert_allclose(found.errors, shares, rtol=1e-2)


def test_spend_fit_equals_lifetimes(cdnow):
    rows = (cdnow.frequency > 0) & (cdnow.monetary_value > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GammaGammaFitter().fit(cdnow.frequency[rows], cdnow.monetary_value[rows])
    found = fit_spend(cdnow.frequency, cdnow.monetary_value)
    np.testing.assert_allclose([found.p, found.q, found.v], theirs.params_.to_numpy(), rtol=1e-5)


def test_spend_fit_equals_the_published_one(sample):
    # Fader and Hardie (2013), note 025: p 6.25, q 3.74, v 15.44.
    found = fit_spend(sample.frequency, sample.monetary_value)
    assert (found.p, found.q, found.v) == (
        pytest.approx(6.25, abs=0.01),
        pytest.approx(3.74, abs=0.01),
        pytest.approx(15.44, abs=0.01),
    )


def test_expected_spend_equals_lifetimes(cdnow):
    params = SpendParams(p=6.25, q=3.74, v=15.44)
    fitter = GammaGammaFitter()
    fitter.params_ = pd.Series({"p": params.p, "q": params.q, "v": params.v})
    theirs = fitter.conditional_expected_average_profit(cdnow.frequency, cdnow.monetary_value)
    ours = expected_spend(cdnow.frequency, cdnow.monetary_value, params)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@BOTH
def test_customer_lifetime_value_equals_lifetimes(cdnow, family):
    yearly = 0.15
    spend = SpendParams(p=6.25, q=3.74, v=15.44)
    card = bootstrap_scorecard().model_copy(
        update={"alive": PARAMS[family], "spend": spend, "discount_rate": yearly}
    )
    alive = prob_alive(*cdnow.history, PARAMS[family])
    frequency, _, age_days = cdnow.history
    sums = sums_if_alive(frequency, age_days + card.alive.alpha_days, card.alive, yearly)
    value = value_of(*cdnow.history, cdnow.monetary_value, alive, sums, card)
    fitter = oracle(family)
    fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
    columns = [pd.Series(column) for column in (*cdnow.history, value.expected_spend)]
    monthly = (1.0 + yearly) ** (30 / 365) - 1.0
    theirs = {
        months: customer_lifetime_value(
            fitter, *columns, time=months, discount_rate=monthly, freq="D"
        ).to_numpy()
        for months in (3, 12)
    }
    finite = np.isfinite(theirs[12])
    assert finite.mean() > 0.999
    np.testing.assert_allclose(value.clv_90d[finite], theirs[3][finite], rtol=1e-9)
    # A year is five days more than twelve of its months.
    assert (value.clv_365d[finite] > theirs[12][finite]).all()
    assert (value.clv_365d[finite] < theirs[12][finite] * 1.02).all()
