"""The newcomer's first minute: the demo itself, as the README runs it."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.installation import REPOSITORY
from tests.support.services import Kind
from tests.support.services_report import RAN_ON

pytestmark = pytest.mark.integration


def demo(*arguments):
    """Run it to its end, which it finds by itself; returns what it showed."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "demo", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    shown = done.stdout
    assert "69,659 of 69,659 published" in shown
    assert "23,570 of 23,570 customers equal to lifetimes" in shown
    assert "gaps in their sequences: 0" in shown
    for cause in ("transaction", "silence", "scorecard"):
        assert re.search(rf"by {cause} +[1-9]", shown), cause
    for segment in ("Champions", "Loyal", "At-Risk", "Hibernating"):
        assert re.search(rf"{segment} +[1-9][\d,]* .*% of revenue", shown), segment
    assert "is At-Risk" in shown
    assert "What to try next" in shown
    return shown


def test_demo_needs_nothing_and_equals_lifetimes_for_every_customer(record_property):
    shown = demo()
    assert "Trying out: librdkafka's in-memory broker at 127.0.0.1:" in shown
    record_property(RAN_ON, "the demo's in-memory broker and Redis")


def test_demo_on_a_real_kafka_equals_lifetimes_for_every_customer(services):
    services.needs_real_kafka("is what the demo runs on by itself")
    if services.kind is Kind.ENV:
        shown = demo("--kafka", services.kafka, "--redis", services.redis)
        assert "everything named demo-" in shown
    else:
        shown = demo("--stack", services.kind)
        assert re.search(r"Apache Kafka [\d.]+ at 127.0.0.1:\d+, Redis at redis://127", shown)
        assert f"make demo STACK={services.kind} KEEP=1" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--stack", "local", "--kafka", "a:1", "--redis", "redis://b"], "Give one or the other"),
        (["--kafka", "a:1"], "Give both or neither"),
    ],
)
def test_servers_named_in_two_ways_or_by_half_are_refused_in_one_line(arguments, complaint):
    refused = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "demo", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, len(refused.stderr.splitlines())) == (78, 1)
    assert complaint in refused.stderr
