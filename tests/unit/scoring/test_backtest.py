"""Predictions judged on a handful of customers, by hand."""

import numpy as np
import pytest

from schemas.scorecard import AliveParams
from scoring.alive import prob_purchase
from scoring.backtest import (
    HELD_OUT_MAX,
    Judged,
    Prediction,
    as_before,
    by_frequency,
    by_segment,
    judge,
    predict,
    recency_only,
    rfm_sum,
)


@pytest.fixture
def judged():
    return Judged(
        frequency=np.array([0, 0, 3, 9, 12]),
        t_x_days=np.array([0.0, 0.0, 60.0, 90.0, 20.0]),
        age_days=np.array([10.0, 90.0, 80.0, 100.0, 100.0]),
        monetary_value=np.array([0.0, 0.0, 20.0, 50.0, 10.0]),
        bought_days=np.array([1, 0, 2, 5, 0]),
        horizon_days=50.0,
    )


def test_our_prediction_is_that_of_the_closed_forms(judged):
    params = AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614)
    ours = predict("ours", judged, params)
    history = judged.frequency, judged.t_x_days, judged.age_days
    np.testing.assert_array_equal(ours.prob_purchase, prob_purchase(50.0, *history, params))
    assert (ours.prob_purchase <= ours.prob_alive).all()


def test_recency_only_ranks_by_silence(judged):
    # Silences 10, 90, 20, 10, 80; bought: first, third, fourth.
    assert judge(recency_only(judged), judged).order_auc == 1.0
    assert recency_only(judged).order.tolist() == [-10, -90, -20, -10, -80]


def test_rfm_sum_prefers_who_is_better_in_every_respect(judged):
    order = rfm_sum(judged).order
    assert order[3] == order.max()
    assert order[1] == order.min()


def test_as_before_goes_on_at_each_customers_own_rate(judged):
    assert as_before(judged).expected_purchases.tolist() == [0.0, 0.0, 1.875, 4.5, 6.0]
    figures = judge(as_before(judged), judged)
    assert figures.expected_total == 12.375
    assert figures.expected_error == pytest.approx(12.375 / 8 - 1)
    assert figures.expected_mae == pytest.approx((1 + 0 + 0.125 + 0.5 + 6) / 5)
    assert (figures.order_auc, figures.prob_alive_auc, figures.calibration) == (None, None, ())


def test_customer_on_the_first_day_has_no_rate_and_breaks_nothing():
    new = Judged(
        frequency=np.array([0, 1]),
        t_x_days=np.array([0.0, 3.0]),
        age_days=np.array([0.0, 3.0]),
        monetary_value=np.zeros(2),
        bought_days=np.array([0, 1]),
        horizon_days=9.0,
    )
    assert as_before(new).expected_purchases.tolist() == [0.0, 3.0]


def test_expectation_that_is_no_number_is_counted_and_left_out(judged):
    expected = np.array([1.0, np.nan, 2.0, np.inf, 0.0])
    figures = judge(Prediction("theirs", expected_purchases=expected), judged)
    assert figures.uncomputable == 2
    assert figures.expected_total == 3.0
    # Against the purchases of the same three customers: 1, 2 and 0.
    assert figures.expected_error == 0.0
    assert figures.expected_mae == 0.0


def test_groups_by_frequency_are_open_above(judged):
    groups = by_frequency(judged, np.array([0.5, 0.1, 2.0, 4.0, 2.0]))
    assert [(group.frequency, group.customers) for group in groups] == [
        (0, 2),
        (3, 1),
        (HELD_OUT_MAX, 2),
    ]
    assert groups[0].actual == 0.5
    assert groups[0].expected == pytest.approx(0.3)
    assert (groups[-1].actual, groups[-1].expected) == (2.5, 3.0)


def test_segments_are_listed_by_who_bought_and_empty_ones_left_out(judged):
    segment = np.array([0, 0, 2, 2, 0])
    found = by_segment(segment, ["low", "nobody", "high"], judged, np.full(5, 0.4))
    assert [(one.name, one.customers, one.bought) for one in found] == [
        ("high", 2, 1.0),
        ("low", 3, pytest.approx(1 / 3)),
    ]
    assert found[0].purchase_days == 3.5
    assert found[0].expected_to_buy == pytest.approx(0.4)
