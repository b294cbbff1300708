"""The local stack for real: Apache Kafka and Redis, restarted, killed, and gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from ops.stack.java import find_java, kafka_jars, kafka_version, shares_classes
from ops.stack.local import LocalStack
from ops.stack.processes import is_free
from ops.stack.settings import StackSettings
from ops.stack.topics import Topic, declared_topics
from schemas.errors import ConfigurationError
from streams.settings import Settings

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
GONE_SECONDS_MAX = 15.0
PARTITIONS = 3
TOPICS = declared_topics(Settings.model_construct(), PARTITIONS)


@pytest.fixture(scope="module")
def stack(machine: StackSettings) -> Iterator[LocalStack]:
    with LocalStack(topics=TOPICS, machine=machine) as running:
        yield running


def publish(bootstrap: str, value: bytes, topic: str = "transactions") -> None:
    refused: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "acks": "all"})
    producer.produce(topic, value, partition=0, on_delivery=lambda why, _: refused.append(why))
    assert producer.flush(30) == 0
    assert refused == [None]


def values(bootstrap: str, topic: str = "transactions") -> list[bytes | None]:
    """All records of a topic's first partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "test-stack-reads",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
        consumer.assign([TopicPartition(topic, 0, first)])
        return [message.value() for message in consumer.consume(end - first, timeout=30)]
    finally:
        consumer.close()


