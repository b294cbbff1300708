"""The figures behind the report's plots, each against a plainer way to get it."""

import warnings

import numpy as np
import pytest

from schemas.scorecard import AliveParams, Family
from scoring.alive import expected_purchases, prob_alive
from scoring.portrait import (
    MATRIX_FREQUENCY_MAX,
    RETENTION_DAYS,
    concentration,
    history_matrix,
    migrations,
    retention,
    score_grid,
    segment_shares,
    tracking,
)
from scoring.rfm import rfm_min_max

PARAMS = AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614)


@pytest.mark.parametrize("family", Family)
def test_tracking_expects_what_lifetimes_expects_of_as_many_new_customers(family):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes 0.11.3 sets an option that pandas 3 has retired
        from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter
    import pandas as pd

    params = PARAMS.model_copy(update={"family": family})
    fitter = ModifiedBetaGeoFitter() if family is Family.MBGNBD else BetaGeoFitter()
    fitter.params_ = pd.Series(
        {"r": params.r, "alpha": params.alpha_days, "a": params.a, "b": params.b}
    )
    first_day = np.array([100, 100, 103, 120])
    found = tracking(first_day, np.array([101]), 100, 4, params)
    for week, value in zip(found.weeks, found.expected, strict=True):
        end = 100 + 7 * week
        ages = [end - day for day in first_day if day < end]
        wanted = sum(
            float(np.atleast_1d(fitter.expected_number_of_purchases_up_to_time(age))[0])
            for age in ages
        )
        assert value == pytest.approx(wanted, rel=1e-9)


def test_tracking_counts_a_repeat_from_the_week_in_which_it_fell():
    # Day 106 is the last of week 1, day 107 the first of week 2.
    found = tracking(np.array([100]), np.array([106, 107, 107, 999]), 100, 3, PARAMS)
    assert found.weeks.tolist() == [1, 2, 3]
    assert found.actual.tolist() == [1, 3, 3]


def test_retention_counts_a_customer_once_a_window_and_leaves_strangers_out():
    segment = np.array([0, 0, 1, -1])
    purchases = [(0, 1), (0, RETENTION_DAYS), (0, RETENTION_DAYS + 1), (2, 5), (3, 5), (1, -3)]
    purchases.append((1, 2 * RETENTION_DAYS + 1))  # in a third window, not whole
    rows, days = (np.array(column) for column in zip(*purchases, strict=True))
    found = retention(segment, 3, rows, days, windows=2)
    assert found[:2].tolist() == [[0.5, 0.5], [1.0, 0.0]]
    assert np.isnan(found[2]).all()


def test_migrations_count_every_customer_who_is_somewhere_in_the_end():
    before, after = np.array([0, 1, -1, 1, 0]), np.array([0, 0, 1, -1, 1])
    assert migrations(before, after, 2).tolist() == [[1, 1], [1, 0], [0, 1]]


def test_shares_add_up_and_begin_with_the_most_valuable_segment():
    segment = np.array([0, 1, 1, 2, 2, 2])
    shares = segment_shares(
        segment, ["a", "b", "c", "nobody"], np.array([1.0, 9.0, 9.0, 3.0, 3.0, 3.0])
    )
    assert [share.name for share in shares] == ["b", "c", "a"]
    assert sum(share.customer_share for share in shares) == pytest.approx(1)
    assert sum(share.revenue_share for share in shares) == pytest.approx(1)


def test_concentration_of_equal_customers_is_the_diagonal_and_refunds_weigh_nothing():
    customers, revenue = concentration(np.full(50, 7.0))
    np.testing.assert_allclose(customers, revenue)
    _, held = concentration(np.array([10.0, -90.0]))
    assert held[50] == held[100] == 1.0


def test_min_max_puts_least_and_largest_at_the_ends_and_counts_whole_weeks():
    scores = rfm_min_max(
        np.array([6.0, 7.0, 70.0]), np.array([1, 3, 11]), np.array([5.0, 20.0, 35.0])
    )
    assert scores[0].tolist() == [5.0, 0.0, 0.0]
    assert scores[2].tolist() == [0.0, 5.0, 5.0]
    assert scores[1] == pytest.approx([4.5, 1.0, 2.5])


def test_grid_counts_every_customer_once_in_their_rounded_cell():
    scores = np.array([[4.6, 0.4, 1.0], [5.0, 0.0, 3.0], [0.0, 5.0, 2.0]])
    grid = score_grid(scores, 0, 5)
    assert grid.customers.sum() == 3
    assert grid.customers[5, 0] == 2
    assert grid.monetary[5, 0] == 2.0
    assert np.isnan(grid.monetary[2, 2])


def test_matrix_holds_the_models_value_of_each_history_and_none_that_cannot_be():
    matrix = history_matrix(PARAMS, 100.0, 30.0)
    row, x = 40, MATRIX_FREQUENCY_MAX
    history = np.array([x]), matrix.t_x_days[[row]], np.array([100.0])
    assert matrix.prob_alive[row, x] == prob_alive(*history, PARAMS)[0]
    assert matrix.expected[row, x] == pytest.approx(
        expected_purchases(30.0, *history, PARAMS)[0], rel=1e-12
    )
    assert np.isnan(matrix.prob_alive[1:, 0]).all()
    assert np.isfinite(matrix.prob_alive[0, 0])
