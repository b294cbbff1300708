"""`everscore serve --processes`: several on one port, one server to whoever asks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
import yaml

from ops.api.policy import read_policy
from tests.integration.test_serve import NEVER_LEARN, folder, key_of, serving, until
from tests.support.installation import Installation
from tests.support.purchases import cdnow_of

pytestmark = pytest.mark.integration

__all__ = ["folder"]  # a fixture
SECONDS_MAX = 60
CONNECTIONS = 40  # all of them at one of two processes: once in 10^12 runs
BURST = 12


def children_of(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found.update(map(int, task.read_text().split()))
    return found


def serving_process(folder: Path) -> int:
    """The process that was started, by its log, which no other has open under that name for writing."""
    log = str(folder / "serve.log")
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            mine = os.readlink(entry / "fd" / "2") == log
        except OSError:
            continue
        if mine and b"--processes" in words:
            return int(entry.name)
    raise AssertionError("nobody serves")


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def sockets_of(pid: int) -> int:
    count = 0
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(handle).startswith("socket:")
        except OSError:
            continue
    return count


def slow_policy(folder: Path) -> Path:
    """A reader may ask so many times at once, and hardly ever again."""
    policy = read_policy().model_dump(mode="json")
    policy["roles"]["reader"] |= {"requests_per_second": 0.01, "burst": BURST}
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(policy))
    return path


async def wait_for(reached) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def counted(address: str, headers: dict[str, str]) -> float:
    """Answers to GET /customers/{id} with 200, as Prometheus is told."""
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=30) as client:
        text = (await client.get("/metrics")).text
    wanted = 'route="/customers/{customer_id}",status="200"}'
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("everscore_api_requests_total") and wanted in line
    )


async def test_two_processes_are_one_server_and_one_that_dies_is_replaced(
    services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERSCORE_API_POLICY", str(slow_policy(folder)))
    async with Installation(services, folder, **NEVER_LEARN) as here:
        here.start_worker()
        purchases = cdnow_of(20)
        await here.produce([(p.value, p.customer_id) for p in purchases])
        await here.until(lambda p: p.read == len(purchases))
        await here.settled()
        admin, reader = await key_of(here, "admin"), await key_of(here, "reader")
        with serving(here, folder, "--processes", "2") as address:
            parent = serving_process(folder)
            pair = children_of(parent)
            assert len(pair) == 2
            idle = {pid: sockets_of(pid) for pid in pair}
            clients = [
                httpx.AsyncClient(base_url=address, headers=admin, timeout=30)
                for _ in range(CONNECTIONS)
            ]
            answers = [await client.get("/customers/00003") for client in clients]
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.json()["prob_alive"] for answer in answers}) == 1
            # Connections are spread, each answer is counted once, whoever is asked how many there were.
            assert all(sockets_of(pid) > idle[pid] for pid in pair)
            assert {await counted(address, admin) for _ in range(6)} == {CONNECTIONS}
            for client in clients:
                await client.aclose()

            statuses = []
            for _ in range(3 * BURST):
                async with httpx.AsyncClient(base_url=address, headers=reader) as client:
                    statuses.append((await client.get("/segments")).status_code)
            assert statuses == [200] * BURST + [429] * (2 * BURST)

            async with httpx.AsyncClient(base_url=address, headers=admin, timeout=30) as client:
                await until(lambda: client.get("/health/ready"), lambda one: one["changes"])
            victim = pair.pop()
            os.kill(victim, signal.SIGKILL)
            await wait_for(lambda: len(children_of(parent) - {victim}) == 2)
            (other,) = children_of(parent) - pair - {victim}
            await wait_for(lambda: sockets_of(other) >= min(idle.values()))
            for _ in range(CONNECTIONS):
                async with httpx.AsyncClient(base_url=address, headers=admin, timeout=60) as client:
                    assert (await client.get("/customers/00003")).status_code == 200
            assert "another takes its place" in (folder / "serve.log").read_text()
            # A bucket outlives who wrote it.
            async with httpx.AsyncClient(base_url=address, headers=reader) as client:
                assert (await client.get("/segments")).status_code == 429
            last = children_of(parent)
        assert not any(map(runs, last))


async def test_several_processes_refuse_what_one_does(services, folder: Path) -> None:
    async with Installation(services, folder, **NEVER_LEARN) as here:
        refused = await here.run("serve", "--processes", "2")
        assert refused.returncode == 78
        assert "everscore key create" in refused.stderr
        await key_of(here, "admin")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            refused = await here.run("serve", "--workers", "2", "--port", port)
        assert refused.returncode == 78
        assert "cannot listen" in refused.stderr
