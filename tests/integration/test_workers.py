"""Several workers on a real broker under a steady load: restarts of theirs and of the servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ops.change_feed import change_of
from streams.settings import Settings
from tests.support.access import open_async_redis
from tests.support.installation import Installation
from tests.support.purchases import Run, cdnow_of
from tests.support.services import Services
from tests.support.steady_load import SteadyLoad, steady_load

pytestmark = pytest.mark.integration

RATE = 2_000
IDLE_SECONDS_MAX = 10.0
NEVER_LEARN = {"first_fit_customers": 10**9}
# Where in the log a customer's last record stands, and the topic's name, are this run's own.
OF_THE_RUN = {"source", "ledger"}


async def pause(seconds: float) -> None:
    """Let the load run on."""
    await asyncio.sleep(seconds)


async def assert_counted_once(here: Installation, load: SteadyLoad) -> None:
    """Every purchase once, every state and change as if nothing had happened."""
    produced = len(load.purchases)
    progress = await here.until(lambda p: p.read == produced)
    assert (progress.applied, progress.duplicates, progress.dead) == (produced, 0, 0)
    await here.settled()
    undisturbed = await Run(here.partitions, Settings(**NEVER_LEARN)).start()
    await undisturbed.feed(load.purchases, 500)
    await undisturbed.sweep()
    found, expected = await here.hashes(), undisturbed.hashes()
    assert found.keys() == expected.keys()
    for customer_id, fields in expected.items():
        got = {k: v for k, v in found[customer_id].items() if k not in OF_THE_RUN}
        assert got == {k: v for k, v in fields.items() if k not in OF_THE_RUN}
    assert set(await changes_of(here)) == {change["id"] for change in undisturbed.changes()}


async def changes_of(here: Installation) -> dict[str, Any]:
    """Bodies of the published changes by id; the same id with two bodies fails."""
    bodies: dict[str, Any] = {}
    for change in map(change_of, await here.records(here.settings.changes_topic)):
        assert bodies.setdefault(change["id"], change) == change
    return bodies


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static membership"])
async def test_join_leave_and_rolling_restart_under_load_count_once_and_stand_still_briefly(
    services: Services, tmp_path: Path, static: bool
) -> None:
    services.needs_real_kafka("keeps a group that rebalances waiting for its session timeout")
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        names = ["first", "second", "third"] if static else [None] * 3
        workers = [here.start_worker(instance=name) for name in names[:2]]
        await here.shared_by(2)
        async with steady_load(here, RATE) as load:
            await here.until(lambda p: p.applied > RATE)
            load.idle_seconds.clear()
            third = here.start_worker(instance=names[2])  # joins
            await here.shared_by(3)
            await pause(2)
            third.terminate()  # leaves
            assert await asyncio.to_thread(third.wait) == 0
            await pause(4)
            for number in (0, 1):
                workers[number].terminate()
                assert await asyncio.to_thread(workers[number].wait) == 0
                workers[number] = here.start_worker(instance=names[number])
                await pause(5)
        await assert_counted_once(here, load)
        assert max(load.idle_seconds.values()) < IDLE_SECONDS_MAX, load.idle_seconds


@pytest.mark.parametrize("server", ["kafka", "redis"])
async def test_server_stopped_and_killed_under_load_is_waited_for_and_nothing_is_lost(
    services: Services, tmp_path: Path, server: str
) -> None:
    stack = services.restartable()
    async with Installation(services, tmp_path, **NEVER_LEARN) as here:
        workers = [here.start_worker() for _ in range(2)]
        await here.shared_by(2)
        async with steady_load(here, RATE) as load:
            for end in (f"stop_{server}", f"kill_{server}"):
                before = (await here.until(lambda _: True)).applied
                await here.until(lambda p, before=before: p.applied > before + RATE)
                await asyncio.to_thread(getattr(stack, end))
                await pause(3)
                await asyncio.to_thread(getattr(stack, f"start_{server}"))
            before = (await here.until(lambda _: True)).applied
            await here.until(lambda p: p.applied > before + RATE)
        await assert_counted_once(here, load)
        assert [worker.poll() for worker in workers] == [None, None]
        async with asyncio.timeout(30):  # a worker looks at its connections every other second
            while not all(" goes on after " in worker.log.read_text() for worker in workers):  # type: ignore[attr-defined]
                await pause(0.1)
    for worker in workers:
        assert worker.returncode == 0
        said = worker.log.read_text()  # type: ignore[attr-defined]
        assert f"waiting: {server.capitalize()} at " in said
        assert "does not answer" in said
        assert " goes on after " in said
        assert "Traceback" not in said


async def test_flushed_redis_is_noticed_while_idle_and_every_change_is_told_again_under_its_id(
    services: Services, tmp_path: Path
) -> None:
    purchases = cdnow_of(1_500)
    async with Installation(services, tmp_path) as here:
        for _ in range(2):
            here.start_worker()
        await here.shared_by(2)
        await here.produce([(p.value, p.customer_id) for p in purchases])
        await here.until(lambda p: p.read == len(purchases))
        await scored_alike(here)
        hashes, installation = await here.hashes(), await here.store.installation()
        adoptions = await adoptions_of(here)
        assert {len(adopted) for adopted in adoptions} != {1}, "nothing was learnt"
        changes = await changes_of(here)
        assert {change["cause"] for change in changes.values()} >= {"silence", "scorecard"}

        async with open_async_redis(here.settings) as redis:
            # What FLUSHALL does to this installation; the others' keys on the server stay.
            keys = [key async for key in redis.scan_iter(f"{here.settings.key_prefix}*")]
            assert await redis.unlink(*keys) == len(keys) > len(hashes)
        await here.until(lambda p: p.read == len(purchases))
        await scored_alike(here)
        assert await here.store.installation() == installation
        assert await adoptions_of(here) == adoptions
        assert await here.hashes() == hashes
        assert await changes_of(here) == changes


async def adoptions_of(here: Installation) -> list[Any]:
    """What each partition was scored by, and since when."""
    return [(await here.store.checkpoint(p)).adoptions for p in range(here.partitions)]


async def scored_alike(here: Installation) -> None:
    """Wait until learning, re-scoring and silence have come to rest."""
    while True:
        before = await here.hashes()
        await here.settled()
        current = await here.store.current_scorecard()
        adopted = {adoptions[-1][1] for adoptions in await adoptions_of(here) if adoptions}
        scored = {fields["scorecard"].decode() for fields in before.values()}
        if adopted == scored == {current}:
            await pause(2)  # the learner looks once a second
            if await here.hashes() == before:
                return
        await pause(0.2)
