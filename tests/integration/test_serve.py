"""`everscore serve` as a process, beside a worker."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from ops.api.census import Census
from ops.api.metrics import Metrics
from ops.api.watch import Watch
from ops.demo_servers import settings_for
from ops.embedded.redis_server import EmbeddedRedis
from ops.lookup import Lookup
from ops.security.roles import Role, redis_rules
from schemas.errors import ConfigurationError, UnknownCustomerError
from streams.connections import redis_store
from tests.support.access import open_async_redis
from tests.support.installation import REPOSITORY, Installation
from tests.support.purchases import Purchase, Run, cdnow_of

pytestmark = pytest.mark.integration

NEVER_LEARN = {"first_fit_customers": 10**9}
SECONDS_MAX = 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this API keeps its keys and its audit log."""
    monkeypatch.setenv("EVERSCORE_API_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.setenv("EVERSCORE_API_AUDIT", str(tmp_path / "audit.jsonl"))
    monkeypatch.setenv("EVERSCORE_API_PORT", "0")
    monkeypatch.setenv("EVERSCORE_API_CENSUS_SECONDS", "0.2")
    return tmp_path


@contextmanager
def serving(here: Installation, folder: Path, *options: str) -> Iterator[str]:
    """A running API; its address."""
    log = folder / "serve.log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli.main", "serve", *options],
            cwd=REPOSITORY,
            env=here.environment,
            stdout=words,
            stderr=words,
        )
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while (found := re.search(r"http://\S+:\d+", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield found[0]
    finally:
        process.terminate()
        code = process.wait(SECONDS_MAX)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()


async def key_of(here: Installation, role: str) -> dict[str, str]:
    made = await here.run("key", "create", f"a-{role}", "--role", role, "--json")
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}


async def until(ask: Any, reached: Any) -> Any:
    """Ask until the answer is as wanted."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        answer = await ask()
        if answer.status_code == 200 and reached(answer.json()):
            return answer.json()
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.1)


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, **headers: str
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    """A stream of changes: (event id, change)."""
    async with client.stream("GET", "/changes", headers=headers, timeout=SECONDS_MAX) as response:
        assert response.status_code == 200, await response.aread()

        async def events() -> AsyncIterator[tuple[str, dict[str, Any]]]:
            last = ""
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    last = value
                elif name == "data":
                    yield last, json.loads(value)

        yield events()


async def test_api_answers_what_the_commands_do_and_tells_changes_as_they_come(
    services, folder: Path
) -> None:
    purchases = cdnow_of(300)
    early = [p for p in purchases if p.day < purchases[-1].day - 30]
    late = purchases[len(early) :]
    async with Installation(services, folder, **NEVER_LEARN) as here:
        here.start_worker()
        await here.produce([(p.value, p.customer_id) for p in early])
        await here.until(lambda p: p.read == len(early))
        await here.settled()
        key = await key_of(here, "pii-reader")
        with serving(here, folder) as address:
            async with httpx.AsyncClient(base_url=address, headers=key, timeout=30) as client:
                assert (await client.get("/health/live", headers={"Authorization": ""})).is_success
                assert (
                    await client.get("/welcome", headers={"Authorization": ""})
                ).status_code == 401

                lookup = json.loads((await here.run("lookup", "00003", "--json")).stdout)
                profile = (await client.get("/customers/00003")).json()
                shared = lookup.keys() - {"next_changes"}
                assert {name: profile[name] for name in shared} == {
                    name: lookup[name] for name in shared
                }
                fresh = await until(
                    lambda: client.get("/customers/00003"),
                    lambda one: one["freshness"]["lag_records"] == 0,
                )
                assert fresh["freshness"]["looked_at"]

                history = await until(
                    lambda: client.get("/customers/00003/history"),
                    lambda one: one["remembered"]["caught_up"],
                )
                assert history["complete"]
                assert history["told"] == profile["sequence"]
                explained = json.loads((await here.run("explain", "00003", "--json")).stdout)
                last = explained["last_changes"]
                assert history["changes"][-len(last) :] == last

                segments = (await client.get("/segments")).json()
                assert segments["customers"] == 300
                assert sum(one["customers"] for one in segments["segments"]) == 300

                async with listening(client) as events:
                    # The stream is open as soon as its headers came.
                    await here.produce([(p.value, p.customer_id) for p in late])
                    seen = [await anext(events) for _ in range(3)]
                await here.until(lambda p: p.read == len(purchases))
                await here.settled()
                total = sum(int(fields["sequence"]) for fields in (await here.hashes()).values())
                known = int(segments["remembered"]["changes"])
                async with listening(client, **{"Last-Event-ID": seen[-1][0]}) as events:
                    seen += [await anext(events) for _ in range(total - known - 3)]
                changes = [change for _, change in seen]
                assert len({change["id"] for change in changes}) == total - known
                by_customer: dict[str, list[int]] = {}
                for change in changes:
                    by_customer.setdefault(change["customer_id"], []).append(change["sequence"])
                for sequences in by_customer.values():
                    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
        assert {line["action"] for line in lines} == {"customer", "history", "changes"}


async def test_api_tells_why_records_could_not_be_counted_and_serves_the_console(
    services, folder: Path
) -> None:
    async with Installation(services, folder, **NEVER_LEARN) as here:
        key = await key_of(here, "admin")
        here.start_worker()
        await here.produce([(b"no JSON at all", "00003")])
        with serving(here, folder) as address:
            async with httpx.AsyncClient(base_url=address, headers=key, timeout=30) as client:

                def told(state: Any) -> bool:
                    return bool(
                        state["dead_letters"]["counted"] and state["dead_letters"]["latest"]
                    )

                state = await until(lambda: client.get("/service"), told)
                # One more, while it listens.
                await here.produce([(p.value, p.customer_id) for p in cdnow_of(5)])
                await here.produce([(b'{"amount": "<b>"}', "00004")])
                state = await until(
                    lambda: client.get("/service"),
                    lambda one: (
                        one["dead_letters"]["counted"] == 2
                        and len(one["dead_letters"]["latest"]) == 2
                    ),
                )
                newest = state["dead_letters"]["latest"][0]
                assert newest["source"].startswith(here.settings.transactions_topic)
                assert newest["message"]
                assert sum(one["letters"] for one in state["dead_letters"]["reasons"]) == 2
                page = await client.get("/", headers={"Authorization": ""})
                assert page.status_code == 200
                assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_api_without_keys_says_how_to_make_one_and_ends(services, folder: Path) -> None:
    async with Installation(services, folder, **NEVER_LEARN) as here:
        refused = await here.run("serve")
        assert refused.returncode == 78
        assert "everscore key create" in refused.stderr


async def test_api_before_any_worker_is_not_ready_and_is_so_afterwards(
    services, folder: Path
) -> None:
    async with Installation(services, folder, **NEVER_LEARN) as here:
        key = await key_of(here, "admin")
        with serving(here, folder) as address:
            async with httpx.AsyncClient(base_url=address, headers=key, timeout=30) as client:
                assert (await client.get("/health/ready")).status_code == 503
                assert (await client.get("/customers/00003")).status_code == 503
                here.start_worker()
                slashed = Purchase("till/7", 10_000, 500, "slashed")
                bought = (*cdnow_of(20), slashed)
                await here.produce([(p.value, p.customer_id) for p in bought])
                ready = await until(
                    lambda: client.get("/health/ready"), lambda one: one["changes"] == "caught up"
                )
                assert ready["status"] == "ready"
                await until(
                    lambda: client.get("/customers/00003"), lambda one: one["frequency"] == 5
                )
                await until(
                    lambda: client.get("/customers/till%2F7"),
                    lambda one: one["customer_id"] == "till/7",
                )


async def test_api_does_with_what_the_support_user_may_do_in_redis() -> None:
    with EmbeddedRedis() as server:
        settings = settings_for("127.0.0.1:1", server.url)
        admin = redis_store(settings)
        run = await Run(4, settings, admin).start()
        await admin.found({"partitions": "4"})
        await run.feed(cdnow_of(20), 500)
        async with open_async_redis(settings) as client:
            rules = redis_rules(Role.SUPPORT, settings.keys)
            await client.execute_command("ACL", "SETUSER", "support", "on", ">hush", *rules)
        store = redis_store(
            settings_for(
                "127.0.0.1:1",
                server.url,
                redis_username="support",
                redis_password=SecretStr("hush"),
            )
        )
        await store.check()
        lookup, metrics = Lookup(store, settings), Metrics()
        assert (await lookup.find("00003", 0)).profile()["frequency"] == 5
        with pytest.raises(UnknownCustomerError):
            await lookup.find("nobody", 0)
        census = Census(lookup, str.encode, 1, 100, metrics)
        assert (await census.count()).customers == 20

        async def no_ends(_partitions: int) -> None:
            return None

        await Watch(lookup, no_ends, metrics).look()
        with pytest.raises(ConfigurationError, match="support"):
            await store.found({"partitions": "5"})
        await store.close()
        await admin.close()
