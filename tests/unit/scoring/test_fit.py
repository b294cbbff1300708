import numpy as np
import pytest

from schemas.errors import DegenerateFitError
from schemas.scorecard import AliveParams, Family, SpendParams
from scoring.fit import (
    REPEAT_CUSTOMERS_MIN,
    distinct_histories,
    fit_alive,
    fit_spend,
)
from scoring.likelihood import alive_objective, highest, spend_objective

TRUTH = AliveParams(family=Family.MBGNBD, r=1.5, alpha_days=30.0, a=0.9, b=2.5)
SPEND = SpendParams(p=6.0, q=4.0, v=15.0)


def histories(params: AliveParams, customers: int, seed: int):
    """Customers drawn from the model itself, observed for 100 to 400 days."""
    rng = np.random.default_rng(seed)
    age = rng.integers(100, 400, customers).astype(np.float64)
    rate = rng.gamma(params.r, 1 / params.alpha_days, customers)
    dropout = rng.beta(params.a, params.b, customers)
    x, t_x = np.zeros(customers, dtype=np.int64), np.zeros(customers)
    for row in range(customers):
        now = 0.0
        tosses_first = params.family is Family.MBGNBD
        while not tosses_first or rng.random() >= dropout[row]:
            tosses_first = True
            now += rng.exponential(1 / rate[row])
            if now > age[row]:
                break
            x[row], t_x[row] = x[row] + 1, now
    return x, t_x, age


@pytest.mark.parametrize("family", Family)
def test_fit_finds_the_parameters_that_made_the_data(family):
    truth = TRUTH.model_copy(update={"family": family})
    found = fit_alive(*histories(truth, 4000, seed=1), family)
    assert found.params.family is family
    for name in ("r", "alpha_days", "a", "b"):
        # Over twelve seeds the standard deviation of each estimate is 3 to 6 %.
        assert getattr(found.params, name) == pytest.approx(getattr(truth, name), rel=0.25)
    assert np.isfinite(found.log_likelihood)


def test_fit_does_not_depend_on_the_hour_or_on_the_order():
    x, t_x, age = histories(TRUTH, 500, seed=2)
    t_x = np.floor(t_x)
    shuffled = np.random.default_rng(3).permutation(500)
    later = fit_alive(x[shuffled], t_x[shuffled], age[shuffled] + 0.4, Family.MBGNBD)
    assert later == fit_alive(x, t_x, age, Family.MBGNBD)


def test_equal_histories_count_as_often_as_they_occur():
    x, t_x, age = histories(TRUTH, 400, seed=4)
    twice = [np.concatenate((column, column)) for column in (x, t_x, age)]
    one, two = fit_alive(x, t_x, age, Family.BGNBD), fit_alive(*twice, Family.BGNBD)
    assert two.log_likelihood == pytest.approx(one.log_likelihood)
    assert two.params.r == pytest.approx(one.params.r, rel=1e-4)


def test_warm_start_reaches_the_same_parameters():
    columns = histories(TRUTH, 500, seed=5)
    cold = fit_alive(*columns, Family.MBGNBD)
    warm = fit_alive(*columns, Family.MBGNBD, start=cold.params)
    assert warm.log_likelihood == pytest.approx(cold.log_likelihood, abs=1e-7)
    assert warm.params.b == pytest.approx(cold.params.b, rel=1e-2)


def test_start_of_the_other_family_is_ignored():
    columns = histories(TRUTH, 300, seed=6)
    elsewhere = TRUTH.model_copy(update={"family": Family.BGNBD, "a": 900.0})
    assert fit_alive(*columns, Family.MBGNBD, start=elsewhere) == fit_alive(*columns, Family.MBGNBD)


@pytest.mark.parametrize("family", Family)
def test_too_few_repeat_customers_are_refused(family):
    x = np.r_[np.zeros(5000, dtype=np.int64), np.ones(REPEAT_CUSTOMERS_MIN - 1, dtype=np.int64)]
    with pytest.raises(DegenerateFitError, match="99 of 5099 customers came back"):
        fit_alive(x, x * 3.0, np.full(len(x), 9.0), family)


def test_no_customers_are_refused():
    none = np.array([], dtype=np.int64), np.array([]), np.array([])
    with pytest.raises(DegenerateFitError, match="0 of 0 customers"):
        fit_alive(*none, Family.MBGNBD)
    with pytest.raises(DegenerateFitError, match="0 of 0 customers"):
        fit_spend(none[0], none[1])


@pytest.mark.parametrize("family", Family)
def test_customers_who_are_all_alike_are_refused_and_nothing_is_printed(family, capsys):
    # Everybody bought on the same ten days and is gone: nothing tells dropout from chance.
    x = np.full(500, 9)
    with pytest.raises(DegenerateFitError, match=r"no maximum|do not determine"):
        fit_alive(x, np.full(500, 90.0), np.full(500, 91.0), family)
    assert capsys.readouterr().out == ""


