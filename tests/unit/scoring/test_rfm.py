import numpy as np
import pytest

from schemas.scorecard import RfmCuts
from scoring.rfm import rfm_cuts, rfm_scores

CUTS = RfmCuts(
    silence_days=(10, 20, 40, 80), frequency=(0, 1, 3, 6), monetary_value=(5, 10, 20, 40)
)


def test_population_without_ties_falls_into_five_equal_parts():
    rng = np.random.default_rng(1)
    silence, money = rng.permutation(1000) / 2, rng.permutation(1000) / 100
    frequency = rng.permutation(1000)
    cuts = rfm_cuts(silence, frequency, money)
    scores = rfm_scores(silence, frequency, money, cuts)
    assert scores.dtype == np.int8
    for column in scores.T:
        assert np.bincount(column, minlength=6).tolist() == [0, 200, 200, 200, 200, 200]


def test_less_silence_and_more_of_the_rest_is_never_worse():
    values = np.linspace(0, 100, 401)
    scores = rfm_scores(values, values.astype(np.int64), values, CUTS)
    assert (np.diff(scores[:, 0]) <= 0).all()
    assert (np.diff(scores[:, 1:], axis=0) >= 0).all()
    assert scores[0].tolist() == [5, 1, 1]
    assert scores[-1].tolist() == [1, 5, 5]


@pytest.mark.parametrize(
    ("value", "score"), [(0, 1), (1, 2), (2, 3), (3, 3), (4, 4), (6, 4), (7, 5)]
)
def test_frequency_on_a_cut_has_the_worse_score(value, score):
    assert rfm_scores(np.array([15.0]), np.array([value]), np.array([7.0]), CUTS)[0, 1] == score


@pytest.mark.parametrize(("value", "score"), [(9.99, 5), (10, 4), (79.9, 2), (80, 1), (1e9, 1)])
def test_silence_on_a_cut_has_the_worse_score(value, score):
    assert rfm_scores(np.array([value]), np.array([0]), np.array([7.0]), CUTS)[0, 0] == score


def test_constant_columns_score_every_customer_alike():
    same = np.full(7, 3.0), np.zeros(7, dtype=np.int64), np.zeros(7)
    scores = rfm_scores(*same, rfm_cuts(*same))
    assert scores.tolist() == [[1, 1, 1]] * 7


def test_ties_share_one_score_and_skip_those_between():
    frequency = np.array([0] * 7 + [1, 2, 9])
    other = np.arange(10.0)
    scores = rfm_scores(other, frequency, other, rfm_cuts(other, frequency, other))
    assert set(scores[:7, 1].tolist()) == {1}
    assert scores[9, 1] == 5


def test_single_customer_gives_cuts():
    one = np.array([4.0]), np.array([2]), np.array([9.5])
    assert rfm_cuts(*one).monetary_value == (9.5, 9.5, 9.5, 9.5)
