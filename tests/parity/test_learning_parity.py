"""What the stream learns over CDNOW's eighteen months against scikit-learn's batch k-means."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from schemas.scorecard import Origin
from scoring.alive import prob_alive
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.kmeans import inertia, nearest
from scoring.learning import LearningSample, learn
from scoring.segments import log_features
from streams.homes import sample_rank
from streams.learner import learning_options
from streams.settings import Settings
from tests.support.purchases import cdnow

LAST_DAY = 10_407  # 1998-06-30
WEEK = 7


@lru_cache
def frame():
    rows = [(p.customer_id, p.day, p.cents) for p in cdnow()]
    data = pd.DataFrame(rows, columns=["customer", "day", "cents"])
    return data.groupby(["customer", "day"], as_index=False).cents.sum()


@lru_cache
def known_on(day):
    """Ranks and columns of every customer known on a day, by plain pandas."""
    days = frame()[frame().day <= day]
    groups = days.groupby("customer")
    first, last, total = groups.day.min(), groups.day.max(), groups.cents.sum()
    repeats = groups.size() - 1
    first_sum = days.drop_duplicates("customer").set_index("customer").cents
    value = np.where(repeats > 0, (total - first_sum) / repeats.clip(lower=1) / 100, 0.0)
    ranks = np.array([sample_rank(customer) for customer in first.index])
    return ranks, LearningSample(
        repeats.to_numpy(np.int64), first.to_numpy(np.int64), last.to_numpy(np.int64), value
    )


def learn_over_the_stream(settings):
    """The scorecards the learner would publish, trying once a learning interval."""
    cards = [bootstrap_scorecard()]
    options, calendar, next_try = learning_options(settings), BusinessCalendar(), 0.0
    for day in [*range(9_862 + WEEK, LAST_DAY, WEEK), LAST_DAY]:
        if day < next_try:
            continue
        ranks, known = known_on(day)
        picked = np.argsort(ranks)[: settings.sample_customers_max]
        sample = LearningSample(
            known.frequency[picked],
            known.first_day[picked],
            known.last_day[picked],
            known.monetary_value[picked],
        )
        now_us = day * 86_400_000_000
        lesson = learn(
            sample, now_us, cards[-1], options, calendar, settings.seed + cards[-1].number
        )
        if not lesson.premature:
            next_try = day + settings.learn_interval_days
        if lesson.scorecard is not None:
            cards.append(lesson.scorecard)
    return cards


def features_of_everyone(card):
    _, known = known_on(LAST_DAY)
    t_x_days = (known.last_day - known.first_day).astype(float)
    alive = prob_alive(
        known.frequency, t_x_days, (LAST_DAY - known.first_day).astype(float), card.alive
    )
    raw = log_features(alive, known.frequency, known.monetary_value)
    return (raw - np.array(card.scaler.mean)) / np.array(card.scaler.scale)


def test_inertia_at_the_end_of_the_stream_is_close_to_batch_k_means():
    ratios = []
    for seed in range(5):
        cards = learn_over_the_stream(Settings(seed=seed))
        centroids = np.array(cards[-1].centroids)
        z = features_of_everyone(cards[-1])
        batch = KMeans(len(centroids), n_init=10, random_state=seed).fit(z)
        ratios.append(inertia(z, centroids) / batch.inertia_)
        assert np.bincount(nearest(z, centroids), minlength=len(centroids)).min() > 0
    assert np.median(ratios) <= 1.05, ratios


def test_names_stay_with_their_centroids_over_all_scorecards():
    cards = [card for card in learn_over_the_stream(Settings()) if card.origin is Origin.FITTED]
    assert len(cards) > 2
    for older, newer in pairwise(cards):
        assert newer.segments == older.segments
        old, new = (
            np.array(card.centroids) * card.scaler.scale + card.scaler.mean
            for card in (older, newer)
        )
        # Each centroid is nearer to its namesake than to any other of the scorecard before.
        assert nearest(new, old).tolist() == list(range(len(old)))
