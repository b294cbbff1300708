"""Tables of what to expect: as exact as what they were made from, whoever asks, in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.scorecard import AliveParams, Family
from scoring.alive import expected_purchases
from scoring.prospects import FREQUENCIES, SUMS, Prospects, prospects_of, sums_if_alive

CDNOW = AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614)
RATE = 0.1
SPANS = np.geomspace(43.3, 4_000.0, 60)


def params_of(family: Family, logs: tuple[float, ...]) -> AliveParams:
    r, alpha_days, a, b = (10.0**log for log in logs)
    return AliveParams(family=family, r=r, alpha_days=alpha_days, a=a, b=b)


@given(
    st.sampled_from(list(Family)),
    st.tuples(st.floats(-1.5, 1.5), st.floats(-1, 3), st.floats(-1.5, 1.3), st.floats(-1, 1.5)),
    st.integers(0, FREQUENCIES + 5),
    st.floats(-2.0, 4.0),
)
@settings(max_examples=300)
def test_interpolation_is_as_good_as_the_sum(family, logs, frequency, log_age):
    params = params_of(family, logs)
    rows = np.array([frequency]), np.array([params.alpha_days + 10.0**log_age])
    exact = sums_if_alive(*rows, params, RATE)
    np.testing.assert_allclose(Prospects(params, RATE).sums_if_alive(*rows), exact, rtol=1e-10)


def test_sums_are_those_of_the_model_and_discounting_lowers_them():
    x = np.full(len(SPANS), 3)
    short, middle, clv_90, clv_365 = Prospects(CDNOW, RATE).sums_if_alive(x, SPANS)
    alive, age = np.ones(len(SPANS)), SPANS - CDNOW.alpha_days
    for horizon, found in ((30.0, short), (90.0, middle)):
        wanted = expected_purchases(horizon, x, np.zeros_like(age), age, CDNOW, alive)
        np.testing.assert_allclose(found, wanted, rtol=1e-11)
    assert (clv_90 < middle).all()
    assert (clv_90 > 0.97 * middle).all()
    assert (clv_365 > clv_90).all()


def test_whoever_asks_is_told_the_same_to_the_last_bit():
    random = np.random.default_rng(5)
    x, span = random.integers(0, 300, 500), 10.0 ** random.uniform(1.6, 4.0, 500)
    together = Prospects(CDNOW, RATE).sums_if_alive(x, span)
    one_by_one = Prospects(CDNOW, RATE)
    for row in random.permutation(500).tolist():
        alone = one_by_one.sums_if_alive(x[row : row + 1], span[row : row + 1])
        assert alone[:, 0].tolist() == together[:, row].tolist()


@pytest.mark.parametrize("span", [1e-6, 1e13])
def test_spans_beyond_the_tables_are_summed_each_time(span):
    rows = np.array([2]), np.array([span])
    prospects = Prospects(CDNOW, RATE)
    assert (prospects.sums_if_alive(*rows) == sums_if_alive(*rows, CDNOW, RATE)).all()
    assert (prospects.places == -1).all()


def test_tables_grow_with_the_customers_met_and_no_further():
    prospects = Prospects(CDNOW, RATE)
    for x in range(FREQUENCIES):
        prospects.sums_if_alive(np.full(2, x), np.array([100.0, 120.0]))
    assert (prospects.places >= 0).sum() == FREQUENCIES
    assert len(prospects.tables) == FREQUENCIES


def test_partitions_have_their_tables_in_common():
    assert prospects_of(CDNOW, RATE) is prospects_of(CDNOW.model_copy(), RATE)
    assert prospects_of(CDNOW, RATE) is not prospects_of(CDNOW, 2 * RATE)


def test_nobody_is_no_error():
    nobody = np.zeros(0, dtype=np.int64), np.zeros(0)
    assert Prospects(CDNOW, RATE).sums_if_alive(*nobody).shape == (SUMS, 0)
