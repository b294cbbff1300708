"""The backtest on CDNOW, 39 and 39 weeks: what it must show, and its truth and baseline against lifetimes."""

import warnings
from importlib.resources import as_file, files

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, mean_absolute_error, roc_auc_score

from ops.backtest.baselines import LIFETIMES
from ops.backtest.history import read_history
from ops.backtest.periods import Wanted, split
from ops.backtest.run import run_backtest
from ops.loaders.source import LoadOptions
from scoring.backtest import judge, predict
from scoring.bootstrap import bootstrap_scorecard
from streams.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # lifetimes 0.11.3 sets an option that pandas 3 has retired
    from lifetimes import BetaGeoFitter
    from lifetimes.utils import calibration_and_holdout_data

HORIZON = 273.0


def backtest_of(format_name):
    settings = Settings()
    history = read_history(format_name, [], LoadOptions(), settings)
    return run_backtest(history, split(history.days, Wanted()), settings)


@pytest.fixture(scope="module")
def cdnow():
    return backtest_of("cdnow")


@pytest.fixture(scope="module")
def theirs() -> pd.DataFrame:
    """Calibration and holdout by lifetimes, from the file itself."""
    with as_file(files("lifetimes") / "datasets" / "CDNOW_master.txt") as path:
        log = pd.read_csv(
            path,
            sep=r"\s+",
            header=0,
            names=["id", "date", "cds", "dollars"],
            dtype={"id": str, "date": str},
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes 0.11.3 uses what pandas 3 deprecates
        return calibration_and_holdout_data(
            log,
            "id",
            "date",
            calibration_period_end="19970930",
            observation_period_end="19980630",
            datetime_format="%Y%m%d",
            monetary_value_col="dollars",
        )


def figures(test, name):
    found = [figure for figure in test.figures if figure.name.startswith(name)]
    assert len(found) == 1
    return found[0]


def test_default_is_39_weeks_and_39_weeks(cdnow):
    assert (cdnow.periods.calibration_days, cdnow.periods.holdout_days) == (273, 273)
    assert len(cdnow.judged) == 23_570


def test_calibration_and_holdout_equal_those_of_lifetimes(cdnow, theirs):
    def sorted_rows(*columns):
        return np.array(sorted(np.column_stack(columns).tolist()))

    judged = cdnow.judged
    ours = sorted_rows(
        judged.frequency,
        judged.t_x_days,
        judged.age_days,
        judged.bought_days,
        judged.monetary_value,
    )
    wanted = sorted_rows(
        theirs["frequency_cal"],
        theirs["recency_cal"],
        theirs["T_cal"],
        theirs["frequency_holdout"],
        theirs["monetary_value_cal"],
    )
    np.testing.assert_allclose(ours, wanted, atol=1e-9)
    assert (theirs["duration_holdout"] == HORIZON).all()


def meets_its_targets(ours, calibration_error_max=0.06):
    assert ours.prob_purchase_auc >= 0.75
    assert ours.prob_purchase_brier <= 0.17
    assert ours.expected_auc >= 0.76
    assert abs(ours.expected_error) <= 0.20
    assert ours.calibration_error <= calibration_error_max


def test_scorecard_learnt_from_the_sample_of_the_papers_meets_all_five_targets():
    sample = backtest_of("cdnow-sample")
    assert (sample.periods.calibration_days, sample.periods.holdout_days) == (273, 273)
    assert sample.walked.scorecard.version == "fitted-1"
    meets_its_targets(figures(sample, "Everscore"))


def test_scorecard_learnt_from_all_customers_meets_four_of_them(cdnow):
    assert cdnow.walked.scorecard.version == "fitted-1"
    # The fifth is 0.0620 there, all of it bias; ops/decisions/0017 says why it stays.
    meets_its_targets(figures(cdnow, "Everscore"), calibration_error_max=0.065)


def test_published_parameters_meet_all_five_targets(cdnow):
    meets_its_targets(judge(predict("", cdnow.judged, bootstrap_scorecard().alive), cdnow.judged))


def test_baseline_equals_what_lifetimes_gives_itself(cdnow, theirs):
    history = theirs["frequency_cal"], theirs["recency_cal"], theirs["T_cal"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimiser probes points of overflow
        fitter = BetaGeoFitter(penalizer_coef=0.0).fit(*history)
        alive = fitter.conditional_probability_alive(*history)
        expected = fitter.conditional_expected_number_of_purchases_up_to_time(HORIZON, *history)
    actual = theirs["frequency_holdout"]
    found = figures(cdnow, LIFETIMES)
    assert found.uncomputable == 0
    wanted = {
        "prob_alive_auc": roc_auc_score(actual > 0, alive),
        "prob_alive_brier": brier_score_loss(actual > 0, alive),
        "expected_auc": roc_auc_score(actual > 0, expected),
        "expected_total": expected.sum(),
        "expected_error": expected.sum() / actual.sum() - 1,
        "expected_mae": mean_absolute_error(actual, expected),
    }
    for name, value in wanted.items():
        # The rows come in another order, so the optimiser stops a little elsewhere.
        assert getattr(found, name) == pytest.approx(value, rel=1e-4), name


def test_mbgnbd_tells_the_living_where_bgnbd_is_worse_than_a_coin(cdnow):
    assert figures(cdnow, "Everscore").prob_alive_auc > 0.69
    assert figures(cdnow, LIFETIMES).prob_alive_auc < 0.5


def test_warnings_come_before_any_batch_and_more_of_them_stay_away_than_of_the_rest(cdnow):
    by_name = {warned.name: warned for warned in cdnow.warned}
    assert list(by_name) == ["At-Risk or Hibernating", "fading", "lost"]
    for warned in cdnow.warned:
        assert warned.outcome.flags > 2_000
        assert 0 < warned.nightly.mean_days < 1 < warned.weekly.mean_days < 7
        assert warned.nightly.missed <= warned.weekly.missed
        assert warned.outcome.followed <= warned.outcome.flags
    shares = [by_name[name].outcome.followed_stayed_away for name in ("fading", "lost")]
    still_well = [segment for segment in cdnow.segments if segment.name in {"Champions", "Loyal"}]
    stayed_away = 1 - sum(s.bought * s.customers for s in still_well) / sum(
        s.customers for s in still_well
    )
    assert stayed_away < shares[0] < shares[1]


def test_segments_buy_in_the_order_of_their_names(cdnow):
    names = [segment.name for segment in cdnow.segments]
    assert names == ["Champions", "Loyal", "At-Risk", "Hibernating"]
    assert sum(segment.customers for segment in cdnow.segments) == 23_570
