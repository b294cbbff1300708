"""The API over a real Redis, asked by somebody who means no good."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ops.api.app import build_app
from ops.api.changes_memory import ChangesMemory
from ops.api.keys import KeyFile, utc_now
from ops.api.metrics import Metrics
from ops.api.policy import Role
from ops.api.settings import ApiSettings
from ops.api.start import join
from ops.api.watch import Watch
from ops.embedded.redis_server import EmbeddedRedis
from ops.lookup import Lookup
from state.redis_store import RedisStore
from streams.settings import Settings
from tests.support.hostile_ids import HOSTILE_IDS
from tests.support.purchases import Run, cdnow_of
from tests.support.services_report import RAN_ON

pytestmark = pytest.mark.integration

# What a client of ours sends by itself.
OUR_OWN = {"info", "config|resetstat", "config", "scan", "dump", "ping", "hello", "client|setinfo"}

# Those refuse in the shape of older model services.
OLDER = {"/predict", "/segment"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as running:
        yield running


@pytest.fixture
def watched(server: EmbeddedRedis, record_property) -> Iterator[redis.Redis]:
    record_property(RAN_ON, "a Redis of their own")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
async def asker(
    server: EmbeddedRedis, watched: redis.Redis, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """Who holds an admin's key of an API over twenty customers, counted once."""
    settings = Settings(_env_file=None, redis=server.url)
    store = RedisStore(server.url)
    await store.found({"partitions": "4"})
    run = await Run(4, settings, store).start()
    await run.feed(cdnow_of(20), 500)
    own = ApiSettings(keys=tmp_path / "keys.json", audit=tmp_path / "audit.jsonl")
    _, key = KeyFile(own.keys).create("mallory", Role.ADMIN, now=utc_now())
    lookup, metrics = Lookup(store, settings), Metrics()

    async def no_ends(_partitions: int) -> None:
        return None

    memory = ChangesMemory(10)
    memory.begin(dict.fromkeys(range(4), 0))
    memory.caught_up = memory.following = True
    service = join(own, lookup, memory, metrics, Watch(lookup, no_ends, metrics))
    await service.census.count()
    await lookup.partitions()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build_app(service)),
        base_url="http://everscore",
        headers={"Authorization": f"Bearer {key}"},
    ) as client:
        yield client
    await store.close()


def everything(watched: redis.Redis) -> dict[bytes, Any]:
    return {key: watched.dump(key) for key in watched.scan_iter()}


def commands(watched: redis.Redis) -> set[str]:
    """What was asked of Redis since its statistics were reset."""
    found = watched.info("commandstats")
    return {name.removeprefix("cmdstat_") for name in found} - OUR_OWN


async def ask_all(asker: httpx.AsyncClient, text: str) -> list[httpx.Response]:
    """Everywhere where somebody may give a text."""
    quoted = "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
    paths = (
        *(f"/customers/{quoted}{further}" for further in ("", "/outlook", "/history")),
        f"/customers/{quoted}?at=1998-06-30",
        f"/customers/00003?at={quoted}",
        f"/customers/00003/outlook?days={quoted}",
        f"/segments/{quoted}/customers",
        f"/segments/Champions/customers?cursor={quoted}",
        *(f"/changes?{name}={quoted}" for name in ("from", "last", "cause", "kind")),
    )
    bodies = {
        "/customers:batchGet": {"ids": ["00003", text]},
        "/predict": {"frequency": text, "recency": 1, "T": 2},
        "/segment": {"recency": text, "frequency": 1, "monetary": 1},
    }
    answers = [await asker.get(path) for path in paths]
    answers += [await asker.post(path, content=json.dumps(body)) for path, body in bodies.items()]
    return answers


@pytest.mark.parametrize("text", HOSTILE_IDS)
async def test_hostile_text_anywhere_is_refused_and_asks_nothing_of_redis(
    asker: httpx.AsyncClient, watched: redis.Redis, text: str
) -> None:
    before = everything(watched)
    assert len(before) > 20
    watched.config_resetstat()
    for answer in await ask_all(asker, text):
        assert 400 <= answer.status_code < 500, (answer.request.url, answer.text)
        kind = "json" if answer.request.url.path in OLDER else "problem+json"
        assert answer.headers["content-type"] == f"application/{kind}", answer.request.url
    assert commands(watched) == set()
    assert everything(watched) == before
    assert (await asker.get("/customers/00003")).status_code == 200
    assert commands(watched)  # the statistics do see us
