"""The API's benchmark on the embedded stack: one short run, all of it, found right by the oracle."""

from __future__ import annotations

import pytest

from ops.bench.api_report import render_api
from ops.bench.api_suite import ApiPlan, run_api_suite
from ops.bench.job import make_job
from ops.stack.at_hand import StackKind
from ops.stack.settings import StackSettings

pytestmark = pytest.mark.integration


def test_answers_and_live_feed_are_measured_while_purchases_are_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A slow machine makes slow figures; here they only have to be there.
    monkeypatch.setattr("ops.bench.flow._BEHIND_SECONDS_MAX", 240.0)
    plan = ApiPlan(
        StackKind.EMBEDDED,
        make_job(1, 1_200),
        StackSettings(),
        runs=1,
        rate=50.0,
        requests=20.0,
        processes=(2,),
        warm_up_seconds=1.0,
        seconds=3.0,
    )
    results = run_api_suite(plan, lambda _: None)
    assert results.failures == []
    assert results.checked == 1
    (run,) = results.runs[2]
    assert run is not None
    assert run.answers.count == run.hgetall.count == 60
    assert 0 < run.answers.p50 <= run.answers.p99 <= run.answers.p999 <= run.answers.most
    assert run.lateness.p50 >= 0
    assert run.feed is not None
    assert run.topic is not None
    assert run.feed.count == run.topic.count > 100
    assert run.cpu_us > 0
    assert run.api_mb > 50
    assert "## 2 of the API" in render_api(results, "make bench")
