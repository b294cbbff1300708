"""k-means against scikit-learn on the features of all CDNOW customers."""

from importlib.resources import as_file, files

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from schemas.scorecard import AliveParams
from scoring.alive import prob_alive
from scoring.kmeans import inertia, learn_online, lloyd, nearest, seed_kmeans_plus_plus

# Batislam, Denizel and Filiztekin (2007), weeks × 7.
PARAMS = AliveParams(r=0.525, alpha_days=43.281, a=0.891, b=1.614)
K = 4


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Standardised P(alive), log frequency and log monetary value at 30 June 1998."""
    with as_file(files("lifetimes") / "datasets" / "CDNOW_master.txt") as path:
        log = pd.read_csv(path, sep=r"\s+", header=0, names=["id", "date", "cds", "dollars"])
    log["date"] = pd.to_datetime(log["date"].astype(str), format="%Y%m%d")
    days = log.groupby(["id", "date"], as_index=False)["dollars"].sum()
    customers = days.groupby("id")["date"].agg(["min", "max", "count"])
    repeats = days[days["date"] != days["id"].map(customers["min"])]
    money = repeats.groupby("id")["dollars"].mean().reindex(customers.index, fill_value=0.0)
    frequency = customers["count"].to_numpy() - 1
    t_x = (customers["max"] - customers["min"]).dt.days.to_numpy().astype(np.float64)
    age = (log["date"].max() - customers["min"]).dt.days.to_numpy().astype(np.float64)
    alive = prob_alive(frequency, t_x, age, PARAMS)
    features = np.column_stack((alive, np.log1p(frequency), np.log1p(money.to_numpy())))
    assert len(features) == 23_570
    return (features - features.mean(axis=0)) / features.std(axis=0)


@pytest.fixture(scope="module")
def best(points) -> float:
    """Inertia of batch k-means, the best of ten starts."""
    return float(KMeans(K, n_init=10, random_state=0).fit(points).inertia_)


@pytest.mark.parametrize("seed", range(3))
def test_lloyd_from_the_same_seeds_equals_scikit_learn(points, seed):
    start = seed_kmeans_plus_plus(points, K, np.random.default_rng(seed))
    theirs = KMeans(K, init=start, n_init=1, max_iter=500, tol=0.0, algorithm="lloyd").fit(points)
    ours = lloyd(points, start, 500)
    assert inertia(points, ours) == pytest.approx(theirs.inertia_, rel=1e-9)
    np.testing.assert_allclose(ours, theirs.cluster_centers_, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(nearest(points, ours), theirs.predict(points))


def test_online_learning_and_three_steps_stay_within_a_twentieth_of_batch(points, best):
    ratios = []
    for seed in range(5):
        start = seed_kmeans_plus_plus(points, K, np.random.default_rng(seed))
        learnt = lloyd(points, learn_online(points, start, seed=seed), 3)
        ratios.append(inertia(points, learnt) / best)
    assert np.median(ratios) <= 1.05
