"""Twelve monthly refits of CDNOW: names stay, few customers change sides, k is the same for every seed."""

from itertools import pairwise

import numpy as np
import pytest

from schemas.scorecard import Family, LifecycleThresholds
from scoring.alive import prob_alive_unchecked
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.clusters import scaler_of, standardise
from scoring.fit import fit_alive
from scoring.refit import RefitOptions, refit
from scoring.segment_count import judge_counts, stable_count
from scoring.segments import Segmenter, log_features
from tests.parity.test_learning_parity import LAST_DAY, known_on

MONTH = 30
US_PER_DAY = 86_400_000_000


def columns(day):
    _, known = known_on(day)
    t_x = (known.last_day - known.first_day).astype(float)
    return known, t_x, (day - known.first_day).astype(float)


def monthly_refits(count):
    cards, calendar = [bootstrap_scorecard()], BusinessCalendar()
    options = RefitOptions(Family.MBGNBD, count, 0.05, LifecycleThresholds(), "CDNOW")
    for months in range(12, -1, -1):
        day = LAST_DAY - months * MONTH
        now_us = day * US_PER_DAY
        cards.append(
            refit(known_on(day)[1], now_us, cards[-1], options, calendar, months).scorecard
        )
    return cards[1:]


@pytest.mark.parametrize("count", [4, 5])
def test_refits_keep_names_and_move_at_most_three_percent_of_the_same_customers(count, monkeypatch):
    monkeypatch.setattr("scoring.segment_count.DRAWS", 1)  # how stable k is, is not asked here
    cards = monthly_refits(count)
    assert len({card.segments for card in cards}) == 1
    for months, (older, newer) in enumerate(pairwise(cards)):
        known, t_x, age = columns(LAST_DAY - (11 - months) * MONTH)
        nobody = np.full(len(known), -1)
        labels = []
        for card in (older, newer):
            alive = prob_alive_unchecked(known.frequency, t_x, age, card.alive)
            segmenter = Segmenter(card)
            z = segmenter.features(alive, known.frequency, known.monetary_value)
            labels.append(segmenter.assign(z, nobody))
        # Without hysteresis, which would only make it less.
        assert (labels[0] != labels[1]).mean() <= 0.03


@pytest.mark.parametrize("seed", range(4))
def test_as_many_segments_are_stable_whatever_the_seed(seed):
    known, t_x, age = columns(LAST_DAY)
    params = fit_alive(known.frequency, t_x, age, Family.MBGNBD).params
    alive = prob_alive_unchecked(known.frequency, t_x, age, params)
    features = log_features(alive, known.frequency, known.monetary_value)
    z = standardise(features, scaler_of(features))
    assert stable_count(judge_counts(z, seed, (2, 3, 4, 5)), otherwise=0) == 4
