"""What a candidate would change, counted beside the scorecard in use."""

import numpy as np
import pytest

from schemas.scorecard import AliveParams, LifecycleThresholds, Origin, SpendParams
from scoring.alive import prob_alive
from scoring.bootstrap import bootstrap_scorecard
from scoring.segments import Segmenter
from scoring.shadow import Gate, Habits, judge
from tests.support.synthetic import draw

CURRENT = bootstrap_scorecard().model_copy(
    update={
        "number": 1,
        "origin": Origin.FITTED,
        "alive": AliveParams(r=0.7, alpha_days=70.0, a=0.6, b=1.4),
        "centroids": ((0.8, 2.0, 3.4), (0.7, 0.9, 3.3), (0.2, 1.0, 3.2), (0.3, 0.0, 0.0)),
    }
)
SHIFTED = CURRENT.model_copy(
    update={"centroids": ((0.8, 1.8, 3.4), (0.6, 0.7, 3.3), (0.3, 1.2, 3.2), (0.3, 0.0, 0.0))}
)
OTHER_PARAMETERS = CURRENT.model_copy(
    update={"alive": AliveParams(r=0.7, alpha_days=30.0, a=1.2, b=1.4)}
)
NEVER = Gate(gain_min=0.9999, moves_min=1.0)


@pytest.fixture(scope="module")
def habits() -> Habits:
    customers, day = draw(CURRENT.alive, SpendParams(p=6.0, q=4.0, v=15.0), 2_000, 700, seed=5)
    t_x = (customers.last_day - customers.first_day).astype(float)
    age = (day - customers.first_day).astype(float)
    return Habits(customers.frequency, t_x, age, customers.monetary_value)


def test_scorecard_beside_itself_would_change_nothing(habits):
    found = judge(habits, CURRENT, CURRENT, NEVER)
    assert (found.moved, found.moved_by_parameters, found.promote) == (0, 0, False)
    assert found.gain == pytest.approx(0.0, abs=1e-12)
    assert sum(map(sum, found.moves)) == found.customers == 2_000


def test_moves_are_those_that_a_worker_would_make(habits):
    found = judge(habits, CURRENT, SHIFTED, NEVER)
    alive = prob_alive(habits.frequency, habits.t_x_days, habits.age_days, CURRENT.alive)
    segments = np.full(2_000, -1)
    both = []
    for card in (CURRENT, SHIFTED):
        segmenter = Segmenter(card)
        z = segmenter.features(alive, habits.frequency, habits.monetary_value)
        segments = segmenter.assign(z, segments)
        both.append(segments)
    expected = np.zeros((4, 4), np.int64)
    np.add.at(expected, tuple(both), 1)
    assert np.array_equal(found.moves, expected)
    assert found.moved == (both[0] != both[1]).sum() > 0
    assert found.moved_by_parameters == 0


def test_parameters_alone_count_lifecycles_too(habits):
    found = judge(habits, CURRENT, OTHER_PARAMETERS, NEVER)
    before, after = (
        prob_alive(habits.frequency, habits.t_x_days, habits.age_days, card.alive)
        for card in (CURRENT, OTHER_PARAMETERS)
    )
    steps = CURRENT.lifecycle
    lifecycles = [(p >= steps.fading).astype(int) + (p >= steps.lost) for p in (before, after)]
    assert found.moved_by_parameters >= (lifecycles[0] != lifecycles[1]).sum() > 100


@pytest.mark.parametrize(
    ("candidate", "gate", "promote"),
    [
        (OTHER_PARAMETERS, Gate(0.99, 0.05), True),
        (OTHER_PARAMETERS, Gate(0.99, 1.0), False),
        (SHIFTED, Gate(-10.0, 1.0), True),
        (SHIFTED, Gate(0.99, 0.0001), False),  # parameters alone move nobody
    ],
)
def test_gate_lets_pass_by_gain_or_by_parameters(habits, candidate, gate, promote):
    assert judge(habits, CURRENT, candidate, gate).promote is promote


def test_thresholds_that_an_operator_changed_are_no_reason_to_promote(habits):
    wished = CURRENT.model_copy(update={"lifecycle": LifecycleThresholds(fading=0.7, lost=0.1)})
    assert judge(habits, CURRENT, wished, NEVER).moved_by_parameters == 0


def test_another_number_of_segments_counts_those_whose_segment_is_gone(habits):
    three = CURRENT.model_copy(
        update={
            "centroids": CURRENT.centroids[:2] + CURRENT.centroids[3:],
            "segments": ("Champions", "Loyal", "Hibernating"),
        }
    )
    found = judge(habits, CURRENT, three, NEVER)
    moves = np.array(found.moves)
    assert moves.shape == (4, 3)
    stays = moves[0, 0] + moves[1, 1] + moves[3, 2]
    assert found.moved == 2_000 - stays >= moves[2].sum() > 0


def test_segments_of_another_name_are_the_same_segments(habits):
    renamed = CURRENT.model_copy(
        update={"segments": ("A", "B", "C", "D"), "default_segments": CURRENT.segments}
    )
    assert judge(habits, CURRENT, renamed, NEVER).moved == 0
