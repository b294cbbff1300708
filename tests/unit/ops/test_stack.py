"""The local stack: what it needs, what it declares, what it says; it runs in tests/integration."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli.stack import stack
from ops.stack import java, processes
from ops.stack.java import cached_jars, find_java, find_maven, kafka_jars, kafka_version
from ops.stack.kafka_server import complaint_in, new_cluster_id
from ops.stack.local import LocalStack
from ops.stack.settings import StackSettings
from ops.stack.topics import declared_topics
from schemas.errors import ConfigurationError
from streams.settings import Settings

run = CliRunner().invoke


def program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def java_of(version: str, home: Path) -> str:
    return program(home / "bin" / "java", f"echo 'openjdk version \"{version}\" 2026' >&2")


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose PATH holds what the test puts into the folder returned."""
    path = tmp_path / "path"
    path.mkdir()
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: real(name, path=str(path)))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return path


# --- Java and Maven


@pytest.mark.parametrize("version", ["17.0.15", "21", "25-ea"])
def test_java_on_path_that_is_new_enough_is_taken(bare_machine: Path, version: str) -> None:
    shutil.copy(java_of(version, bare_machine), bare_machine / "java")
    assert find_java() == str(bare_machine / "java")


def test_java_home_is_preferred_unless_too_old(bare_machine: Path, tmp_path: Path) -> None:
    shutil.copy(java_of("17", bare_machine), bare_machine / "java")
    new = java_of("21.0.1", tmp_path / "new")
    java_of("1.8.0_402", tmp_path / "old")
    assert find_java(tmp_path / "new") == new
    assert find_java(tmp_path / "old") == str(bare_machine / "java")


def test_only_an_old_java_says_which_and_what_to_install(
    bare_machine: Path, tmp_path: Path
) -> None:
    java_of("1.8.0_402", tmp_path)
    with pytest.raises(ConfigurationError, match=r"bin/java is Java 8\. .*apt install openjdk-17"):
        find_java(tmp_path)


@pytest.mark.parametrize("placeholder", [False, True], ids=["none", "placeholder"])
def test_no_java_says_what_to_install(bare_machine: Path, placeholder: bool) -> None:
    if placeholder:
        program(bare_machine / "java", "echo 'Unable to locate a Java Runtime.' >&2; exit 1")
    with pytest.raises(ConfigurationError, match=r"Java 17 or newer; there is none\. Install"):
        find_java()


def test_no_maven_says_what_to_install(bare_machine: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="apt install maven"):
        find_maven()
    with pytest.raises(ConfigurationError, match=f"Fetching Kafka {kafka_version()} needs Maven"):
        kafka_jars(tmp_path / "cache")


FETCHING = """
for word in "$@"; do case $word in -DoutputDirectory=*) into=${word#-DoutputDirectory=};; esac; done
mkdir -p "$into"; echo jar > "$into/kafka_2.13-fake.jar"; echo called >> "$(dirname "$0")/calls"
"""


def test_jars_are_fetched_once(bare_machine: Path, tmp_path: Path) -> None:
    program(bare_machine / "mvn", FETCHING)
    cache = tmp_path / "cache"
    assert cached_jars(cache) is None
    jars = kafka_jars(cache)
    assert (jars / "kafka_2.13-fake.jar").exists()
    assert kafka_jars(cache) == cached_jars(cache) == jars == cache / f"kafka-{kafka_version()}"
    assert (bare_machine / "calls").read_text() == "called\n"


def test_jars_of_another_pom_are_fetched_again(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare_machine / "mvn", FETCHING)
    jars = kafka_jars(tmp_path)
    (jars / "stale.jar").touch()
    changed = tmp_path / "pom.xml"
    changed.write_text(java.POM.read_text() + "<!-- changed -->")
    monkeypatch.setattr(java, "POM", changed)
    assert cached_jars(tmp_path) is None
    assert not (kafka_jars(tmp_path) / "stale.jar").exists()


