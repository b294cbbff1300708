"""What only a server can do wrong: evict, be too old, go away; and where its keys lie on a cluster."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from ops.embedded.redis_server import EmbeddedRedis
from schemas.errors import ConfigurationError, InvalidTransactionError, StoreUnavailableError
from state.fields import FIELDS
from state.keys import Keys
from state.redis_store import RedisStore
from state.store import Checkpoint, SliceCommit
from tests.chaos.tcp_proxy import Door
from tests.support.access import open_redis, open_store
from tests.support.services_report import RAN_ON

CARD = (*("x" for _ in FIELDS[:-1]), b"ledger")
CALLS = {
    "check": (),
    "acquire": (0, "w"),
    "reserve": (0, "w", 1.0),
    "forget": (0, Checkpoint(), ["c"]),
    "rebuilt": (),
    "note_rebuilt": ((0, 3), 1.0),
    "checkpoint": (0,),
    "load_many": (0, ["c"]),
    "glimpse": (0, "c"),
    "commit_slice": (SliceCommit(0, Checkpoint(), Checkpoint()),),
    "due": (0, 1, 1),
    "next_due_us": (0,),
    "customers": (0, 0, 10),
    "reviews": (0, 0, 10),
    "inspect": (("ping",),),
    "tombstones": (0,),
    "outbox": (0, "", 10),
    "trim_outbox": (0, "1-0"),
    "installation": (),
    "found": ({"partitions": "4"},),
    "scorecards": (),
    "current_scorecard": (),
    "save_learning": (b"{}",),
    "learning": (),
}


@pytest.fixture(scope="module")
def own_server(tmp_path_factory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def server(own_server, record_property) -> EmbeddedRedis:
    """A server of our own to be ill-treated."""
    record_property(RAN_ON, "a Redis of their own")
    return own_server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_server_that_may_evict_is_refused_with_its_policy(server, policy):
    store = RedisStore(server.url)
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("maxmemory-policy", policy)
        try:
            with pytest.raises(ConfigurationError, match=f"{policy}.*Set maxmemory-policy noevict"):
                await store.check()
        finally:
            admin.config_set("maxmemory-policy", "noeviction")
    await store.check()
    await store.close()


@pytest.mark.parametrize(
    ("version", "accepted"), [("6.0.16", False), ("5.9", False), ("7.10.1", True)]
)
async def test_server_too_old_for_the_scripts_is_refused(
    redis_store, monkeypatch, version, accepted
):
    async def info():
        return {"redis_version": version, "maxmemory_policy": "noeviction"}

    monkeypatch.setattr(redis_store._redis, "info", info)
    if accepted:
        await redis_store.check()
    else:
        with pytest.raises(ConfigurationError, match=f"version {version}.*6.2 or later"):
            await redis_store.check()


@pytest.mark.parametrize("name", CALLS)
async def test_absent_server_is_unavailable_and_its_password_is_not_shown(name):
    port = free_port()
    store = RedisStore(f"redis://user:secret@127.0.0.1:{port}/0")
    with pytest.raises(
        StoreUnavailableError, match=f"127.0.0.1:{port}/0 does not answer"
    ) as caught:
        await getattr(store, name)(*CALLS[name])
    assert caught.value.retriable
    assert "secret" not in str(caught.value)
    await store.close()


async def test_every_call_of_the_store_is_tried_on_an_absent_server():
    public = {name for name in vars(RedisStore) if not name.startswith("_")}
    assert public - set(CALLS) == {"save_scorecard", "close"}
    store = RedisStore(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(StoreUnavailableError):
        await store.save_scorecard("v", b"", current=True)
    await store.close()


async def test_partitions_that_a_rebuild_is_through_with_are_remembered_until_it_ends(redis_store):
    assert await redis_store.rebuilt() == set()
    await redis_store.note_rebuilt({3, 0, 11}, 60.0)
    assert await redis_store.rebuilt() == {0, 3, 11}
    await redis_store.note_rebuilt((), 0.0)
    assert await redis_store.rebuilt() == set()


async def test_scripts_are_loaded_again_when_the_server_has_forgotten_them(server):
    store = RedisStore(server.url, Keys("scripts:"))
    before = await store.acquire(0, "w")
    with redis.Redis.from_url(server.url) as admin:
        admin.script_flush()
    await store.commit_slice(SliceCommit(0, before, before, ["c"], [CARD], [1.0], b"o"))
    assert (await store.load_many(0, ["c"]))[0] == {
        name: value if isinstance(value, bytes) else value.encode()
        for name, value in zip(FIELDS, CARD, strict=True)
    }
    await store.close()


async def test_store_goes_on_where_it_was_once_its_server_is_back(tmp_path: Path, record_property):
    record_property(RAN_ON, "a Redis of their own")
    port = free_port()
    store = RedisStore(f"redis://127.0.0.1:{port}/0")
    with EmbeddedRedis(tmp_path, port=port):
        before = (await store.acquire(0, "w")).moved("transactions", 0)
        after = before.moved("transactions", 3)
        entry = await store.commit_slice(SliceCommit(0, before, after, ["c"], [CARD], [5.0], b"o"))
    with pytest.raises(StoreUnavailableError):
        await store.commit_slice(SliceCommit(0, after, after.moved("transactions", 9)))
    with EmbeddedRedis(tmp_path, port=port):
        assert await store.checkpoint(0) == after
        assert await store.outbox(0, "", 10) == [(entry, b"o")]
        assert await store.due(0, 5_000_000, 10) == ["c"]
        again = await store.commit_slice(SliceCommit(0, after, after, outbox=b"p"))
        assert [found for found, _ in await store.outbox(0, entry, 10)] == [again]
    await store.close()


@pytest.mark.parametrize("bad", ["a b", "a\nb{c}", "*", ""])
async def test_id_that_may_not_become_a_key_is_refused_unread(redis_store, bad):
    with pytest.raises(InvalidTransactionError, match="is not a customer id"):
        await redis_store.load_many(0, ["good", bad])
    with pytest.raises(InvalidTransactionError, match="is not a customer id"):
        await redis_store.glimpse(0, bad)


def hash_tag(key: str) -> str:
    """What Redis Cluster hashes: the text between the first brace and the next closing one."""
    start = key.index("{") + 1
    return key[start : key.index("}", start)]


async def test_all_keys_that_a_slice_writes_on_a_cluster_share_its_hash_tag(at_redis, prefix):
    store = open_store(at_redis, Keys(prefix, cluster=True))
    ids = ["C-42", "Zoë", "a:b", "42"]
    for partition in (3, 42):
        before = await store.acquire(partition, "w")
        await store.commit_slice(
            SliceCommit(partition, before, before, ids, [CARD] * 4, [1.0] * 4, b"o")
        )
    with open_redis(at_redis) as admin:
        keys = [key.decode() for key in admin.scan_iter(f"{prefix}*")]
    assert len(keys) == 2 * (len(ids) + 3)
    for partition in (3, 42):
        assert sum(hash_tag(key) == str(partition) for key in keys) == len(ids) + 3
    await store.close()


async def test_everything_a_store_writes_begins_with_its_prefix(server):
    prefix = "everything:"
    with redis.Redis.from_url(server.url) as admin:
        earlier = set(admin.scan_iter())
        store = RedisStore(server.url, Keys(prefix))
        before = await store.acquire(0, "w")
        await store.commit_slice(SliceCommit(0, before, before, ["c"], [CARD], [1.0], b"o"))
        await store.found({"partitions": "1"})
        await store.save_scorecard("v", b"{}", current=True)
        await store.save_learning(b"{}")
        written = {key.decode() for key in set(admin.scan_iter()) - earlier}
    assert {key.removeprefix(prefix) for key in written} == {
        "customer:c",
        "partition:0",
        "outbox:0",
        "due:0",
        "installation",
        "scorecards",
        "scorecard:current",
        "learning",
    }
    await store.close()


async def test_full_server_is_unavailable_until_it_has_room_and_has_written_nothing(server):
    store = RedisStore(server.url, Keys("full:"))
    slice_of_one = SliceCommit(0, Checkpoint(), Checkpoint(commits=1), ["c"], [CARD], [1.0])
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")
        try:
            for call, arguments in (
                (store.acquire, (0, "w")),
                (store.commit_slice, (slice_of_one,)),
                (store.found, ({"partitions": "4"},)),
            ):
                with pytest.raises(StoreUnavailableError, match="its memory is full"):
                    await call(*arguments)
            assert await store.checkpoint(0) == Checkpoint()
            assert await store.load_many(0, ["c"]) == [None]
        finally:
            client.config_set("maxmemory", "0")
        await store.commit_slice(slice_of_one)
        assert (await store.checkpoint(0)).commits == 1
    await store.close()


async def test_welcome_client_that_is_turned_away_at_the_door_waits_and_a_stranger_is_told(server):
    async with open_door(server) as door:
        store = RedisStore(f"redis://127.0.0.1:{door.port}/0")
        await store.check()
        door.closed = True
        await door.cut()
        with pytest.raises(StoreUnavailableError, match="closed the connection"):
            await store.check()
        stranger = RedisStore(f"redis://127.0.0.1:{door.port}/0")
        with pytest.raises(ConfigurationError, match="closed the connection"):
            await stranger.check()
        door.closed = False
        await store.check()
        await store.close()
        await stranger.close()


@asynccontextmanager
async def open_door(server: EmbeddedRedis) -> AsyncIterator[Door]:
    """A proxy in front of a server."""
    with redis.Redis.from_url(server.url) as client:
        kept = client.connection_pool.connection_kwargs
    door = await Door((kept["host"], kept["port"])).open()
    try:
        yield door
    finally:
        await door.shut()
