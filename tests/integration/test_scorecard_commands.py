"""`everscore fit` and `everscore scorecard` on real servers, with a worker that goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.access import open_async_redis
from tests.support.installation import Installation
from tests.support.purchases import cdnow_of
from tests.support.services import Services

pytestmark = pytest.mark.integration

CUSTOMERS = 800
RESCORED_SECONDS_MAX = 60.0


async def scored_by(here: Installation, version: str) -> dict[str, tuple[bytes, bytes]]:
    """Segment and lifecycle of everyone, once all are scored by a scorecard."""
    prefix = f"{here.settings.key_prefix}customer:"
    async with asyncio.timeout(RESCORED_SECONDS_MAX), open_async_redis(here.settings) as redis:
        while True:
            found = {}
            async for key in redis.scan_iter(f"{prefix}*", count=1_000):
                segment, lifecycle, card = await redis.hmget(
                    key, "segment", "lifecycle", "scorecard"
                )
                if card == version.encode():
                    found[key.decode()] = segment, lifecycle
            if len(found) == CUSTOMERS:
                return found
            await asyncio.sleep(0.2)


async def said(here: Installation, *words: str) -> str:
    run = await here.run(*words, seconds=120)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


async def test_fit_promote_and_rollback_lead_every_customer_there_and_back(
    services: Services, tmp_path: Path
) -> None:
    values = [(purchase.value, purchase.customer_id) for purchase in cdnow_of(CUSTOMERS)]
    never = 1_000_000  # the learner leaves this to us
    async with Installation(services, tmp_path, first_fit_customers=never) as here:
        here.start_worker()
        await here.produce(values)
        await here.until(lambda progress: progress.read == len(values))
        await here.settled()
        fitted = json.loads(await said(here, "fit", "--k", "4", "--publish", "--json"))
        assert (fitted["number"], fitted["training"]["customers"]) == (1, CUSTOMERS)
        before = await scored_by(here, "fitted-1")
        file = tmp_path / "card.json"
        await said(here, "fit", "--k", "5", "--model", "bg", "--out", str(file), "--quiet")
        foretold = json.loads(await said(here, "scorecard", "diff", "1", str(file), "--json"))
        assert foretold["customers"] == CUSTOMERS
        promoted = await said(here, "scorecard", "promote", str(file), "--yes")
        assert "published as fitted-2" in promoted
        after = await scored_by(here, "fitted-2")
        moved = sum(after[key][0] != before[key][0] for key in before)
        assert moved == foretold["changed"] > 0
        assert "published as fitted-3" in await said(here, "scorecard", "rollback", "1", "--yes")
        assert await scored_by(here, "fitted-3") == before
        await here.settled()
        (history,) = [json.loads(await said(here, "scorecard", "ls", "--json"))]
        assert [one["version"] for one in history if one["in_use"]] == ["fitted-3"]
        assert history[-1]["restores"] == "fitted-1"
        assert history[-1]["partitions"] == here.partitions
        verified = await here.run("verify", seconds=120)
        assert verified.returncode == 0, verified.stdout + verified.stderr
