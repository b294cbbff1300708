"""What counts as well, and that everscore-health says it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.heartbeat import SILENCE_SECONDS_MAX, Heartbeat, read_heartbeat, state_of_health

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "heartbeat"


def test_heartbeat_read_again_is_the_one_written_last(file):
    Heartbeat([0], [], connected=True).write(file)
    last = Heartbeat([0, 1], [2], connected=False)
    last.write(file)
    assert read_heartbeat(file) == last
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_worker_that_counts_its_partitions_is_well(file):
    Heartbeat([1, 3], [], connected=True).write(file)
    assert state_of_health(file) == (True, "partitions 1, 3 counted")


def test_worker_to_spare_is_well(file):
    Heartbeat([], [], connected=True).write(file)
    assert state_of_health(file) == (True, "no partition counted")


def test_worker_without_kafka_is_well_and_says_what_is_not(file):
    Heartbeat([0], [], connected=False).write(file)
    assert state_of_health(file) == (True, "partition 0 counted; Kafka does not answer")


def test_worker_that_may_not_count_what_it_was_given_is_not_well(file):
    Heartbeat([0], [1, 2], connected=True).write(file)
    assert state_of_health(file) == (False, "partitions 1, 2 given by Kafka and not counted")


def test_worker_whose_event_loop_stands_still_is_not_well(file):
    Heartbeat([0], [], connected=True).write(file)
    long_ago = time.time() - SILENCE_SECONDS_MAX - 27.2
    os.utime(file, (long_ago, long_ago))
    assert state_of_health(file) == (False, "the worker has not moved for 42 s")


def test_worker_that_has_not_joined_is_not_well(file):
    well, why = state_of_health(file)
    assert not well
    assert "not joined" in why


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owned": [0]}', '{"pulse": 60}'])
def test_file_that_is_no_heartbeat_is_not_well(file, text):
    file.write_text(text)
    well, why = state_of_health(file)
    assert not well
    assert str(file) in why


def ask(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "ops.health", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_health_check_ends_with_what_it_found(file):
    Heartbeat([0], [], connected=True).write(file)
    well = ask(str(file))
    assert (well.returncode, well.stdout) == (0, "partition 0 counted\n")
    file.unlink()
    assert ask(str(file)).returncode == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["one", "two"]])
def test_health_check_called_wrongly_says_how(arguments):
    asked = ask(*arguments)
    assert asked.returncode == 2
    assert "usage" in asked.stderr


def test_health_check_loads_nothing_that_takes_long():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, ops.health; print(*sys.modules)"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.split()
    assert "streams.heartbeat" in loaded
    assert not {"asyncio", "pydantic", "faust", "numpy", "typer"} & set(loaded)
