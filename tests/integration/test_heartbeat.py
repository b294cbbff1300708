"""The heartbeat of real workers: what a container's health check is told."""

import asyncio

import pytest

from streams.heartbeat import read_heartbeat, state_of_health
from tests.support.installation import Installation

pytestmark = pytest.mark.integration


async def until_well(file):
    async with asyncio.timeout(60):
        while not state_of_health(file)[0]:
            await asyncio.sleep(0.1)
    return read_heartbeat(file)


async def test_worker_is_well_from_its_first_assignment_on_and_goes_on_saying_so(
    services, tmp_path
):
    file = tmp_path / "heartbeat"
    async with Installation(services, tmp_path, heartbeat=file) as here:
        file.write_text("of a worker before this one")
        here.start_worker()
        beat = await until_well(file)
        assert beat.owned == [0, 1, 2, 3]
        assert beat.waiting == []
        assert beat.connected
        first = file.stat().st_mtime_ns
        async with asyncio.timeout(30):
            while file.stat().st_mtime_ns == first:
                await asyncio.sleep(0.1)


async def test_worker_that_cannot_write_its_heartbeat_stops_with_one_line(services, tmp_path):
    file = tmp_path / "nowhere" / "heartbeat"
    async with Installation(services, tmp_path, heartbeat=file) as here:
        worker = here.start_worker()
        code = await asyncio.to_thread(worker.wait, 60)
        said = worker.log.read_text().splitlines()
    assert code == 78
    assert any("EVERSCORE_HEARTBEAT" in line and str(file) in line for line in said), said
    assert not any("Traceback" in line for line in said)
