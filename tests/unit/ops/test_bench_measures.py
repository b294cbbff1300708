"""What the harness makes of its measurements: usage, latencies, ratios, targets, report."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ops.bench.contenders import CONTENDERS, EVERSCORE, Engines, choose
from ops.bench.installation import Uses
from ops.bench.job import PARTITIONS, make_job
from ops.bench.latency import (
    EDGES_MS,
    WARM_UP_PURCHASES,
    Course,
    latencies_ms,
    summarise,
)
from ops.bench.listener import caused_by_purchases
from ops.bench.pacer import Pace, Records, send
from ops.bench.report import render
from ops.bench.suite import Plan, Results, run_suite
from ops.bench.targets import Spread, events_per_second, judge_targets, percentile, ratio
from ops.bench.throughput import Cost, Throughput, cost_of
from ops.bench.usage import Usage, usage_of
from ops.cli.main import app
from ops.stack.at_hand import StackKind
from ops.stack.settings import StackSettings
from schemas.errors import ConfigurationError

FREE = Cost(1.0, 1.0, 1.0)
_BURN = """
import subprocess, sys, time
def burn():
    while time.process_time() < 0.1:
        pass
burn()
if len(sys.argv) > 1:
    child = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_usage_counts_what_children_take_while_they_live(tmp_path):
    script = tmp_path / "burn.py"
    script.write_text(_BURN)
    with subprocess.Popen(
        [sys.executable, str(script), "child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        found = usage_of(process.pid)
        process.communicate(b"\n")
    assert found.cpu_seconds >= 0.18  # two times 0.1, but for ticks not yet counted
    assert found.peak_mb > 5


def test_usage_of_nobody_names_the_process():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ConfigurationError, match=f"Process {process.pid} "):
        usage_of(process.pid)


def test_cost_is_per_million_and_apart():
    before = Uses(Usage(1.0, 1), Usage(2.0, 1), Usage(3.0, 1))
    after = Uses(Usage(2.0, 1), Usage(2.5, 1), Usage(5.0, 1))
    assert cost_of(before, after, 500_000) == Cost(2.0, 1.0, 4.0)


def test_latency_is_from_each_purchases_own_production_and_skips_the_warm_up():
    course = Course(20.0, 5.0, 2.0)
    job = make_job(1, course.purchases)
    count = len(job) - WARM_UP_PURCHASES
    times = np.arange(count, dtype=np.int64) * 50_000_000
    arrivals = np.array(
        [
            (
                times[row - WARM_UP_PURCHASES] + row * 1_000_000,
                job.partitions[row],
                job.offsets[row],
            )
            for row in reversed(range(WARM_UP_PURCHASES, len(job)))
        ]
        + [(10**12, job.partitions[3], job.offsets[3])]  # of a purchase before the clock ran
    )
    found = latencies_ms(job, times, arrivals, course.begins)
    first = WARM_UP_PURCHASES + 100
    assert sorted(found.tolist()) == [float(row) for row in range(first, len(job))]
    assert set(job.partitions[:first].tolist()) == set(range(PARTITIONS))


class Sent:
    """A producer that keeps what it is given, and is full now and then."""

    def __init__(self):
        self.records, self.refusals = [], 0

    def produce(self, topic, value, key, partition, on_delivery):
        if len(self.records) % 10 == 9 and self.refusals < len(self.records):
            self.refusals += 10
            raise BufferError
        self.records.append((topic, value, key, partition))

    def poll(self, seconds):
        return 0


def test_pacer_sends_every_record_in_order_where_the_job_has_it():
    job = make_job(1, 60)
    records = Records(job.keys, job.values, job.partitions.tolist())
    producer = Sent()
    times = send(Pace("", "topic", "", 20_000.0, 1.0, ""), records, producer)
    assert producer.refusals
    assert producer.records == [
        ("topic", value, key, partition)
        for key, value, partition in zip(job.keys, job.values, job.partitions, strict=True)
    ]
    assert len(times) == 60
    assert (times > 0).all()
    assert (np.diff(times) >= 0).all()


def test_changes_by_silence_have_no_latency():
    def body(cause):
        return b'{%s"source": {"partition": 2, "offset": 7}}' % cause

    taken = [
        (10, body(b'"cause": "silence", ')),
        (11, body(b'"cause": "transaction", ')),
        (12, body(b"")),
    ]
    assert caused_by_purchases(taken).tolist() == [[11, 2, 7], [12, 2, 7]]
    assert caused_by_purchases([]).shape == (0, 3)


def test_whoever_did_not_keep_up_has_no_percentiles():
    measured = np.array([1.0, 2.0, 30.0])
    kept = summarise(measured, 10.0, FREE, kept_up=True)
    assert (kept.p50_ms, kept.max_ms, sum(kept.histogram)) == (2.0, 30.0, 3)
    assert len(kept.histogram) == len(EDGES_MS) + 1
    assert not summarise(measured, 10.0, FREE, kept_up=False).kept_up
    assert not summarise(measured[:0], 10.0, FREE, kept_up=True).kept_up


def figures(events, worker=10.0):
    return Throughput(1_000, events, events, Cost(worker, 2.0, 3.0), 100.0, 50.0, 590.0, 900.0)


def latency(p99, rate=2_000.0):
    return summarise(np.array([p99]), rate, FREE, kept_up=p99 is not None)


@pytest.fixture
def results():
    plan = Plan(StackKind.EMBEDDED, make_job(1, 10), CONTENDERS, Engines(), StackSettings(), runs=3)
    return Results(plan, "a broker", "a machine", "versions", "today", loads=[1.0], busy=[0.0])


def test_ratios_are_of_the_same_round_and_skip_failed_runs(results):
    results.throughput = {
        "everscore": [figures(100), None, figures(400)],
        "confluent": [figures(50), figures(1), figures(100)],
        "limit": [None, None, None],
    }
    assert ratio(results, "confluent", events_per_second) == Spread(3.0, 2.0, 4.0)
    assert ratio(results, "limit", events_per_second) is None


def test_targets_say_what_was_met_and_what_was_not_measured(results):
    results.throughput = {"everscore": [figures(140, 14.1)], "confluent": [figures(100)]}
    results.latency = {2_000.0: {"everscore": [latency(7.0)]}}
    met = {target.what: target.met for target in judge_targets(results)}
    assert met["throughput by that of `confluent`"] is True
    assert met["CPU s per 1M purchases, worker"] is False
    assert met["CPU s per 1M purchases, Redis"] is True
    assert met["p50 at 2,000 purchases/s, ms"] is True
    assert met["Redis bytes of the median customer"] is True
    assert met["Redis GB of a million such customers"] is False
    assert not any("bytewax" in what or "10,000" in what for what in met)


def test_percentile_of_runs_most_of_which_kept_up_only():
    slow = summarise(np.array([1.0]), 1.0, FREE, kept_up=False)
    assert percentile([latency(5.0), latency(7.0), slow], "p99") == Spread(6.0, 5.0, 7.0)
    assert percentile([latency(5.0), slow], "p99") is None
    assert percentile([None, None], "p99") is None


def test_report_quotes_no_failed_run_and_names_it(results):
    results.throughput = {"everscore": [None, figures(123_456)], "confluent": [None, None]}
    results.failures = ["throughput, round 1: everscore: the oracle found 3 differences"]
    text = render(results, "make bench")
    assert "**1 runs failed and are not quoted:**" in text
    assert "* throughput, round 1: everscore: the oracle found 3 differences" in text
    assert "123,456" in text
    assert "others kept 0.00 cores busy" in text
    assert "The machine was busy" not in text


def test_report_of_a_busy_machine_says_so(results):
    results.busy = [0.1, 1.9]
    assert "The machine was busy" in render(results, "make bench")


def test_contenders_are_chosen_by_name_in_the_order_of_the_report():
    assert [c.name for c in choose(["limit", "everscore"])] == ["everscore", "limit"]
    assert choose([]) == CONTENDERS
    assert EVERSCORE in CONTENDERS


def test_engines_keep_the_environment_of_their_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").symlink_to(sys.executable)
    engines = Engines(Path("python"))
    assert engines.python == str(tmp_path / "python")
    assert engines.without(choose(["everscore"])) == ()
    assert Engines().python == sys.executable


def test_engines_of_no_python_are_said_to_be_so(tmp_path):
    with pytest.raises(ConfigurationError, match="make bench"):
        Engines(tmp_path / "python").without(CONTENDERS)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only", "flink"], "'flink'"),
        (["--stack", "docker"], "--stack docker"),
        (["--copies", "0", "--stack", "embedded"], "0 copies"),
        (["--events", "100", "--stack", "embedded", "--rate", "50"], "--copies"),
        (["--events", "100", "--stack", "embedded", "--rate", "0", "--runs", "0"], "0 runs"),
    ],
)
def test_what_cannot_be_measured_ends_with_one_line_that_names_it(arguments, named):
    ended = CliRunner().invoke(app, ["bench", *arguments])
    assert ended.exit_code == 78
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert named in errors[0]


def test_plan_of_a_job_that_is_too_short_for_a_rate_is_refused_before_anything_starts():
    plan = Plan(
        StackKind.EMBEDDED,
        make_job(1, 500),
        (EVERSCORE,),
        Engines(),
        StackSettings(),
        rates=[1_000],
    )
    said = []
    with pytest.raises(ConfigurationError, match="500"):
        run_suite(plan, said.append)
    assert said == []
