"""The whole harness on the in-memory broker: real processes, real figures, and an oracle that looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer

from ops.bench import scale, scale_jobs
from ops.bench.baselines.task import CUSTOMER
from ops.bench.checking import Oracles
from ops.bench.contenders import Contender, Engines, choose
from ops.bench.installation import installed
from ops.bench.job import Job, make_job
from ops.bench.servers import Broker, running_broker, write_job
from ops.bench.suite import Plan, run_suite
from ops.bench.targets import judge_targets
from ops.bench.throughput import measure_throughput
from ops.stack.at_hand import StackKind
from ops.stack.settings import StackSettings

pytestmark = pytest.mark.integration

NAMES = ("everscore", "confluent", "faust", "limit")


def plan_of(names: Sequence[str], job: Job, **more: Any) -> Plan:
    return Plan(
        kind=StackKind.EMBEDDED,
        job=job,
        contenders=choose(names),
        engines=Engines(),
        machine=StackSettings(),
        runs=1,
        **more,
    )


def test_throughput_of_every_contender_is_measured_and_the_oracles_agree() -> None:
    results = run_suite(plan_of(NAMES, make_job(1, 3_000), rates=()), lambda _: None)
    assert results.failures == []
    assert results.checked == len(NAMES)
    for name in NAMES:
        (figures,) = results.throughput[name]
        assert figures is not None
        assert figures.events_per_second > 0
        assert figures.worker_mb > 10
        assert 50 < figures.median_bytes < figures.mean_bytes * 2
    assert {target.what for target in judge_targets(results)} > {
        "throughput by that of `faust`",
        "CPU s per 1M purchases, worker",
    }


def test_latency_is_measured_of_those_who_tell_changes_and_the_oracle_agrees() -> None:
    plan = plan_of(
        ["everscore", "limit"],
        make_job(1, 1_000),
        throughput=False,
        rates=(100.0,),
        warm_up_seconds=0.5,
        seconds=1.5,
    )
    results = run_suite(plan, lambda _: None)
    assert results.failures == []
    assert results.throughput == {}
    ((name, (ours,)),) = results.latency[100.0].items()
    assert name == "everscore"
    assert ours is not None
    assert ours.kept_up
    assert results.checked == 1
    assert ours.changes > 100
    assert sum(ours.histogram) == ours.changes


@pytest.mark.parametrize("contender", choose(["everscore", "confluent"]), ids=lambda c: c.name)
def test_an_error_planted_in_redis_is_found(contender: Contender) -> None:
    job = make_job(1, 1_500)
    oracles = Oracles(job)
    with running_broker(StackKind.EMBEDDED, StackSettings()) as broker:
        write_job(broker, "job", job)
        with installed(contender, broker, Engines(), "job", "planted") as installation:
            measure_throughput(installation, len(job))
            installation.end()
            assert oracles.judge(installation).said == []
            name = job.customer_ids[0]
            installation.redis.hset(CUSTOMER + name, "frequency", 99)
            verdict = oracles.judge(installation)
            assert verdict.differences == 1
            assert verdict.said[0].startswith(f"{name}: frequency is '99'")
            _plant_change(broker, installation.settings.changes_topic, name)
            assert oracles.judge(installation).differences > 1


def _plant_change(broker: Broker, topic: str, customer_id: str) -> None:
    body = {
        "customer_id": customer_id,
        "sequence": 1,
        "previous": None,
        "current": "Loyal",
        "cause": "silence",
        "prob_alive": 0.5,
        "occurred_at": "1997-01-01T00:00:00Z",
        "source": {"partition": 0, "offset": 0},
    }
    producer = Producer({"bootstrap.servers": broker.address})
    headers = [("ce_type", b"everscore.segment.changed.v1"), ("ce_id", b"planted")]
    producer.produce(topic, json.dumps(body).encode(), customer_id.encode(), headers=headers)
    assert producer.flush(30) == 0


@pytest.mark.parametrize(
    ("question", "row"), [("cold", 1), ("rescore", 0)], ids=["restarted worker", "new scorecard"]
)
def test_scenario_of_scale_runs_to_its_end_and_is_found_right(
    question: str, row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale_jobs, "COLD", 500)
    monkeypatch.setattr(scale, "_IDLE_SECONDS", 0.1)
    scenario = scale_jobs.QUESTIONS[question]([500], 1)[row]
    with running_broker(StackKind.EMBEDDED, StackSettings()) as broker:
        found = scale.run_scenario(broker, scenario, "scenario")
    assert 0 < found.count <= 500
    assert found.per_second > 0
    assert found.redis_bytes > 100


def test_a_contender_that_ends_is_told_with_the_end_of_its_log() -> None:
    ended = Contender("ended", "ends at once", "no_such_module")
    plan = replace(plan_of([], make_job(1, 200), rates=()), contenders=(ended,))
    results = run_suite(plan, lambda _: None)
    assert results.throughput == {"ended": [None]}
    assert results.checked == 0
    (failure,) = results.failures
    assert "ended ended with code 1" in failure
    assert "no_such_module" in failure
