"""The console beside a demo: opens without a key, to this machine alone, and ends with it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from ops.demo import child_environment
from ops.demo_console import DemoConsole, console_environment
from ops.demo_servers import settings_for
from ops.embedded.redis_server import EmbeddedRedis
from schemas.errors import ConfigurationError
from streams.connections import redis_store
from tests.support.installation import REPOSITORY
from tests.support.purchases import Run, cdnow_of

pytestmark = pytest.mark.integration
SECONDS_MAX = 240


@contextmanager
def ctrl_c_is_heard() -> Iterator[None]:
    """By what is started here: a shell's background job ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def count(url: str) -> None:
    store = redis_store(settings_for("127.0.0.1:1", url))
    run = await Run(4, settings_for("127.0.0.1:1", url), store).start()
    await store.found({"partitions": "4"})
    await run.feed(cdnow_of(20), 500)
    await store.close()


def test_console_shows_the_demo_without_a_key_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERSCORE_API_HOST", "0.0.0.0")  # for a server of somebody's own
    monkeypatch.setenv("EVERSCORE_API_POLICY", str(tmp_path / "missing.yaml"))
    with EmbeddedRedis() as server:
        asyncio.run(count(server.url))
        settings = settings_for("127.0.0.1:1", server.url)
        console = DemoConsole(child_environment(settings), tmp_path)
        try:
            assert console.address.startswith("http://127.0.0.1:")
            with httpx.Client(base_url=console.address, timeout=30) as client:
                assert "<title>Everscore" in client.get("/").text
                assert client.get("/health/live").json()["authentication"] is False
                assert client.get("/segments").json()["customers"] == 20
                foreign = client.get("/segments", headers={"Host": "evil.example"})
                assert foreign.status_code == 421
        finally:
            console.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(console.address)


def test_port_that_is_taken_is_no_obstacle(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # taken already: as well
            other.bind(("127.0.0.1", 8080))
            other.listen()
        assert console_environment({}, tmp_path)["EVERSCORE_API_PORT"] == "0"


def test_console_that_cannot_start_says_why(tmp_path: Path) -> None:
    settings = settings_for("127.0.0.1:1", "redis://127.0.0.1:1/0")
    with pytest.raises(ConfigurationError, match=r"did not start.*127\.0\.0\.1:1"):
        DemoConsole(child_environment(settings), tmp_path)


def test_kept_demo_opens_the_console_before_the_replay_and_ctrl_c_ends_both(
    tmp_path: Path,
) -> None:
    log = tmp_path / "demo.log"
    with log.open("wb") as words, ctrl_c_is_heard():
        demo = subprocess.Popen(
            [sys.executable, "-m", "ops.cli.main", "demo", "--keep"],
            cwd=REPOSITORY,
            env={**os.environ, "COLUMNS": "120"},
            stdout=words,
            stderr=words,
        )
    try:
        address, grown = "", set()
        deadline = time.monotonic() + SECONDS_MAX
        while "Ctrl-C ends it" not in log.read_text():
            assert demo.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            found = re.search(r"Console: (http://\S+/)", log.read_text())
            if found:
                address = found[1]
                answer = httpx.get(f"{address}segments", timeout=60)
                grown.add(answer.json().get("customers") if answer.status_code == 200 else None)
            time.sleep(0.5)
        assert len(grown - {None}) > 2, grown
        state = httpx.get(f"{address}service", timeout=60).json()
        assert state["dead_letters"]["following"] is True
        assert state["lag_records"] == 0
        assert sum(one["applied"] for one in state["partitions"]) == 69_659
    finally:
        demo.send_signal(signal.SIGINT)
        code = demo.wait(60)
    assert code == 0, log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