def runs(pid: int) -> bool:
    """Whether a process is there, zombies of a container without an init left aside."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it went this moment, or there is no /proc
        return sys.platform != "linux"
    return state != "Z"


def wait_until_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while any(runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- Kafka and Redis as they must be


def test_topics_are_as_declared(stack: LocalStack) -> None:
    admin = AdminClient({"bootstrap.servers": stack.kafka, "log_level": 0})
    found = admin.list_topics(timeout=30).topics
    assert {topic.name for topic in TOPICS} <= found.keys()
    resources = {topic.name: ConfigResource("TOPIC", topic.name) for topic in TOPICS}  # type: ignore[arg-type]
    answers = admin.describe_configs(list(resources.values()))
    for topic in TOPICS:
        assert len(found[topic.name].partitions) == topic.partitions
        settings = answers[resources[topic.name]].result(30)
        assert {name: settings[name].value for name in topic.settings} == topic.settings


def test_creating_topics_again_changes_nothing_and_tells_differences(stack: LocalStack) -> None:
    again = stack.create_topics(TOPICS)
    assert (again.created, again.differing) == ((), ())
    other = stack.create_topics(
        [
            Topic("scorecards", 2, {"cleanup.policy": "delete"}),
            Topic("brand-new", 2),
        ]
    )
    assert other.created == ("brand-new",)
    assert other.differing == (
        "topic 'scorecards' has 1 partitions, declared are 2",
        "topic 'scorecards' has cleanup.policy=compact, declared is delete",
    )


def test_impossible_topic_is_refused_with_kafkas_reason(stack: LocalStack) -> None:
    with pytest.raises(ConfigurationError, match=r"topic 'impossible': Invalid\w+Error"):
        stack.create_topic("impossible", 0)


async def test_stack_serves_tests_that_run_a_loop(stack: LocalStack) -> None:
    stack.create_topic("from-a-loop", 1)
    assert all(server.answers for server in stack.status())


def test_topic_nobody_created_stays_absent(stack: LocalStack) -> None:
    producer = Producer({"bootstrap.servers": stack.kafka, "log_level": 0})
    assert producer.list_topics("never-created", timeout=30).topics["never-created"].error
    assert "never-created" not in producer.list_topics(timeout=30).topics


def test_dead_letter_topic_takes_what_transactions_refuses(stack: LocalStack) -> None:
    producer = Producer(
        {"bootstrap.servers": stack.kafka, "message.max.bytes": 10_000_000, "log_level": 0}
    )
    outcome: dict[str | None, bool] = {}
    for topic in ("transactions", "transactions.dead-letter"):
        producer.produce(
            topic,
            os.urandom(4_000_000),
            partition=0,
            on_delivery=lambda why, message: outcome.update({message.topic(): why is None}),
        )
    assert producer.flush(30) == 0
    assert outcome == {"transactions": False, "transactions.dead-letter": True}


def test_store_never_evicts_and_logs_every_write(stack: LocalStack) -> None:
    with redis.Redis.from_url(stack.redis) as client:
        for name, value in {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }.items():
            assert client.config_get(name) == {name: value}


# --- restarts


def test_record_survives_a_clean_restart_of_kafka(stack: LocalStack) -> None:
    address = stack.kafka
    publish(address, b"before the restart")
    stack.stop_kafka()
    assert not stack.status()[0].running
    stack.start_kafka()
    assert stack.kafka == address
    assert b"before the restart" in values(address)


def test_record_survives_a_killed_kafka(stack: LocalStack) -> None:
    publish(stack.kafka, b"before the kill")
    stack.kill_kafka()
    assert not stack.status()[0].running
    stack.start_kafka()
    assert b"before the kill" in values(stack.kafka)
    publish(stack.kafka, b"after the kill")
    assert values(stack.kafka)[-1] == b"after the kill"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_write_survives_redis(stack: LocalStack, how: str) -> None:
    with redis.Redis.from_url(stack.redis) as client:
        client.set(f"test-stack:{how}", "kept")
        while client.info("persistence")["aof_buffer_length"] > 0:  # type: ignore[index]
            time.sleep(0.01)  # a slow disk delays the write by up to two seconds
    stack.stop_redis() if how == "stop" else stack.kill_redis()
    assert not stack.status()[1].running
    stack.start_redis()
    with redis.Redis.from_url(stack.redis) as client:
        assert client.get(f"test-stack:{how}") == b"kept"


def test_kafka_runs_from_its_class_archive_and_without_one(
    machine: StackSettings, tmp_path: Path
) -> None:
    jars = kafka_jars(machine.cache)
    cache = tmp_path / "cache"
    shutil.copytree(jars, cache / jars.name, ignore=shutil.ignore_patterns("*.jsa"))
    local = LocalStack(tmp_path / "stack", machine=machine.model_copy(update={"cache": cache}))
    with local:
        pass
    archives = list((cache / jars.name).glob("*.jsa"))
    if not shares_classes(find_java(machine.java_home)):
        assert archives == []
        pytest.skip("this Java has no archive of its own classes to build upon")
    assert len(archives) == 1
    with local:
        arguments = Path(f"/proc/{local.status()[0].pid}/cmdline")
        if arguments.exists():
            assert f"-XX:SharedArchiveFile={archives[0]}" in arguments.read_text()
            assert str(archives[0]) in Path(f"/proc/{local.status()[0].pid}/maps").read_text()


def test_start_of_what_runs_is_refused(stack: LocalStack) -> None:
    with pytest.raises(ConfigurationError, match="it is taken"):
        stack.start_kafka()
    with pytest.raises(ConfigurationError, match="it is taken"):
        stack.start_redis()


# --- when it cannot start, and when it ends


def test_port_of_somebody_else_is_refused(machine: StackSettings, tmp_path: Path) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        assert not is_free(port)
        local = LocalStack(tmp_path / "stack", redis_port=port, machine=machine)
        with pytest.raises(ConfigurationError, match=f"Port {port} is taken"):
            local.start()
    assert is_free(port)
    assert not any(server.running for server in local.status())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"kafka_settings": {"log.dirs": ""}}, "could not format"),
        ({"kafka_settings": {"num.io.threads": "0"}}, "num.io.threads"),
        ({"redis_settings": {"maxmemory-policy": "sometimes"}}, "redis-server did not start"),
    ],
)
def test_server_that_cannot_start_is_reported_and_the_other_stopped(
    machine: StackSettings, settings: dict[str, Any], complaint: str
) -> None:
    local = LocalStack(machine=machine, **settings)
    with pytest.raises(ConfigurationError, match=complaint):
        local.start()
    assert not any(server.running for server in local.status())
    assert not local.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_temporary_servers_die_with_a_killed_parent(machine: StackSettings, tmp_path: Path) -> None:
    program = (
        "import time; from ops.stack.local import LocalStack\n"
        "stack = LocalStack(); stack.start()\n"
        "print(*(server.pid for server in stack.status()), stack.folder, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:
        assert parent.stdout is not None
        kafka, redis_pid, _folder = parent.stdout.readline().split()
        assert runs(int(kafka))
        assert runs(int(redis_pid))
        parent.kill()
    wait_until_gone([int(kafka), int(redis_pid)])


# --- the command


def everscore_stack(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from ops.cli.stack import stack; stack()", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_command_brings_up_keeps_and_takes_down(machine: StackSettings, tmp_path: Path) -> None:
    where = ["--folder", str(tmp_path / "stack")]
    up = everscore_stack("up", "--partitions", "2", *where)
    try:
        assert up.returncode == 0, up.stderr
        assert f"Kafka {kafka_version()} and Redis" in up.stderr
        said = json.loads(everscore_stack("status", "--json", *where).stdout)
        kafka = said["kafka"]["address"]
        assert up.stdout.splitlines() == [
            f"export EVERSCORE_KAFKA={kafka}",
            f"export EVERSCORE_REDIS=redis://{said['redis']['address']}/0",
        ]
        assert said["up"]
        assert said["kafka"]["version"] == kafka_version()
        publish(kafka, b"kept")

        again = everscore_stack("up", *where)
        assert (again.returncode, again.stdout) == (0, up.stdout)
        assert "are up already, since" in again.stderr
        assert "'transactions' has 2 partitions, declared are 4" in again.stderr
        elsewhere = everscore_stack("up", "--kafka-port", "1", *where)
        assert elsewhere.returncode == 78
        assert "kafka runs already" in elsewhere.stderr

        assert "KafkaRaftServer" in everscore_stack("logs", "kafka", "-n", "1000", *where).stdout
        assert "Ready to accept" in everscore_stack("logs", "redis", *where).stdout
    finally:
        down = everscore_stack("down", *where)
    pids = [said[name]["pid"] for name in ("kafka", "redis")]
    assert "stopped kafka and redis" in down.stderr
    assert "killed" not in down.stderr
    wait_until_gone(pids)
    assert everscore_stack("status", *where).returncode == 69

    back = everscore_stack("up", "--partitions", "2", *where)
    try:
        assert (back.returncode, back.stdout) == (0, up.stdout)  # where it was
        assert "differs" not in back.stderr
        assert values(kafka) == [b"kept"]
    finally:
        wiped = everscore_stack("down", "--wipe", *where)
    assert "removed data and logs" in wiped.stderr
    assert [path.name for path in (tmp_path / "stack").iterdir()] == ["stack.json"]
