"""Servers of two ages, and the two ways in which they run the script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from ops.embedded.redis_server import EmbeddedRedis
from tests.support.prob_alive_script import TEXT, Ask
from tests.support.redis_servers import (
    BUNDLED,
    FUNCTIONS_SINCE,
    INSTALLED,
    redis_of_age,
    version_of,
)
from tests.support.services_report import RAN_ON


@pytest.fixture(
    scope="module",
    params=[(BUNDLED, "script"), (INSTALLED, "script"), (INSTALLED, "function")],
    ids=" ".join,
)
def served(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[tuple[EmbeddedRedis, str]]:
    """A server, and a way to run it there."""
    kind, way = request.param
    with redis_of_age(kind, tmp_path_factory.mktemp("redis")) as running:
        with redis.Redis.from_url(running.url) as client:
            if way == "function" and version_of(client) < FUNCTIONS_SINCE:
                pytest.skip("the redis-server that is installed knows no functions")
        yield running, way


@pytest.fixture
def server(served: tuple[EmbeddedRedis, str]) -> EmbeddedRedis:
    return served[0]


@pytest.fixture
def client(server: EmbeddedRedis, record_property) -> Iterator[redis.Redis]:
    record_property(RAN_ON, "a Redis of their own")
    with redis.Redis.from_url(server.url, decode_responses=True) as opened:
        opened.flushall()
        yield opened


@pytest.fixture
def call(served: tuple[EmbeddedRedis, str], client: redis.Redis) -> tuple[str, str]:
    """The command, and what it calls."""
    if served[1] == "script":
        return "EVALSHA", client.script_load(TEXT)
    client.execute_command("FUNCTION", "LOAD", "REPLACE", f"#!lua name=everscore\n{TEXT}")
    return "FCALL_RO", "prob_alive"


@pytest.fixture
def ask(client: redis.Redis, call: tuple[str, str]) -> Ask:
    """Call it with keys and arguments."""
    return lambda keys, *args: client.execute_command(*call, len(keys), *keys, *args)
