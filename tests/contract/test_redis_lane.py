"""One connection for all who ask: whose answer is whose, and what becomes of them when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError

from ops.embedded.redis_server import EmbeddedRedis
from schemas.errors import ConfigurationError, FencedError, StoreUnavailableError
from state.fields import FIELDS
from state.keys import Keys
from state.redis_access import RedisAccess
from state.redis_lane import RedisLane
from state.redis_store import RedisStore
from state.store import Checkpoint, SliceCommit
from tests.chaos.tcp_proxy import Door, LoseReply, containing
from tests.support.services_report import RAN_ON

CUSTOMERS = [f"C-{number}" for number in range(300)]


def card(customer_id: str) -> tuple[str | bytes, ...]:
    return (*(f"{name} of {customer_id}" for name in FIELDS[:-1]), customer_id.encode())


@pytest.fixture(scope="module")
def own_server(tmp_path_factory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def server(own_server, record_property) -> EmbeddedRedis:
    record_property(RAN_ON, "a Redis of their own")
    return own_server


@pytest.fixture
async def store(server: EmbeddedRedis) -> AsyncIterator[RedisStore]:
    made = RedisStore(server.url, Keys("lane:"))
    before = await made.acquire(0, "w")
    rows = [card(customer_id) for customer_id in CUSTOMERS]
    due = [1.0] * len(CUSTOMERS)
    await made.commit_slice(SliceCommit(0, before, before, CUSTOMERS, rows, due))
    yield made
    with redis.Redis.from_url(server.url) as admin:
        admin.flushdb()
    await made.close()


@pytest.fixture
async def door(server: EmbeddedRedis) -> AsyncIterator[Door]:
    opened = await Door(("127.0.0.1", int(server.url.rsplit(":", 1)[1].split("/")[0]))).open()
    yield opened
    opened.flowing.set()
    await opened.shut()


async def see_all(store: RedisStore) -> None:
    """Everybody gets the answer to their own question."""
    found = await asyncio.gather(*(store.glimpse(0, name) for name in CUSTOMERS))
    for name, glimpse in zip(CUSTOMERS, found, strict=True):
        assert glimpse.fields is not None
        assert glimpse.fields["ledger"] == name.encode()


async def test_many_at_once_share_one_connection_and_each_gets_their_own(
    server: EmbeddedRedis, store: RedisStore
) -> None:
    with redis.Redis.from_url(server.url) as admin:
        await store.glimpse(0, "C-0")
        before = admin.info("stats")
        await see_all(store)
        after = admin.info("stats")
    assert after["total_connections_received"] == before["total_connections_received"]
    # The two INFOs apart, two commands for each: nothing was asked twice.
    assert after["total_commands_processed"] - before["total_commands_processed"] in (600, 601)


async def test_refused_command_is_its_askers_alone(
    server: EmbeddedRedis, store: RedisStore
) -> None:
    lane = store._link.lane
    with redis.Redis.from_url(server.url) as admin:
        admin.set("text", "no hash")
    get, wrong = b"*2\r\n$3\r\nGET\r\n$4\r\ntext\r\n", b"*2\r\n$7\r\nHGETALL\r\n$4\r\ntext\r\n"
    first, second, third = await asyncio.gather(
        lane.ask(get, 1), lane.ask(wrong + get, 2), lane.ask(get + get, 2), return_exceptions=True
    )
    assert (first, third) == ([b"no hash"], [b"no hash"] * 2)
    assert isinstance(second, ResponseError)
    await see_all(store)


async def test_user_without_the_right_is_told_and_the_others_are_not_disturbed(
    server: EmbeddedRedis, store: RedisStore
) -> None:
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "blind", "on", ">hush", "~*", "-@all", "+info")
    blind = RedisStore(server.url, Keys("lane:"), RedisAccess(username="blind", password="hush"))
    with pytest.raises(ConfigurationError, match=r"blind.*ops/security"):
        await blind.glimpse(0, "C-0")
    await blind.close()
    assert issubclass(NoPermissionError, ResponseError)
    await see_all(store)


async def test_lost_connection_is_not_felt_by_who_asks_next(
    server: EmbeddedRedis, store: RedisStore
) -> None:
    await see_all(store)
    with redis.Redis.from_url(server.url) as admin:
        for client in admin.client_list():
            if int(client["id"]) != admin.client_id():
                admin.client_kill_filter(_id=client["id"])
    await see_all(store)


async def test_server_away_is_told_at_once_and_found_again(store: RedisStore, door: Door) -> None:
    behind = RedisStore(f"redis://127.0.0.1:{door.port}/0", Keys("lane:"))
    await see_all(behind)
    door.closed = True
    await door.cut()
    told = await asyncio.gather(
        *(behind.glimpse(0, name) for name in CUSTOMERS[:9]), return_exceptions=True
    )
    assert [type(error) for error in told] == [StoreUnavailableError] * 9
    door.closed = False
    await see_all(behind)
    await behind.close()


async def test_silent_server_is_given_up_and_its_late_answers_reach_nobody(
    store: RedisStore, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.redis_link._ANSWER_SECONDS_MAX", 0.2)
    behind = RedisStore(f"redis://127.0.0.1:{door.port}/0", Keys("lane:"))
    await behind.glimpse(0, "C-0")
    door.flowing.clear()
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        await behind.glimpse(0, "C-1")
    door.flowing.set()
    monkeypatch.setattr(behind._link.lane, "_seconds_max", 10.0)
    await see_all(behind)
    await behind.close()


async def test_asker_who_goes_away_takes_nobodys_answer(store: RedisStore, door: Door) -> None:
    behind = RedisStore(f"redis://127.0.0.1:{door.port}/0", Keys("lane:"))
    await behind.glimpse(0, "C-0")
    door.flowing.clear()
    leaving = asyncio.create_task(behind.glimpse(0, "C-1"))
    staying = asyncio.create_task(behind.glimpse(0, "C-2"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    door.flowing.set()
    found = await staying
    assert found.fields is not None
    assert found.fields["ledger"] == b"C-2"
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await see_all(behind)
    await behind.close()


async def test_store_closed_under_those_who_wait_tells_them(store: RedisStore, door: Door) -> None:
    behind = RedisStore(f"redis://127.0.0.1:{door.port}/0", Keys("lane:"))
    await behind.glimpse(0, "C-0")
    door.flowing.clear()
    waiting = [asyncio.create_task(behind.glimpse(0, name)) for name in CUSTOMERS[:3]]
    await asyncio.sleep(0.05)
    await behind.close()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in told] == [StoreUnavailableError] * 3


async def test_store_closed_before_it_has_begun_to_ask_tells_who_waits(store: RedisStore) -> None:
    waiting = asyncio.create_task(store.glimpse(0, "C-0"))
    await asyncio.sleep(0)  # it has asked, and nothing was sent yet
    await store.close()
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailableError):
            await waiting


async def test_fault_of_ours_is_each_askers_and_the_lane_goes_on(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object) -> None:
        raise RuntimeError("of all things")

    with monkeypatch.context() as patch:
        patch.setattr(RedisLane, "_read", broken)
        with pytest.raises(RuntimeError, match="of all things"):
            await store.glimpse(0, "C-0")
    await see_all(store)
    assert (await store.checkpoint(0)).commits == Checkpoint().commits


async def commit(store: RedisStore, before: Checkpoint) -> Checkpoint:
    after = replace(before, commits=before.commits + 1)
    await store.commit_slice(SliceCommit(0, before, after, ["C-0"], [card("C-0")], [2.0]))
    return after


async def test_script_that_redis_no_longer_knows_is_loaded_again(
    server: EmbeddedRedis, store: RedisStore
) -> None:
    before = await store.checkpoint(0)
    with redis.Redis.from_url(server.url) as admin:
        admin.script_flush()
    after = await commit(store, before)
    assert (await store.checkpoint(0)).commits == after.commits
    assert await store.load_many(0, ["C-1", "nobody"]) != [None, None]


async def test_slice_whose_reply_was_lost_is_written_once(store: RedisStore, door: Door) -> None:
    behind = RedisStore(f"redis://127.0.0.1:{door.port}/0", Keys("lane:"))
    before = await behind.checkpoint(0)
    after = await commit(behind, before)  # the script is known from now on
    door.tap = LoseReply(containing(b"EVALSHA"))
    with pytest.raises(FencedError):  # it was written, and who asks again is told so
        await commit(behind, after)
    assert door.tap.done.is_set()
    assert (await store.checkpoint(0)).commits == after.commits + 1
    await behind.close()


async def test_slices_and_questions_of_one_moment_get_their_own_answers(
    store: RedisStore,
) -> None:
    before = await store.checkpoint(0)
    stale = replace(before, commits=before.commits + 7)
    done, refused, seen, _ = await asyncio.gather(
        commit(store, before),
        commit(store, stale),
        store.load_many(0, CUSTOMERS),
        store.trim_outbox(0, "1-0"),
        return_exceptions=True,
    )
    assert isinstance(done, Checkpoint)
    assert isinstance(refused, FencedError)
    assert isinstance(seen, list)
    assert [fields["ledger"] for fields in seen if fields] == [name.encode() for name in CUSTOMERS]
