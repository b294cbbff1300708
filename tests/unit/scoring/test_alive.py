import numpy as np
import pytest
from scipy.special import roots_jacobi

from schemas.errors import ShapeError, TimelineError
from schemas.scorecard import AliveParams, Family
from scoring.alive import (
    age_at_prob_alive,
    expected_purchases,
    prob_alive,
    prob_alive_unchecked,
    prob_purchase,
)

# Fader, Hardie and Lee (2005) and Batislam, Denizel and Filiztekin (2007), CDNOW, weeks × 7.
BGNBD = AliveParams(family=Family.BGNBD, r=0.243, alpha_days=30.898, a=0.793, b=2.426)
MBGNBD = AliveParams(family=Family.MBGNBD, r=0.525, alpha_days=43.281, a=0.891, b=1.614)
BOTH = pytest.mark.parametrize("params", [BGNBD, MBGNBD], ids=["bgnbd", "mbgnbd"])


def rows(*customers: tuple[int, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, t_x, age = zip(*customers, strict=True)
    return np.array(x), np.array(t_x, dtype=float), np.array(age, dtype=float)


def expected_by_quadrature(horizon, x, t_x, age, params):
    """P(alive) times the mean of (1 − (1 + p·H/(α+T))^−(r+x))/p over the posterior of p.

    Independent of hypergeometric functions: 400 Gauss–Jacobi nodes from scipy, which lose
    digits themselves if a is below 0.5.
    """
    b = params.b + x + (1 if params.family is Family.MBGNBD else 0)
    nodes, weights = roots_jacobi(400, b - 1, params.a - 1)
    p = (1 + nodes) / 2
    purchases = -np.expm1(-(params.r + x) * np.log1p(p * horizon / (params.alpha_days + age))) / p
    alive = prob_alive(*rows((x, t_x, age)), params)[0]
    return alive * (weights @ purchases) / weights.sum()


def test_bgnbd_without_repeat_purchase_is_exactly_one_at_any_age():
    x, t_x, age = rows((0, 0, 0), (0, 0, 272), (0, 0, 1e5))
    assert prob_alive(x, t_x, age, BGNBD).tolist() == [1.0, 1.0, 1.0]


def test_mbgnbd_without_repeat_purchase_falls_with_age():
    alive = prob_alive(*rows((0, 0, 0), (0, 0, 30), (0, 0, 1e5)), MBGNBD)
    assert alive[0] == pytest.approx(MBGNBD.b / (MBGNBD.a + MBGNBD.b), rel=1e-15)
    assert (np.diff(alive) < 0).all()


@BOTH
def test_million_purchases_and_centuries_stay_finite(params):
    x, t_x, age = rows((10**6, 1e5, 1e5), (10**6, 0, 1e5), (10**6, 99_999, 1e5), (0, 0, 1e5))
    alive = prob_alive(x, t_x, age, params)
    assert alive[0] > 0.999
    assert alive[1] == 0.0
    assert np.isfinite(alive).all()
    assert np.isfinite(expected_purchases(30.0, x, t_x, age, params)).all()


def test_family_given_as_text_is_recognised():
    text = MBGNBD.model_copy(update={"family": "mbgnbd"})
    customer = rows((0, 0, 30))
    assert prob_alive(*customer, text) == prob_alive(*customer, MBGNBD)
    assert age_at_prob_alive(0.5, *customer[:2], text) == age_at_prob_alive(
        0.5, *customer[:2], MBGNBD
    )


def test_no_rows_give_no_rows():
    none = np.array([], dtype=np.int64), np.array([]), np.array([])
    assert prob_alive(*none, MBGNBD).shape == (0,)
    assert expected_purchases(30.0, *none, MBGNBD).shape == (0,)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ShapeError, match=r"\(2,\), \(1,\) and \(2,\)"):
        prob_alive(np.array([1, 2]), np.array([1.0]), np.array([3.0, 3.0]), MBGNBD)


def test_last_purchase_outside_the_age_names_the_rows():
    x, t_x, age = rows((1, 1, 2), (1, 3, 2), (1, -1, 2), (1, np.nan, 2))
    with pytest.raises(TimelineError, match="3 rows, first at row 1") as caught:
        prob_alive(x, t_x, age, MBGNBD)
    assert caught.value.rows == (1, 2, 3)


@BOTH
def test_rows_keep_their_order(params):
    x, t_x, age = rows((0, 0, 9), (3, 40, 90), (1, 5, 300))
    backwards = prob_alive(x[::-1], t_x[::-1], age[::-1], params)
    assert prob_alive(x, t_x, age, params).tolist() == backwards[::-1].tolist()


def test_unchecked_broadcasts_one_customer_over_many_ages():
    alive = prob_alive_unchecked(np.array([2]), np.array([50.0]), np.arange(50.0, 80.0), MBGNBD)
    assert alive.shape == (30,)
    assert (np.diff(alive) < 0).all()


@BOTH
def test_age_at_prob_alive_takes_one_probability_per_row(params):
    x, t_x = np.array([1, 4, 9]), np.array([10.0, 60.0, 90.0])
    p = np.array([0.6, 0.5, 0.1])
    age = age_at_prob_alive(p, x, t_x, params)
    np.testing.assert_allclose(prob_alive(x, t_x, age, params), p, rtol=1e-12)


def test_bgnbd_without_repeat_purchase_never_crosses():
    assert age_at_prob_alive(0.5, np.array([0, 1]), np.zeros(2), BGNBD)[0] == np.inf


@BOTH
def test_probability_zero_is_never_reached(params):
    age = age_at_prob_alive(np.array([0.0, -0.1]), np.array([3]), np.array([9.0]), params)
    assert age.tolist() == [np.inf, np.inf]


@BOTH
@pytest.mark.parametrize("p", [0.99, 1.0, 1.5])
def test_probability_passed_before_the_last_purchase_gives_an_age_before_it(params, p):
    assert age_at_prob_alive(p, np.array([3]), np.array([9.0]), params)[0] < 9.0


def test_age_beyond_any_float_is_never():
    stubborn = MBGNBD.model_copy(update={"r": 1e-4, "b": 900.0})
    assert age_at_prob_alive(0.01, np.array([0]), np.array([0.0]), stubborn)[0] == np.inf


@BOTH
@pytest.mark.parametrize("a", [0.5, 0.8, 0.9981, 1 - 1e-9, 1.0, 1.0005, 1.0021, 2.0, 3.7, 40.0])
@pytest.mark.parametrize("horizon", [0.01, 1.0, 30.0, 365.0, 5000.0])
def test_expected_purchases_equal_the_mean_over_dropout_rates(params, a, horizon):
    params = params.model_copy(update={"a": a})
    customers = (0, 0, 0), (0, 0, 300), (1, 20, 40), (7, 100, 130), (60, 700, 720)
    expected = expected_purchases(horizon, *rows(*customers), params)
    oracle = [expected_by_quadrature(horizon, *customer, params) for customer in customers]
    np.testing.assert_allclose(expected, oracle, rtol=1e-9)


@pytest.mark.parametrize(
    ("family", "r", "alpha", "a", "b", "x", "age", "horizon", "value"),
    [
        ("bgnbd", 0.243, 30.898, 0.02, 2.426, 0, 0, 365, 2.8035951561643759),
        ("mbgnbd", 0.525, 43.281, 0.02, 1.614, 0, 10, 3650, 34.096478207848257),
        ("mbgnbd", 0.525, 43.281, 0.891, 1.614, 10**6, 10**5, 30, 299.83031791816222),
        ("bgnbd", 0.243, 30.898, 0.793, 2.426, 1000, 3650, 365, 95.508104613569107),
        ("mbgnbd", 0.525, 43.281, 0.999, 1.614, 5, 60, 30, 1.451239205663165),
        ("bgnbd", 0.001, 30.898, 0.793, 2.426, 0, 10**5, 0.01, 9.9969110311696041e-11),
        ("mbgnbd", 6.2, 1.0, 202.4, 3.0, 0, 0, 500, 1.0198609731876862),
    ],
)
def test_expected_purchases_equal_the_published_form_in_50_digits(
    family, r, alpha, a, b, x, age, horizon, value
):
    # Frozen values by mpmath 1.4.1 with 50 digits from the untransformed form, P(alive) left out.
    params = AliveParams(family=family, r=r, alpha_days=alpha, a=a, b=b)
    expected = expected_purchases(float(horizon), *rows((x, 0, age)), params, np.ones(1))
    assert expected[0] == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("b", [0.2, 0.207, 0.207 - 1e-13, 0.19])
def test_bgnbd_with_a_plus_b_around_one_has_no_pole(b):
    params = BGNBD.model_copy(update={"b": b})
    expected = expected_purchases(30.0, *rows((0, 0, 10)), params)
    assert expected[0] == pytest.approx(expected_by_quadrature(30.0, 0, 0, 10, params), rel=1e-9)


@BOTH
def test_expected_purchases_survive_overflow_of_the_hypergeometric_function(params):
    extreme = params.model_copy(update={"a": 202.4, "b": 3.0, "r": 6.2, "alpha_days": 1.0})
    expected = expected_purchases(500.0, *rows((0, 0, 0), (5, 0.5, 1)), extreme)
    oracle = [
        expected_by_quadrature(500.0, 0, 0, 0, extreme),
        expected_by_quadrature(500.0, 5, 0.5, 1, extreme),
    ]
    np.testing.assert_allclose(expected, oracle, rtol=1e-8)


@BOTH
def test_known_prob_alive_is_used_and_rows_are_not_checked_again(params):
    x, t_x, age = rows((2, 9, 5))
    alive = np.array([0.25])
    assert expected_purchases(30.0, x, t_x, age, params, alive)[0] == pytest.approx(
        0.25 * expected_purchases(30.0, x, t_x, age, params, np.ones(1))[0]
    )
    assert 0 < prob_purchase(30.0, x, t_x, age, params, alive)[0] < 0.25
    with pytest.raises(TimelineError):
        expected_purchases(30.0, x, t_x, age, params)
    with pytest.raises(TimelineError):
        prob_purchase(30.0, x, t_x, age, params)


@BOTH
def test_horizon_of_nothing_brings_no_purchase(params):
    customers = rows((0, 0, 0), (3, 9, 20))
    assert expected_purchases(0.0, *customers, params).tolist() == [0.0, 0.0]
    assert prob_purchase(0.0, *customers, params).tolist() == [0.0, 0.0]


@BOTH
def test_endless_horizon_brings_every_living_customer_back(params):
    customers = rows((0, 0, 0), (3, 9, 20))
    np.testing.assert_array_equal(
        prob_purchase(np.inf, *customers, params), prob_alive(*customers, params)
    )
