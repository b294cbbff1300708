"""What a real Redis tells of itself and of our rights, and that nothing changes by asking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from ops.doctor.permissions import needed_commands
from ops.embedded.redis_server import EmbeddedRedis
from ops.security.roles import Role, redis_rules
from schemas.errors import StoreUnavailableError
from state.inspection import RedisFacts
from state.keys import Keys
from state.redis_access import RedisAccess
from state.redis_store import RedisStore

WORKER = needed_commands(Role.WORKER)
SUPPORT = needed_commands(Role.SUPPORT)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A server of our own: these tests make users."""
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture
def admin(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def stores(redis_url: str, prefix: str) -> AsyncIterator[list[RedisStore]]:
    opened: list[RedisStore] = []
    yield opened
    for store in opened:
        await store.close()


async def facts_of(
    redis_url: str,
    prefix: str,
    admin: redis.Redis,
    stores: list[RedisStore],
    rules: list[str],
    commands: tuple[str, ...],
) -> RedisFacts:
    """What a user of these rules learns."""
    name = prefix.replace(":", "-")
    admin.execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", *rules)
    try:
        store = RedisStore(redis_url, Keys(prefix), RedisAccess(name, "secret"))
        stores.append(store)
        return await store.inspect(commands)
    finally:
        admin.execute_command("ACL", "DELUSER", name)


async def test_who_may_do_everything_learns_everything(
    redis_url: str, prefix: str, admin: redis.Redis, stores: list[RedisStore]
) -> None:
    stores.append(RedisStore(redis_url, Keys(prefix)))
    facts = await stores[0].inspect(WORKER)
    assert facts.info["redis_version"] == admin.info("server")["redis_version"]  # type: ignore[index]
    assert facts.config == {
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    assert facts.user == "default"
    assert (facts.refused, facts.untried) == ({}, ())
    assert facts.ping_ms > 0
    # One machine, one clock: whatever is seen is the time that asking took.
    assert facts.ahead_seconds is not None
    assert abs(facts.ahead_seconds) <= facts.error_seconds + 0.01


@pytest.mark.parametrize("role", [Role.WORKER, Role.SUPPORT])
async def test_role_is_refused_nothing_that_it_needs(
    redis_url: str, prefix: str, admin: redis.Redis, stores: list[RedisStore], role: Role
) -> None:
    rules, needed = redis_rules(role, Keys(prefix)), needed_commands(role)
    facts = await facts_of(redis_url, prefix, admin, stores, rules, needed)
    assert facts.refused == {}
    assert facts.info
    assert facts.config is None  # not for them to ask


# `exec` is never sent: what is queued is thrown away.
@pytest.mark.parametrize("command", sorted(set(WORKER) - {"exec"}))
async def test_each_command_that_is_forbidden_is_found_refused(
    redis_url: str, prefix: str, admin: redis.Redis, stores: list[RedisStore], command: str
) -> None:
    rules = [rule for rule in redis_rules(Role.WORKER, Keys(prefix)) if rule != f"+{command}"]
    facts = await facts_of(redis_url, prefix, admin, stores, rules, WORKER)
    words = command.replace("|", " ").upper()
    assert facts.refused
    assert {name.startswith(words) for name in facts.refused} == {True}
    assert bool(facts.untried) is (command == "multi")


async def test_key_that_is_forbidden_is_found_refused_with_its_name(
    redis_url: str, prefix: str, admin: redis.Redis, stores: list[RedisStore]
) -> None:
    rules = [rule for rule in redis_rules(Role.WORKER, Keys(prefix)) if "outbox" not in rule]
    facts = await facts_of(redis_url, prefix, admin, stores, rules, WORKER)
    assert set(facts.refused) == {
        f"{name} {prefix}outbox:0" for name in ("XRANGE", "XADD", "XTRIM")
    }


async def test_support_that_may_not_queue_is_told_by_reading_alone(
    redis_url: str, prefix: str, admin: redis.Redis, stores: list[RedisStore]
) -> None:
    rules = [*redis_rules(Role.SUPPORT, Keys(prefix)), "-zscan"]
    facts = await facts_of(redis_url, prefix, admin, stores, rules, SUPPORT)
    assert set(facts.refused) == {f"ZSCAN {prefix}due:0"}
    assert facts.untried == ("SCRIPT LOAD",)


async def test_asking_writes_nothing(
    redis_url: str, prefix: str, admin: redis.Redis, stores: list[RedisStore]
) -> None:
    before = admin.info("persistence")["rdb_changes_since_last_save"]  # type: ignore[index]
    stores.append(RedisStore(redis_url, Keys(prefix)))
    await stores[0].inspect(WORKER)
    assert admin.info("persistence")["rdb_changes_since_last_save"] == before  # type: ignore[index]
    assert list(admin.scan_iter(f"{prefix}*")) == []


async def test_full_redis_is_found_to_refuse_writes(
    redis_url: str, prefix: str, admin: redis.Redis, stores: list[RedisStore]
) -> None:
    stores.append(RedisStore(redis_url, Keys(prefix)))
    admin.config_set("maxmemory", "1")
    try:
        facts = await stores[0].inspect(WORKER)
    finally:
        admin.config_set("maxmemory", "0")
    assert f"HSET {prefix}partition:0" in facts.refused
    assert "maxmemory" in facts.refused[f"HSET {prefix}partition:0"]
    assert f"HGETALL {prefix}partition:0" not in facts.refused


async def test_redis_that_is_away_is_unavailable(stores: list[RedisStore]) -> None:
    stores.append(RedisStore("redis://127.0.0.1:1/0"))
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        await stores[0].inspect(WORKER)
