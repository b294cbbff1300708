"""What the stream learns over CDNOW's eighteen months against scikit-learn's batch k-means."""

import asyncio
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from schemas.scorecard import Origin
from scoring.alive import prob_alive
from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.kmeans import inertia, nearest
from scoring.learning import LearningSample, learn
from scoring.segments import Segmenter, log_features
from scoring.states import NONE
from streams.homes import home_partition, sample_rank
from streams.learner import learning_options
from streams.sample_keeper import SampleKeeper
from streams.samples import decode_sample
from streams.settings import Settings
from tests.support.learner_walk import FIRST_DAY, LAST_DAY, WEEK, reports, walk_over_cdnow
from tests.support.purchases import cdnow


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


@lru_cache
def walked(count, seed):
    settings = Settings(_env_file=None, seed=seed, segment_count=count)
    return asyncio.run(walk_over_cdnow(settings))


def features_of_everyone(card, day):
    _, known = known_on(day)
    t_x_days = (known.last_day - known.first_day).astype(float)
    alive = prob_alive(known.frequency, t_x_days, (day - known.first_day).astype(float), card.alive)
    raw = log_features(alive, known.frequency, known.monetary_value)
    return (raw - np.array(card.scaler.mean)) / np.array(card.scaler.scale)


@pytest.mark.parametrize("count", [4, 5])
def test_inertia_over_the_stream_is_close_to_batch_k_means(count):
    """Every fourth week, of the scorecard in use on everyone known, over scikit-learn's on the same."""
    means = []
    for seed in range(5):
        cards, ratios = walked(count, seed).cards, []
        for day in [*range(cards[1][0] + 4 * WEEK, LAST_DAY, 4 * WEEK), LAST_DAY]:
            card = [card for since, card in cards if since <= day][-1]
            centroids, z = np.array(card.centroids), features_of_everyone(card, day)
            batch = KMeans(count, n_init=10, random_state=seed).fit(z)
            ratios.append(inertia(z, centroids) / batch.inertia_)
            assert np.bincount(nearest(z, centroids), minlength=count).min() > 0
        means.append(np.mean(ratios))
    assert np.median(means) <= 1.03, means


def test_scorecards_flip_few_labels_of_customers_who_did_nothing():
    """All that is put on another label by scorecards, a day; the same customers by both."""
    for seed in range(5):
        cards = walked(4, seed).cards[1:]
        flipped = 0.0
        for (_, older), (day, newer) in pairwise(cards):
            known = known_on(day)[1]
            names, segment = [], np.full(len(known), NONE)
            for card in (older, newer):
                z = features_of_everyone(card, day)
                segment = Segmenter(card).assign(z, segment)  # hysteresis: as a worker does
                names.append(np.array(card.segments)[segment])
            flipped += (names[0] != names[1]).mean()
        assert len(cards) > 5
        assert flipped / (LAST_DAY - cards[0][0]) <= 0.0005, seed


def test_names_stay_with_their_centroids_over_all_scorecards():
    cards = [card for _, card in walked(4, 0).cards if card.origin is Origin.FITTED]
    assert len(cards) > 2
    for older, newer in pairwise(cards):
        assert newer.segments == older.segments
        old, new = (
            np.array(card.centroids) * card.scaler.scale + card.scaler.mean
            for card in (older, newer)
        )
        # Each centroid is nearer to its namesake than to any other of the scorecard before.
        assert nearest(new, old).tolist() == list(range(len(old)))


def test_drift_alone_leads_to_refits_where_nobody_tries_regularly():
    """Everybody is new until the summer of 1997: centroids learnt in May fit no longer in June."""
    never = Settings(_env_file=None, seed=1, learn_interval_days=10_000)
    walk = asyncio.run(walk_over_cdnow(never))
    assert walk.drifts[0] == "inertia"
    (first, _), (second, _), *_ = walk.cards[1:]
    assert 2 * WEEK <= second - first <= 6 * WEEK
    assert len(walk.drifts) <= 8
    # Where tries are regular, they come first.
    assert walked(4, 0).drifts == []


@pytest.mark.parametrize("workers", [2, 8])
def test_statistics_of_several_workers_merge_to_the_same_scorecard(workers):
    """Each partition reports its own customers in its own order; the sample is the same, to the bit."""
    day = FIRST_DAY + 300
    settings = Settings(_env_file=None)
    lessons = []
    for partitions in (1, workers):
        queues = [[] for _ in range(partitions)]
        for at, raw in reports():
            if at <= day:
                home = home_partition(decode_sample(raw).customer_id, partitions)
                queues[home].append(raw)
        keeper = SampleKeeper(settings.sample_customers_max)
        keeper.partitions = partitions
        rng = np.random.default_rng(partitions)
        while any(queues):  # a worker tells some at a time, now this one, now that one
            queue = queues[rng.integers(partitions)]
            for raw in queue[:500]:
                keeper.report(None, raw)
            del queue[:500]
        lessons.append(
            learn(
                keeper.columns(),
                keeper.clock_us,
                bootstrap_scorecard(),
                learning_options(settings),
                BusinessCalendar(),
                seed=1,
            )
        )
    one, other = (lesson.candidate.model_dump(mode="json") for lesson in lessons)
    assert one["training"]["customers"] == settings.sample_customers_max
    for name in ("alive", "spend", "scaler", "rfm"):
        for field, value in one[name].items():
            if field != "family":
                assert other[name][field] == pytest.approx(value, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(other["centroids"], one["centroids"], rtol=1e-9, atol=1e-9)
    assert other["segments"] == one["segments"]
