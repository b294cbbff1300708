"""Jobs that ask one question each, and the account of the answers."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ops.bench import scale_jobs
from ops.bench.contenders import Engines
from ops.bench.job import PARTITIONS, make_job
from ops.bench.scale import Scaled, check_questions
from ops.bench.scale_jobs import QUESTIONS
from ops.bench.scale_report import scale_table
from ops.bench.suite import Plan, Results
from ops.bench.targets import judge_targets
from ops.cli.main import app
from ops.stack.at_hand import StackKind
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(scale_jobs, "ACTIVE", 20)
    monkeypatch.setattr(scale_jobs, "DUE", 50)
    monkeypatch.setattr(scale_jobs, "COLD", 30)
    monkeypatch.setattr(scale_jobs, "LIVE_RATE", 10.0)


@pytest.mark.parametrize("question", ["known", "sweep", "cold", "rescore"])
def test_job_is_in_time_order_and_no_purchase_is_there_twice(question):
    scenarios = QUESTIONS[question]([60, 90], 1)
    assert scenarios
    for scenario in scenarios:
        moments = [purchase.occurred_at for purchase in scenario.job.purchases]
        assert moments == sorted(moments)
        ids = Counter(purchase.transaction_id for purchase in scenario.job.purchases)
        assert max(ids.values()) == 1


def test_same_few_buy_the_same_among_more_and_more_who_rest():
    few, many = QUESTIONS["known"]([60, 90], 1)
    assert (few.before, many.before) == (60, 90)
    assert few.job.customer_ids[few.before :] == many.job.customer_ids[many.before :]
    assert len(set(few.job.customer_ids[few.before :])) == 20
    first, last = few.job.purchases[0], few.job.purchases[-1]
    assert (last.occurred_at - first.occurred_at).days <= 31  # nobody who rests falls due


def test_silence_moves_the_same_number_whoever_else_is_known():
    few, many = QUESTIONS["sweep"]([60, 90], 1)
    for scenario in (few, many):
        assert scenario.due == 50
        ages = Counter(
            (scenario.job.purchases[-1].occurred_at - purchase.occurred_at).days
            for purchase in scenario.job.purchases[: scenario.before]
        )
        assert ages[100] == 50
        assert sum(count for days, count in ages.items() if days > 90) == 50
        ticks = scenario.job.partitions[scenario.before :]
        assert sorted(ticks.tolist()) == list(range(PARTITIONS))


def test_cold_worker_counts_what_the_warm_one_does():
    warm, cold = QUESTIONS["cold"]([60], 1)
    assert warm.job is cold.job
    assert (warm.restart, cold.restart) == (False, True)
    known = set(warm.job.customer_ids[: warm.before])
    assert set(warm.job.customer_ids[warm.before :]) <= known


def test_hot_customer_makes_a_tenth_of_all_purchases():
    plain, hot = QUESTIONS["skew"]([], 1)
    assert plain.job.values != hot.job.values
    assert Counter(hot.job.customer_ids)["hot"] == pytest.approx(len(hot.job) / 10, abs=1)
    at_home = hot.job.partitions[np.array(hot.job.customer_ids) == "hot"]
    assert len(set(at_home.tolist())) == 1


def test_unknown_question_is_named():
    with pytest.raises(ConfigurationError, match="'why'"):
        check_questions(["known", "why"])
    check_questions([*QUESTIONS])


def test_in_memory_broker_is_not_asked_for_scale():
    ended = CliRunner().invoke(
        app,
        ["bench", "--stack", "embedded", "--events", "10", "--rate", "0", "--scale", "known"],
    )
    assert ended.exit_code == 78
    assert "--stack local" in ended.stderr


def run(question, row, worker_us, idle_cores=0.01):
    return Scaled(question, row, 1_000, 500.0, worker_us, 2.0, 100.0, 600.0, idle_cores)


def test_targets_of_scale_compare_the_most_with_the_fewest():
    plan = Plan(
        StackKind.LOCAL, make_job(1, 10), (), Engines(), StackSettings(), throughput=False, rates=()
    )
    runs = [
        run("known", "few", 10.0),
        run("known", "some", 30.0),
        run("known", "many", 12.5, 0.5),
        run("workers", "one", 10.0),
        run("workers", "two", 10.9),
        run("rescore", "all", 61.0),
        replace(run("rescore", "live", 99.0), p99_ms=(10.0, 11.9)),
        replace(run("rescore", "slow", 99.0), p99_ms=(10.0, 12.1)),
    ]
    found = [(t.measured, t.met) for t in judge_targets(Results(plan, scale=runs))]
    assert found == [
        ("1.25", False),
        ("0.49", False),
        ("1.09", True),
        ("61.0", False),
        ("1.19", True),
        ("1.21", False),
    ]
    assert list(judge_targets(Results(plan, scale=runs[:1]))) == []


def test_rows_are_compared_with_the_first_of_their_question():
    runs = [run("known", "few", 10.0), run("known", "many", 12.0), run("skew", "plain", 50.0)]
    text = "\n".join(scale_table(runs))
    assert "| many | 1,000 | 500 | 12.0 | 1.20 |" in text
    assert "| plain | 1,000 | 500 | 50.0 | 1.00 |" in text
