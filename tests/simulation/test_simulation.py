"""200 seeds, the same seed twice, and production without each of its guards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS, without_guard
from tests.simulation.scenario import scenario_of
from tests.simulation.simulate import simulate

SEEDS = 200
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_or_told_wrong_whatever_dies(seed):
    verdict = simulate(seed)
    assert not verdict.broken, str(verdict)


def test_all_kinds_of_worlds_are_among_the_seeds():
    scenarios = [scenario_of(seed) for seed in range(SEEDS)]
    assert {scenario.kind for scenario in scenarios} == {"pure", "steady", "journaled", "mixed"}
    for feature in ("rollbacks", "zombies", "swaps", "detours", "storms", "live", "erasures"):
        assert {getattr(scenario, feature) for scenario in scenarios} == {True, False}, feature


def test_same_seed_is_the_same_history_in_another_process_and_hash_order():
    digests = []
    for hash_seed in ("1", "2"):
        program = "from tests.simulation.simulate import simulate; print(simulate(7).digest)"
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.append(run.stdout.strip())
    assert digests == [simulate(7).digest] * 2
    assert simulate(8).digest != digests[0]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_production_without_a_guard_breaks_within_the_seeds(mutation):
    with without_guard(mutation):
        assert any(simulate(seed).broken for seed in range(SEEDS)), mutation
