"""The page about Redis by hand: every line of it was typed, and this is what was answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ops.embedded.redis_server import EmbeddedRedis
from ops.security.roles import key_patterns
from state.fields import FIELDS
from state.keys import Keys
from state.redis_store import RedisStore
from streams.settings import Settings
from tests.support.purchases import Run, cdnow_of
from tests.support.redis_servers import (
    FUNCTIONS_SINCE,
    INSTALLED,
    redis_of_age,
    type_lines,
    version_of,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "ops" / "direct-redis.md").read_text(encoding="utf-8")
LOADED = "FUNCTION LOAD"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[EmbeddedRedis]:
    with redis_of_age(INSTALLED, tmp_path_factory.mktemp("redis")) as running:
        with redis.Redis.from_url(running.url) as client:
            if version_of(client) < FUNCTIONS_SINCE:
                pytest.skip("the redis-server that is installed knows no functions")
        yield running


def typed() -> list[tuple[str, str]]:
    """Every line of the page, and what it shows below; what loads the function comes first."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = [
        (line, shown)
        for block in blocks
        for line, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)
    ]
    return sorted(lines, key=lambda one: LOADED not in one[0])


async def test_every_line_of_the_page_answers_what_the_page_shows(server: EmbeddedRedis) -> None:
    store = RedisStore(server.url)
    await store.found({"partitions": "4", "timezone": "UTC", "currency": "USD"})
    run = await Run(4, Settings(_env_file=None, redis=server.url), store).start()
    await run.feed(cdnow_of(1_000), 500)
    await run.sweep()
    await store.close()
    lines = typed()
    assert len(lines) > 10
    assert type_lines(server.url, [line for line, _ in lines]) == [shown for _, shown in lines]


def test_every_field_and_every_key_is_on_the_page() -> None:
    for field in FIELDS:
        assert f"`{field}`" in PAGE, field
    for pattern in key_patterns(Keys()):
        family = pattern.removesuffix("*")
        assert f"`{family}" in PAGE, family
