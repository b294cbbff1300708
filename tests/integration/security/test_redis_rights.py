"""What each user may ask of Redis, and of which keys, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from ops.stack.local import LocalStack
from tests.support.seat import (
    Seat,
)

pytestmark = pytest.mark.integration


FORBIDDEN = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG SET maxmemory 1mb",
    "CONFIG GET *",
    "CONFIG REWRITE",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "DBSIZE",
    "SHUTDOWN NOSAVE",
    "ACL LIST",
    "ACL SETUSER worker on nopass ~* +@all",
    "ACL WHOAMI",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "REPLICAOF 127.0.0.1 1",
    "BGSAVE",
    "SAVE",
    "SCRIPT FLUSH",
    "FUNCTION LIST",
    "MODULE LIST",
    "SLOWLOG GET",
    "SELECT 1",
    "UNLINK customer:1",
    "EXPIRE customer:1 1",
    "RENAME customer:1 customer:2",
    "DUMP customer:1",
    "EVAL return(1) 0",
    "SUBSCRIBE a",
    "PUBLISH a b",
]
WRITES = [
    "HSET customer:1 segment Champions",
    "HSETNX installation partitions 9",
    "HINCRBY partition:0 epoch 1",
    "SET scorecard:current mine",
    "RESTORE customer:9 0 x",
    "ZADD due:0 1 nobody",
    "XADD outbox:0 * messages x",
    "XTRIM outbox:0 MAXLEN 0",
    "DEL customer:1",
    "HDEL erased:0 x",
    "ZREM due:0 nobody",
]
ELSEWHERE = [
    "HSET other:1 a b",
    "HGETALL other:1",
    "DEL other:1",
    "SET x y",
    "RESTORE x 0 x",
    "GET x",
    "HSET customers a b",
    "HGETALL us:customer:1",
    "SET scorecard:other x",
]


def refused(client: redis.Redis, command: str) -> bool:
    try:
        client.execute_command(*command.split())
    except redis.exceptions.NoPermissionError:
        return True
    return False


def test_debug_is_allowed_to_nobody_at_all(stack: LocalStack) -> None:
    for user in ("admin", "worker", "support"):
        with Seat(stack, user).redis() as client, pytest.raises(redis.exceptions.ResponseError):
            client.execute_command("DEBUG", "SLEEP", "0")


@pytest.fixture
def untouched(stack: LocalStack) -> Iterator[None]:
    """What is in Redis before is in Redis afterwards."""

    def everything() -> dict[bytes, bytes]:
        with Seat(stack, "admin").redis() as client:
            return {key: client.dump(key) for key in client.scan_iter()}  # type: ignore[misc]

    with Seat(stack, "admin").redis() as client:
        client.hset("customer:1", "segment", "Loyal")
        client.hset("other:1", "a", "theirs")
    before = everything()
    assert before
    yield
    assert everything() == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("user", ["worker", "support", "auditor", "eraser"])
def test_dangerous_commands_are_refused(stack: LocalStack, user: str) -> None:
    with Seat(stack, user).redis() as client:
        for command in FORBIDDEN + ELSEWHERE:
            assert refused(client, command), command


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("user", ["support", "auditor", "eraser"])
def test_those_who_look_may_look_at_all_and_write_nothing(stack: LocalStack, user: str) -> None:
    with Seat(stack, user).redis() as client:
        for command in WRITES:
            assert refused(client, command), command
        assert client.hget("customer:1", "segment") == b"Loyal"
        assert client.hgetall("partition:0") is not None
        assert "redis_version" in client.info()  # type: ignore[operator]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("user", ["worker", "support", "auditor", "eraser"])
def test_scripts_may_do_no_more_than_their_caller(stack: LocalStack, user: str) -> None:
    bodies = [
        "return redis.call('FLUSHALL')",
        "return redis.call('KEYS', '*')",
        "return redis.call('CONFIG', 'GET', '*')",
        "return redis.call('DEL', 'other:1')",
        "return redis.call('HGETALL', 'other:1')",
        "return redis.call('HSET', 'other:1', 'a', 'ours')",
    ]
    if user != "worker":
        bodies.append("return redis.call('HSET', 'customer:1', 'segment', 'Champions')")
        bodies.append("return redis.call('DEL', 'customer:1')")
    with Seat(stack, user).redis() as client:
        for body in bodies:
            sha = client.script_load(body)
            with pytest.raises(
                redis.exceptions.ResponseError,
                match=r"ACL|permission|executing the script can't|not allowed from script",
            ):
                client.evalsha(sha, 0)  # type: ignore[arg-type]
        sha = client.script_load("return redis.call('HGET', 'customer:1', 'segment')")
        assert client.evalsha(sha, 0) == b"Loyal"  # type: ignore[arg-type]


def test_redis_knows_nobody_without_a_password(stack: LocalStack) -> None:
    ca = str(Seat(stack, "worker").settings.redis_ca)
    with redis.Redis.from_url(stack.redis, ssl_ca_certs=ca) as nobody:
        for command in ("PING", "INFO", "HGETALL customer:1"):
            with pytest.raises(redis.exceptions.AuthenticationError):
                nobody.execute_command(*command.split())
    for user in ("producer", "reader", "default"):
        with (
            redis.Redis.from_url(
                stack.redis, ssl_ca_certs=ca, username=user, password=""
            ) as stranger,
            pytest.raises(redis.exceptions.AuthenticationError),
        ):
            stranger.ping()
