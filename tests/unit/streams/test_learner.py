"""The learner: when it looks and learns, what becomes of a candidate, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from schemas.learning import Learning
from schemas.scorecard import AliveParams, Origin, SpendParams
from scoring.bootstrap import bootstrap_scorecard
from streams.homes import sample_rank
from streams.learner import Learner, learning_options
from streams.samples import Sample, encode_sample
from streams.settings import Settings
from tests.support.learner_walk import inline
from tests.support.synthetic import draw

US_PER_DAY = 86_400_000_000
ALIVE = AliveParams(r=0.7, alpha_days=70.0, a=0.6, b=1.4)
SPEND = SpendParams(p=6.0, q=4.0, v=15.0)
CUSTOMERS = 1_500


def told(learner: Learner, alive: AliveParams = ALIVE, day_more: int = 0, seed: int = 3) -> None:
    """Report customers drawn from a model, the same ids each time."""
    customers, day = draw(alive, SPEND, CUSTOMERS, 700, seed)
    clock_us = (day + day_more) * US_PER_DAY
    columns = (customers.frequency, customers.first_day, customers.last_day)
    for number, (x, first, last, value) in enumerate(
        zip(
            *(column.tolist() for column in columns), customers.monetary_value.tolist(), strict=True
        )
    ):
        name = f"c{number}"
        sample = Sample(
            name, sample_rank(name), x, first + day_more, last + day_more, value, clock_us
        )
        learner.keeper.report(None, encode_sample(sample))


def settings(**changes) -> Settings:
    return Settings(_env_file=None, **changes)


@pytest.fixture(scope="module")
def first():
    """The first scorecard that is learnt from them."""
    learner = Learner(settings(), compute=inline)
    told(learner)
    attempt = asyncio.run(learner.attempt(bootstrap_scorecard()))
    assert attempt is not None
    return attempt


def watching(first, **changes) -> Learner:
    """A learner that has looked once at the first scorecard in use, and is to learn again at once."""
    learner = Learner(settings(**changes), compute=inline)
    told(learner)
    learner.resume(
        first.learning.model_copy(update={"version": "fitted-1"}).model_dump_json().encode()
    )
    return learner


def test_first_candidate_is_promoted_whatever_it_gains(first):
    assert first.promoted is not None
    assert (first.promoted.version, first.promoted.origin) == ("fitted-1", Origin.FITTED)
    assert first.reasons == ("the first one that was learnt",)
    assert first.learning.version == "bootstrap-0"
    assert first.learning.fit is None  # nothing was learnt that could fit


async def test_process_of_its_own_comes_to_the_same(first):
    learner = Learner(settings())
    told(learner)
    try:
        attempt = await learner.attempt(bootstrap_scorecard())
        assert attempt.promoted == first.promoted
        niceness = await learner._compute(os.nice, 0)
        assert niceness == min(os.nice(0) + 10, 19)  # what runs beside it goes first
        told(learner, day_more=7)
        looked = await learner.attempt(first.promoted)
    finally:
        learner.stop()
    assert looked.learning.fit.inertia_ratios == (1.0,)


async def test_candidate_that_gains_little_stays_a_shadow_with_its_changes_counted(first):
    learner = watching(first)
    attempt = await learner.attempt(first.promoted)
    assert attempt.promoted is None
    shadow = attempt.learning.shadow
    assert attempt.learning.version == "fitted-1"
    assert (shadow.customers, sum(map(sum, shadow.moves))) == (CUSTOMERS, CUSTOMERS)
    off_diagonal = CUSTOMERS - int(np.trace(np.array(shadow.moves)))
    assert shadow.moved == off_diagonal < 0.05 * CUSTOMERS
    assert shadow.gain < 0.03
    assert "a shadow" in attempt.reasons[0]
    assert Learning.model_validate_json(attempt.learning.model_dump_json()) == attempt.learning
    assert await learner.attempt(first.promoted) is None  # until a week has passed


async def test_candidate_whose_parameters_move_enough_is_promoted(first):
    changed = ALIVE.model_copy(update={"alpha_days": 20.0, "a": 1.2})
    learner = watching(first)
    told(learner, changed, seed=4)
    attempt = await learner.attempt(first.promoted)
    assert attempt.promoted is not None
    assert attempt.learning.shadow.moved_by_parameters > 0.05 * CUSTOMERS
    assert attempt.promoted.segments == first.promoted.segments


async def test_gate_that_nothing_passes_leaves_the_same_candidate_a_shadow(first):
    changed = ALIVE.model_copy(update={"alpha_days": 20.0, "a": 1.2})
    learner = watching(first, learn_gain_min=0.99, learn_moves_min=1.0)
    told(learner, changed, seed=4)
    attempt = await learner.attempt(first.promoted)
    assert attempt.promoted is None
    assert attempt.learning.shadow.moved > 0


async def test_shadow_is_judged_again_at_each_look_and_promoted_once_it_is_worth_it(first):
    never = watching(first, learn_gain_min=0.99, learn_moves_min=1.0)
    await never.attempt(first.promoted)  # has a shadow now, of no great use
    shadow = never._shadow
    changed = ALIVE.model_copy(update={"alpha_days": 20.0, "a": 1.2})
    learner = watching(first, learn_interval_days=10_000)
    await learner.attempt(first.promoted)
    # One that was learnt from what customers are going to do:
    ahead = Learner(settings(), compute=inline)
    told(ahead, changed, seed=4)
    worthy = (await ahead.attempt(bootstrap_scorecard())).promoted
    learner._shadow = shadow.model_copy(update={"card": worthy})
    assert await learner.attempt(first.promoted) is None
    told(learner, changed, day_more=7, seed=4)
    attempt = await learner.attempt(first.promoted)
    assert attempt.promoted == worthy
    assert attempt.learning.shadow.judged_at > shadow.judged_at


async def test_scorecard_that_somebody_else_published_leaves_no_shadow_of_the_one_before(first):
    learner = watching(first, learn_interval_days=10_000)
    assert (await learner.attempt(first.promoted)).learning.shadow is not None
    told(learner, day_more=1)
    other = first.promoted.model_copy(update={"number": 2})
    attempt = await learner.attempt(other)
    assert attempt.learning.version == "fitted-2"
    assert attempt.learning.shadow is None
    assert attempt.learning.fit.inertia_ratios == (1.0,)


async def test_successor_goes_on_with_shadow_and_looks(first):
    learner = watching(first, learn_interval_days=10_000)
    left = (await learner.attempt(first.promoted)).learning
    successor = Learner(settings(learn_interval_days=10_000), compute=inline)
    successor.resume(left.model_dump_json().encode())
    successor._next_lesson_us = 2**62
    told(successor, day_more=7)
    found = (await successor.attempt(first.promoted)).learning
    assert found.shadow.card == left.shadow.card
    assert len(found.fit.inertia_ratios) == 2


@pytest.mark.parametrize("kept", [None, b"{", b"{}"])
def test_what_a_successor_cannot_read_is_forgotten(kept):
    learner = Learner(settings(), compute=inline)
    learner.resume(kept)
    assert learner._shadow is None


async def test_promise_is_kept_until_enough_buyers_were_due_and_then_compared(first):
    learner = watching(first, learn_interval_days=10_000, learn_look_days=1.0)
    await learner.attempt(first.promoted)
    told(learner, day_more=1)
    one = (await learner.attempt(first.promoted)).learning.fit
    assert one.promised_buyers is None  # in a day some ten of 1,500
    told(learner, day_more=40)
    other = (await learner.attempt(first.promoted)).learning.fit
    assert other.over_days == pytest.approx(40.0)
    assert other.promised_buyers > 50
    # `told` moves everybody's last purchase on with the clock: all of them "bought".
    assert other.actual_buyers == CUSTOMERS
    assert other.excesses[-1] == pytest.approx(CUSTOMERS / other.promised_buyers - 1)
    assert [one.kind for one in other.drifts] == ["calibration"]


async def test_drift_leads_to_a_lesson_before_it_is_due(first):
    learner = watching(first, learn_interval_days=10_000)
    await learner.attempt(first.promoted)
    told(learner, day_more=40)
    attempt = await learner.attempt(first.promoted)
    assert attempt.reasons[0] == "calibration has drifted under fitted-1"
    assert len(attempt.reasons) == 2


async def test_nothing_is_done_before_anyone_is_reported_or_it_is_time(first):
    learner = Learner(settings(), compute=inline)
    assert await learner.attempt(first.promoted) is None
    told(learner)
    learner._next_lesson_us = learner._next_look_us = 2**62
    learner._version = "fitted-1"
    assert await learner.attempt(first.promoted) is None


def test_options_of_learning_are_those_of_the_settings():
    options = learning_options(
        Settings(_env_file=None, segment_count=6, fading_below=0.4, lost_below=0.1)
    )
    assert options.segment_count == 6
    assert (options.lifecycle.fading, options.lifecycle.lost) == (0.4, 0.1)


def test_file_of_overrides_that_became_unreadable_leaves_what_it_said_before(tmp_path, caplog):
    file = tmp_path / "overrides.yaml"
    file.write_text("hysteresis: 0.2")
    learner = Learner(Settings(_env_file=None, overrides=file))
    assert learner._read_overrides().hysteresis == 0.2
    file.write_text("hysteresis: much")
    assert learner._read_overrides().hysteresis == 0.2
    assert "hysteresis: 'much'" in caplog.text


def test_learning_process_ends_with_a_worker_that_was_killed():
    program = (
        "import os, signal\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from streams.learner import _begin_process\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, get_context('spawn'), _begin_process)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    pid = int(killed.stdout)
    deadline = time.monotonic() + 20
    while runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid):
    """Whether a process is there and no zombie, which a container without an init may keep."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