def test_failed_fetch_shows_mavens_first_error_and_leaves_no_jars(
    bare_machine: Path, tmp_path: Path
) -> None:
    said = "[INFO] hello\\n[ERROR] central: Unknown host\\n[ERROR] To see the stack trace"
    program(bare_machine / "mvn", FETCHING + f"printf '{said}'; exit 1")
    with pytest.raises(ConfigurationError, match=r"central: Unknown host .*settings\.xml"):
        kafka_jars(tmp_path / "cache")
    assert cached_jars(tmp_path / "cache") is None
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_fetch_that_never_ends_is_given_up(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare_machine / "mvn", "")

    def never(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", never)
    with pytest.raises(ConfigurationError, match="had not fetched Kafka after 900 s"):
        kafka_jars(tmp_path)


# --- what is declared


def test_topics_are_declared_as_the_design_says() -> None:
    topics = {topic.name: topic for topic in declared_topics(Settings(), 12)}
    assert {name: topic.partitions for name, topic in topics.items()} == {
        "transactions": 12,
        "transactions.rekeyed": 12,
        "segment-changes": 12,
        "partition-journal": 12,
        "transactions.dead-letter": 1,
        "scorecards": 1,
        "customer-samples": 1,
    }
    for name in (
        "transactions",
        "transactions.rekeyed",
        "transactions.dead-letter",
        "partition-journal",
    ):
        assert topics[name].settings["retention.ms"] == "-1"
    assert topics["scorecards"].settings == {"cleanup.policy": "compact"}
    assert topics["customer-samples"].settings == {
        "cleanup.policy": "compact",
        "segment.bytes": "16777216",
    }


@pytest.mark.parametrize("record_bytes_max", [1, 1_048_576, 100_000_000])
def test_dead_letter_topic_takes_larger_batches_than_transactions(record_bytes_max: int) -> None:
    settings = Settings(record_bytes_max=record_bytes_max)
    limits = {
        topic.name: int(topic.settings.get("max.message.bytes", 0))
        for topic in declared_topics(settings, 1)
    }
    assert record_bytes_max < limits["transactions"] == limits["transactions.rekeyed"]
    assert limits["transactions"] < limits["transactions.dead-letter"]


def test_topic_names_come_from_settings() -> None:
    settings = Settings(transactions_topic="kassa", samples_topic="proben")
    names = [topic.name for topic in declared_topics(settings, 1)]
    assert names[0] == "kassa"
    assert names[-1] == "proben"


def test_cluster_ids_are_kafkas() -> None:
    made = {new_cluster_id() for _ in range(500)}
    assert len(made) == 500
    assert {len(each) for each in made} == {22}
    assert not any(each.startswith("-") for each in made)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("", "it said nothing."),
        ("one\ntwo\n\tat x.Main", "two"),
        ('Exception in thread "main" x.E$Error: bad\n\tat x', "x.E$Error: bad"),
        ("a.BException: outer\nCaused by: a.CException: inner\nbye", "a.BException: outer"),
    ],
)
def test_first_exception_is_what_kafka_complains_of(said: str, complaint: str) -> None:
    assert complaint_in(said) == complaint


# --- the folder


def test_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "franz.txt").write_text("Der Prozess")
    local = LocalStack(tmp_path, machine=ready_machine(tmp_path.parent / "machine"))
    with pytest.raises(ConfigurationError, match="holds something else"):
        local.start()
    local.stop(wipe=True)
    assert (tmp_path / "kafka" / "franz.txt").exists()


def test_stack_never_started_has_no_address_and_stops_at_will(tmp_path: Path) -> None:
    local = LocalStack(tmp_path / "new")
    with pytest.raises(ConfigurationError, match="never started"):
        _ = local.kafka
    assert local.stop() == ()
    assert [server.running for server in local.status()] == [False, False]
    assert not (tmp_path / "new").exists()


def ready_machine(folder: Path) -> StackSettings:
    """Settings of a machine that has a Java and jars, neither of any use."""
    java_of("17", folder / "home")
    jars = folder / f"kafka-{kafka_version()}"
    jars.mkdir()
    (jars / "pom.sha256").write_text(java._stamp())
    return StackSettings(cache=folder, java_home=folder / "home")


def test_taken_port_is_refused_and_a_temporary_folder_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "is_free", lambda _: False)
    local = LocalStack(kafka_port=9092, machine=ready_machine(tmp_path))
    with pytest.raises(ConfigurationError, match="Port 9092 is taken"):
        local.start()
    assert not local.folder.exists()


# --- the command


def test_status_of_nothing_says_down_and_fails(tmp_path: Path) -> None:
    result = run(stack, ["status", "--json", "--folder", str(tmp_path / "none")])
    assert result.exit_code == 69
    said = json.loads(result.stdout)
    assert said["up"] is False
    assert said["kafka"]["running"] is said["redis"]["running"] is False
    assert "down" in run(stack, ["status", "--folder", str(tmp_path / "none")]).stdout


def test_down_of_nothing_says_so(tmp_path: Path) -> None:
    result = run(stack, ["down", "--folder", str(tmp_path / "none")])
    assert result.exit_code == 0
    assert "nothing runs" in result.stderr


def test_up_without_java_says_what_to_install(bare_machine: Path, tmp_path: Path) -> None:
    result = run(stack, ["up", "--folder", str(tmp_path / "stack")])
    assert result.exit_code == 78
    assert "needs Java 17 or newer" in result.stderr
    assert result.stdout == ""


def test_impossible_setting_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERSCORE_STACK_PARTITIONS", "many")
    result = run(stack, ["status", "--folder", str(tmp_path)])
    assert result.exit_code == 78
    assert "EVERSCORE_STACK_PARTITIONS" in result.stderr
    assert "'many'" in result.stderr


def test_logs_of_both_are_named_and_cut(tmp_path: Path) -> None:
    for name in ("kafka", "redis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.log").write_text("one\ntwo\nthree\n")
    both = run(stack, ["logs", "-n", "1", "--folder", str(tmp_path)])
    assert both.stdout == "kafka | three\nredis | three\n"
    one = run(stack, ["logs", "redis", "-n", "2", "--folder", str(tmp_path)])
    assert one.stdout == "two\nthree\n"