def test_nonsense_is_refused_by_name():
    x = np.full(200, 2)
    with pytest.raises(DegenerateFitError, match="t_x_days outside"):
        fit_alive(x, np.full(200, -3.0), np.full(200, 9.0), Family.MBGNBD)


def spends(customers: int, seed: int, params: SpendParams = SPEND):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 30, customers)
    scale = rng.gamma(params.q, 1 / params.v, customers)
    return x, rng.gamma(params.p * x, 1 / scale) / x


@pytest.mark.parametrize("currency", [0.001, 1.0, 15_000.0])
def test_spend_fit_finds_the_parameters_in_any_currency(currency):
    x, money = spends(3000, seed=1)
    found = fit_spend(x, money * currency)
    assert found.p == pytest.approx(SPEND.p, rel=0.15)
    assert found.q == pytest.approx(SPEND.q, rel=0.15)
    assert found.v / currency == pytest.approx(SPEND.v, rel=0.3)


def test_spend_fit_leaves_out_who_did_not_come_back_or_spent_nothing():
    x, money = spends(300, seed=2)
    more_x = np.concatenate((x, np.zeros(50, dtype=np.int64), np.full(50, 3)))
    more_money = np.concatenate((money, np.full(50, 9.0), np.repeat([0.0, -4.0], 25)))
    assert fit_spend(more_x, more_money) == fit_spend(x, money)


def test_too_few_spenders_are_refused():
    with pytest.raises(DegenerateFitError, match="20 of 500 customers came back and spent"):
        fit_spend(np.full(500, 2), np.repeat([0.0, 5.0], [480, 20]))


def test_spend_without_a_mean_is_refused():
    x, money = spends(3000, 3, SpendParams(p=6.0, q=0.6, v=1.0))
    with pytest.raises(DegenerateFitError, match=r"q = 0\.\d+ is not above 1"):
        fit_spend(x, money)


def test_customers_who_all_spend_the_same_are_refused():
    with pytest.raises(
        DegenerateFitError, match=r"all 500 customers .* spend the same amount, 9\.90"
    ):
        fit_spend(np.arange(1, 501), np.full(500, 9.9))


def test_histories_that_differ_and_yet_determine_nothing_are_refused_with_the_parameter():
    # Everybody buys like clockwork and nobody leaves: neither rates nor dropout differ.
    x, age = np.repeat([10, 20, 30], 200), np.repeat([100.0, 200.0, 300.0], 200)
    with pytest.raises(DegenerateFitError, match=r"(r|alpha_days|a|b) = .* do not determine it"):
        fit_alive(x, age, age, Family.MBGNBD)


def test_likelihood_that_is_flat_is_refused():
    def flat(logs):
        return -float((logs[0] - 0.5) ** 2), np.array([-2 * (logs[0] - 0.5), 0.0])

    with pytest.raises(DegenerateFitError, match="do not determine u, v"):
        highest(flat, ("u", "v"), [np.array([1.0, 1.0])], 100)


def test_slope_that_never_vanishes_is_refused():
    def rough(logs):  # its slope is never below one
        return -float(np.abs(logs).sum()), -np.where(logs >= 0, 1.0, -1.0)

    with pytest.raises(DegenerateFitError, match=r"its slope is 1\.0e\+00"):
        highest(rough, ("u",), [np.array([2.0])], 100)


@pytest.mark.parametrize("family", Family)
def test_gradient_is_the_slope_of_the_likelihood(family):
    x, t_x, age = histories(TRUTH, 300, seed=8)
    objectives = [
        (alive_objective(x, t_x, age, np.linspace(1, 3, 300), family), [0.6, 40.0, 0.7, 1.9]),
        (spend_objective(*spends(300, seed=8)), [3.0, 2.0, 9.0]),
    ]
    for objective, at in objectives:
        logs = np.log(at)
        _, gradient = objective(logs)
        for index, slope in enumerate(gradient):
            step = np.eye(len(at))[index] * 1e-5
            rise = objective(logs + step)[0] - objective(logs - step)[0]
            assert slope == pytest.approx(rise / 2e-5, rel=1e-6, abs=1e-9)


def test_distinct_histories_bring_back_every_customer():
    rng = np.random.default_rng(9)
    columns = rng.integers(0, 3, 500), rng.integers(0, 2, 500) * 1.0, rng.integers(5, 7, 500) * 1.0
    x, t_x, age, weights = distinct_histories(*columns)
    again = sorted(
        zip(*(np.repeat(column, weights.astype(int)) for column in (x, t_x, age)), strict=True)
    )
    assert again == sorted(zip(*columns, strict=True))
    assert len(set(zip(x, t_x, age, strict=True))) == len(weights)
