import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.scorecard import AliveParams, Family
from scoring.alive import age_at_prob_alive, expected_purchases, prob_alive, prob_purchase

heterogeneity = st.floats(0.01, 50.0)
params = st.builds(
    AliveParams,
    family=st.sampled_from(Family),
    r=heterogeneity,
    alpha_days=st.floats(0.1, 1000.0),
    a=heterogeneity,
    b=heterogeneity,
)
frequency = st.integers(0, 1_000_000) | st.integers(0, 10)
days = st.floats(0.0, 100_000.0)


def customer(x: int, t_x: float, age: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([x]), np.array([t_x if x else 0.0]), np.array([max(age, t_x)])


@given(params, frequency, days, st.lists(days, min_size=2, max_size=20))
def test_prob_alive_never_rises_with_silence_and_stays_a_probability(params, x, t_x, silences):
    age = (t_x if x else 0.0) + np.sort(silences)
    x_rows = np.full(len(age), x)
    t_x_rows = np.full(len(age), t_x if x else 0.0)
    alive = prob_alive(x_rows, t_x_rows, age, params)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert (np.diff(alive) <= 0).all()


@given(params, frequency, days, st.floats(1e-6, 1 - 1e-6))
def test_prob_alive_at_the_crossing_age_is_the_probability_waited_for(params, x, t_x, p):
    x_rows, t_x_rows, _ = customer(x, t_x, t_x)
    age = age_at_prob_alive(p, x_rows, t_x_rows, params)
    if not np.isfinite(age[0]):
        assert (x == 0 and params.family is Family.BGNBD) or age[0] > 0
        return
    if age[0] < t_x_rows[0]:
        assert prob_alive(x_rows, t_x_rows, t_x_rows, params)[0] < p
        return
    # One unit in the last place of an age of 1e5 days moves P of a customer who buys many times a
    # day by more than 1e-9: allow for that unit, and for nothing else.
    earlier, later = np.nextafter(age, t_x_rows), np.nextafter(age, np.inf)
    assert prob_alive(x_rows, t_x_rows, later, params)[0] <= p * (1 + 1e-9)
    assert prob_alive(x_rows, t_x_rows, earlier, params)[0] >= p * (1 - 1e-9)


@given(params, frequency, days, days, st.floats(0.01, 1000.0))
def test_expectation_lies_between_one_purchase_and_no_more_dropping_out(
    params, x, t_x, age, alphas
):
    horizon = alphas * params.alpha_days
    rows = customer(x, t_x, age)
    expected = expected_purchases(horizon, *rows, params)[0]
    rate = (params.r + x) / (params.alpha_days + rows[2][0])
    ceiling = prob_alive(*rows, params)[0] * rate * horizon
    assert expected >= prob_purchase(horizon, *rows, params)[0] * (1 - 1e-8)
    assert expected <= ceiling * (1 + 1e-8)


@given(params, st.lists(st.tuples(frequency, days, days), min_size=1, max_size=30), st.data())
def test_splitting_a_batch_changes_nothing(params, customers, data):
    rows = [customer(*drawn) for drawn in customers]
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    cut = data.draw(st.integers(0, len(customers)))
    for function in (prob_alive, lambda *args: expected_purchases(30.0, *args)):
        whole = function(*columns, params)
        parts = [
            function(*(column[part] for column in columns), params)
            for part in (slice(cut), slice(cut, None))
        ]
        np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-12)
