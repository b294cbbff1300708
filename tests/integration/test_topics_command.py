"""`everscore topics create` on a real broker: what compose and other deployments start with."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import declared_topics
from streams.settings import Settings
from tests.support.installation import REPOSITORY

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack(machine: StackSettings) -> Iterator[LocalStack]:
    """A server of our own: one test stops it."""
    with LocalStack(machine=machine) as running:
        yield running


def create(kafka, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "topics", "create", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "EVERSCORE_KAFKA": kafka, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_topics_that_are_missing_are_created_as_declared_and_only_once(stack):
    first = create(stack.kafka, "--partitions", "3")
    assert first.returncode == 0, first.stderr
    topics = declared_topics(Settings.model_construct(), 3)
    assert all(f"created {topic.name}\n" in first.stdout for topic in topics)
    report = stack.create_topics(topics)
    assert (report.created, report.differing) == ((), ())
    again = create(stack.kafka, "--partitions", "3")
    assert again.returncode == 0
    assert "created" not in again.stdout
    assert f"{len(topics)} of {len(topics)} topics were there" in again.stdout
    assert again.stderr == ""


def test_topic_that_is_there_stays_as_it_is_and_what_differs_is_said(stack):
    named = {"EVERSCORE_TRANSACTIONS_TOPIC": "kept"}
    create(stack.kafka, "--partitions", "3", **named)
    asked = create(stack.kafka, "--partitions", "5", **named)
    assert asked.returncode == 0
    assert "'kept' has 3 partitions, declared are 5" in asked.stderr


def test_more_copies_than_brokers_are_refused_in_one_line(stack):
    asked = create(stack.kafka, "--replication", "3", EVERSCORE_TRANSACTIONS_TOPIC="copied")
    assert asked.returncode == 78
    assert "'copied'" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_kafka_that_comes_late_is_waited_for(stack):
    named = {"EVERSCORE_TRANSACTIONS_TOPIC": "late"}
    stack.stop_kafka()
    try:
        given_up = create(stack.kafka, "--wait", "1", **named)
        assert given_up.returncode == 69
        assert "did not answer within 1 s" in given_up.stderr
        waiting = subprocess.Popen(
            [sys.executable, "-m", "ops.cli.main", "topics", "create", "--wait", "60"],
            cwd=REPOSITORY,
            env={**os.environ, "EVERSCORE_KAFKA": stack.kafka, **named},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert waiting.stdout is not None
        assert "waiting" in waiting.stdout.readline()
    finally:
        stack.start_kafka()
    said, _ = waiting.communicate(timeout=90)
    assert waiting.returncode == 0, said
    assert "created late" in said
