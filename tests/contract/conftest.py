"""One real Redis for all contract tests; every test has its own key prefix, nothing is flushed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from ops.embedded.redis_server import EmbeddedRedis
from state.keys import Keys
from state.memory_store import MemoryStore
from state.redis_store import RedisStore
from state.store import Store


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture
def prefix() -> str:
    return f"contract:{uuid4().hex}:"


@pytest.fixture
async def redis_store(redis_url: str, prefix: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_url, Keys(prefix=prefix))
    yield store
    await store.close()


@pytest.fixture(params=["memory", "redis", "redis-cluster-keys"])
async def store(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Store]:
    if request.param == "memory":
        made: Store = MemoryStore()
    else:
        cluster = request.param == "redis-cluster-keys"
        made = RedisStore(request.getfixturevalue("redis_url"), Keys(prefix, cluster=cluster))
    yield made
    await made.close()
