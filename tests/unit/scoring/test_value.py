from __future__ import annotations

import numpy as np
import pytest

from schemas.scorecard import Scorecard, SpendParams
from scoring.alive import expected_purchases, prob_alive, prob_purchase
from scoring.bootstrap import bootstrap_scorecard
from scoring.prospects import sums_if_alive
from scoring.value import Value, expected_spend, value_of

SPEND = SpendParams(p=6.25, q=3.74, v=15.44)


def card(**changes: object) -> Scorecard:
    return bootstrap_scorecard().model_copy(update={"spend": SPEND} | changes)


def valued(x: list[int], t_x: list[float], age: float, money: list[float], one: Scorecard) -> Value:
    rows = np.array(x), np.array(t_x), np.full(len(x), age)
    sums = sums_if_alive(rows[0], rows[2] + one.alive.alpha_days, one.alive, one.discount_rate)
    return value_of(*rows, np.array(money), prob_alive(*rows, one.alive), sums, one)


def test_expected_spend_goes_from_the_common_mean_to_the_own():
    x = np.array([0, 1, 10, 10**6])
    expected = expected_spend(x, np.array([0.0, 80.0, 80.0, 80.0]), SPEND)
    assert expected[0] == pytest.approx(SPEND.p * SPEND.v / (SPEND.q - 1))
    assert (np.diff(expected) > 0).all()
    assert expected[-1] == pytest.approx(80.0, rel=1e-5)


def test_expected_spend_without_a_mean_is_the_customers_own():
    heavy = SpendParams(p=0.2, q=0.5, v=3.0)
    expected = expected_spend(np.array([0, 2, 50]), np.array([0.0, 7.0, 7.0]), heavy)
    assert expected.tolist()[:2] == [0.0, 7.0]
    assert expected[2] == pytest.approx(0.2 * (3 + 350) / 9.5)


def test_expected_spend_of_more_refunds_than_purchases_is_that_of_nothing():
    x, zero = np.array([3]), np.array([0.0])
    assert expected_spend(x, np.array([-20.0]), SPEND) == expected_spend(x, zero, SPEND)
    assert (expected_spend(x, zero, SPEND) > 0).all()


def test_purchases_to_expect_are_those_of_the_dropout_model():
    one = card()
    rows = np.array([0, 2, 5000]), np.array([0.0, 213.0, 271.0]), np.full(3, 272.0)
    value = valued([0, 2, 5000], [0.0, 213.0, 271.0], 272.0, [0.0, 20.0, 20.0], one)
    for horizon, found in (
        (30.0, value.expected_purchases_30d),
        (90.0, value.expected_purchases_90d),
    ):
        assert found.tolist() == expected_purchases(horizon, *rows, one.alive).tolist()
    assert value.prob_purchase_30d.tolist() == prob_purchase(30.0, *rows, one.alive).tolist()


def test_nothing_is_discounted_at_a_rate_of_zero():
    one = card(discount_rate=0.0)
    rows = np.array([2]), np.array([213.0]), np.array([272.0])
    value = valued([2], [213.0], 272.0, [22.35], one)
    spend = expected_spend(rows[0], np.array([22.35]), SPEND)
    for horizon, clv in ((90.0, value.clv_90d), (365.0, value.clv_365d)):
        undiscounted = expected_purchases(horizon, *rows, one.alive) * spend
        assert clv == pytest.approx(undiscounted, rel=1e-12)


def test_a_higher_rate_makes_the_later_worth_less():
    low = valued([2], [213.0], 272.0, [22.35], card(discount_rate=0.05))
    high = valued([2], [213.0], 272.0, [22.35], card(discount_rate=0.5))
    assert high.clv_365d < low.clv_365d
    assert high.clv_90d / high.clv_365d > low.clv_90d / low.clv_365d


def test_value_is_finite_and_in_order_at_the_edges():
    x, t_x = [0, 1, 3, 5000], [0.0, 10.0, 300.0, 399.0]
    value = valued(x, t_x, 400.0, [0.0, 0.0, -12.0, 1e9], card())
    for column in value:
        assert np.isfinite(column).all()
        assert (column >= 0).all()
    assert (value.prob_purchase_30d <= 1).all()
    assert (value.expected_purchases_30d <= value.expected_purchases_90d).all()
    assert (value.clv_90d <= value.clv_365d).all()


def test_without_a_spend_model_there_is_no_value_but_all_the_rest():
    value = valued([2], [213.0], 272.0, [22.35], card(spend=None))
    assert np.isnan([value.expected_spend, value.clv_90d, value.clv_365d]).all()
    assert value.expected_purchases_90d[0] > value.expected_purchases_30d[0] > 0


def test_rows_do_not_depend_on_their_neighbours():
    x, t_x, money = [0, 1, 3, 7], [0.0, 10.0, 300.0, 350.0], [0.0, 5.0, 80.0, 20.0]
    together = valued(x, t_x, 400.0, money, card())
    for row in range(len(x)):
        alone = valued([x[row]], [t_x[row]], 400.0, [money[row]], card())
        assert [column[0] for column in alone] == [column[row] for column in together]


def test_nobody_is_no_error():
    assert [len(column) for column in valued([], [], 1.0, [], card())] == [0] * 6
