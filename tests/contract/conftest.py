"""The session's Redis for all contract tests; each has its own key prefix, nothing is flushed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from state.keys import Keys
from state.memory_store import MemoryStore
from state.redis_store import RedisStore
from state.store import Store
from streams.settings import Settings
from tests.support.access import open_store
from tests.support.loops import fast_loop
from tests.support.services import Services
from tests.support.services_report import RAN_ON

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
_ON_BOTH_LOOPS = {"test_event_loops.py", "test_redis_lane.py"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    own: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    return own | {"fast": fast_loop} if item.path.name in _ON_BOTH_LOOPS else own


@pytest.fixture
def at_redis(services: Services, record_property: Callable[[str, object], None]) -> Settings:
    record_property(RAN_ON, services.redis_name)
    return services.settings()


@pytest.fixture
def prefix(services: Services) -> str:
    return f"{services.new_name()}:"


@pytest.fixture
async def redis_store(at_redis: Settings, prefix: str) -> AsyncIterator[RedisStore]:
    store = open_store(at_redis, Keys(prefix=prefix))
    yield store
    await store.close()


@pytest.fixture(params=["memory", "redis", "redis-cluster-keys"])
async def store(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Store]:
    if request.param == "memory":
        made: Store = MemoryStore()
    else:
        cluster = request.param == "redis-cluster-keys"
        made = open_store(request.getfixturevalue("at_redis"), Keys(prefix, cluster=cluster))
    yield made
    await made.close()
