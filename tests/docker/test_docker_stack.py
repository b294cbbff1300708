"""Kafka and Redis in containers by testcontainers: the stack that tests and the demo start."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from redis import Redis

from ops.stack.containers import kafka_answers, redis_answers
from ops.stack.docker import DockerStack, docker_missing
from ops.stack.topics import Topic
from schemas.errors import ConfigurationError
from tests.support.compose_project import REPOSITORY, docker, inspect

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images")]


@pytest.fixture(scope="module")
def stack(images: None) -> Iterator[DockerStack]:
    with DockerStack(topics=[Topic("transactions", 4, {"retention.ms": "-1"})]) as running:
        yield running


def port_of(address: str) -> int:
    return int(address.removesuffix("/0").rpartition(":")[2])


def containers() -> list[str]:
    """Those of this process."""
    return docker("ps", "-aq", "--filter", f"label=everscore.owner-pid={os.getpid()}").split()


def test_nothing_is_missing_where_engine_and_images_are():
    assert docker_missing() is None


def test_topics_of_the_start_are_there_with_their_settings(stack):
    again = stack.create_topics([Topic("transactions", 4, {"retention.ms": "-1"})])
    assert (again.created, again.differing) == ((), ())
    (difference,) = stack.create_topics([Topic("transactions", 5)]).differing
    assert "4 partitions" in difference


def test_servers_listen_on_this_machine_alone(stack):
    published = [
        binding["HostIp"]
        for container in containers()
        for bindings in inspect(container)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]
    assert published == ["127.0.0.1", "127.0.0.1"]


def test_redis_never_evicts_and_keeps_what_it_was_told_through_a_kill(stack):
    with Redis.from_url(stack.redis) as client:
        client.set("kept", "yes")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
    stack.kill_redis()
    assert not redis_answers(port_of(stack.redis))
    stack.start_redis()
    with Redis.from_url(stack.redis) as client:
        assert client.get("kept") == b"yes"


@pytest.mark.parametrize("how", ["kill_kafka", "stop_kafka"])
def test_kafka_comes_back_where_it_was_with_its_topics(stack, how):
    where = stack.kafka
    getattr(stack, how)()
    assert not kafka_answers(port_of(where))
    stack.start_kafka()
    assert stack.kafka == where
    assert stack.create_topics([Topic("transactions", 4)]).created == ()


def test_second_start_is_refused(stack):
    with pytest.raises(ConfigurationError, match="runs already"):
        stack.start()


def test_stack_that_ends_leaves_no_container():
    before = set(containers())
    with DockerStack() as running:
        assert len(set(containers()) - before) == 2
        port = port_of(running.redis)
    assert set(containers()) == before
    assert not redis_answers(port)
    with pytest.raises(ConfigurationError, match="does not run"):
        _ = running.kafka


def test_setting_that_kafka_refuses_is_named_and_nothing_is_left():
    before = set(containers())
    broken = DockerStack(kafka_settings={"log.retention.bytes": "many"})
    with pytest.raises(ConfigurationError, match=r"log\.retention\.bytes"):
        broken.start()
    assert set(containers()) == before


def test_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            DockerStack(redis_port=port).start()


def test_containers_of_a_killed_process_go_with_the_next_start():
    killed = """
import os, signal
from ops.stack.docker import DockerStack
DockerStack().start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.Popen([sys.executable, "-c", killed], cwd=REPOSITORY)
    process.wait(180)
    orphans = f"label=everscore.owner-pid={process.pid}"
    assert len(docker("ps", "-q", "--filter", orphans).split()) == 2
    with DockerStack():
        assert docker("ps", "-aq", "--filter", orphans).split() == []
