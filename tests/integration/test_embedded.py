"""The embedded broker and store, started for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer

from ops.embedded.kafka_broker import EmbeddedKafka
from ops.embedded.redis_server import EmbeddedRedis
from ops.embedded.stack import EmbeddedStack
from schemas.errors import ConfigurationError
from tests.support.services_report import RAN_ON

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _ran_on(record_property: Callable[[str, object], None]) -> None:
    record_property(RAN_ON, "an in-memory broker or a Redis of their own")


def partitions(bootstrap: str) -> dict[str, int]:
    metadata = Producer({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=10)
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_stack_serves_the_topics_asked_for_and_a_store_that_never_evicts() -> None:
    with EmbeddedStack({"transactions": 7}) as stack:
        stack.create_topic("segment-changes", 3)
        stack.create_topic("segment-changes", 3)
        assert partitions(stack.kafka) == {"transactions": 7, "segment-changes": 3}
        with redis.Redis.from_url(stack.redis) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
    with pytest.raises(ConfigurationError):
        _ = stack.redis


def test_impossible_topic_is_refused() -> None:
    with EmbeddedKafka() as broker, pytest.raises(ConfigurationError, match="have 0 partitions"):
        broker.create_topic("transactions", 0)


def test_store_keeps_its_directory_and_port_over_a_restart(tmp_path: Path) -> None:
    first = EmbeddedRedis(tmp_path)
    with first, redis.Redis.from_url(first.url) as client:
        port = int(client.connection_pool.connection_kwargs["port"])
        client.set("kept", "yes")
    second = EmbeddedRedis(tmp_path, port=port)
    with second, redis.Redis.from_url(second.url) as client:
        assert client.get("kept") == b"yes"


def test_store_is_not_ready_before_its_data_is_loaded(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first, redis.Redis.from_url(first.url) as client:
        fill = "for number = 1, 300000 do redis.call('SET', 'key-' .. number, number) end"
        client.eval(fill, 0)
    with EmbeddedRedis(tmp_path) as second, redis.Redis.from_url(second.url) as client:
        assert client.get("key-300000") == b"300000"


def test_taken_port_is_reported() -> None:
    with EmbeddedRedis() as running:
        port = int(running.url.split(":")[-1].split("/")[0])
        with pytest.raises(ConfigurationError, match=f"did not start on port {port}"):
            EmbeddedRedis(port=port).start()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_store_dies_with_a_killed_parent() -> None:
    program = (
        "import time; from ops.embedded.redis_server import EmbeddedRedis\n"
        "server = EmbeddedRedis().start(); print(server.url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        os.kill(parent.pid, signal.SIGKILL)
    with redis.Redis.from_url(url) as client:
        deadline = time.monotonic() + 10
        while answers(client):
            assert time.monotonic() < deadline
            time.sleep(0.02)
