"""Rank and probability scores against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from schemas.errors import ShapeError
from scoring.metrics import auc, brier, calibration, calibration_error, mean_absolute_error


@pytest.mark.parametrize("levels", [3, 1_000_000])
def test_auc_and_brier_equal_scikit_learn_with_and_without_ties(levels):
    rng = np.random.default_rng(7)
    probability = rng.integers(0, levels, 5_000) / levels
    happened = rng.random(5_000) < probability
    assert auc(probability, happened) == pytest.approx(
        roc_auc_score(happened, probability), abs=1e-12
    )
    assert brier(probability, happened) == pytest.approx(
        brier_score_loss(happened, probability), abs=1e-12
    )


def test_auc_needs_no_probability_and_turns_round_with_the_score():
    score, happened = np.array([-5.0, 30.0, 2.0, 2.0]), np.array([True, False, True, False])
    assert auc(score, happened) == pytest.approx(1 - auc(-score, happened))


@pytest.mark.parametrize("outcome", [True, False])
def test_auc_of_one_outcome_only_is_none(outcome):
    assert auc(np.array([0.1, 0.9]), np.array([outcome, outcome])) is None


def test_probabilities_at_the_edges_fall_into_the_bin_they_open_or_the_last():
    probability = np.array([0.0, 0.1, 0.3, 0.999, 1.0])
    bins = calibration(probability, np.ones(5, dtype=bool))
    assert [(part.low, part.count) for part in bins] == [
        (0.0, 1),
        (0.1, 1),
        (0.3, 1),
        (0.9, 2),
    ]


def test_calibration_error_weighs_bins_by_their_customers():
    probability = np.array([0.25, 0.25, 0.25, 0.85])
    happened = np.array([True, False, False, True])
    # |1/3 − 0.25| for three, |1 − 0.85| for one.
    assert calibration_error(calibration(probability, happened)) == pytest.approx(
        (3 * (1 / 3 - 0.25) + 0.15) / 4
    )


def test_rows_that_do_not_match_are_refused():
    with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\)"):
        brier(np.zeros(2), np.zeros(3, dtype=bool))
    with pytest.raises(ShapeError, match="at least one"):
        mean_absolute_error(np.zeros(0), np.zeros(0))
