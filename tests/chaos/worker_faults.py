"""What happens to workers: killed, told to end, stopped and woken, more of them and fewer."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import time
from pathlib import Path

from tests.chaos.crew import REPOSITORY, Worker
from tests.chaos.stage import Stage
from tests.chaos.tcp_proxy import ActOn, Marker, containing

_SCRIPT = REPOSITORY / "state" / "scripts" / "commit_slice.lua"
_PASS_SECONDS_MAX = 30.0


def commit(script: Path = _SCRIPT) -> Marker:
    """What every commit carries on the wire: Redis knows scripts by their SHA-1."""
    sha = hashlib.sha1(script.read_bytes(), usedforsecurity=False)
    return containing(sha.hexdigest().encode())


TRIM = containing(b"XTRIM")


async def kill(stage: Stage) -> None:
    """kill -9 at any moment; another worker starts at once, as a supervisor would see to."""
    worker = stage.somebody()
    concerned = stage.watch.of(worker.name)
    since = time.monotonic()
    await stage.crew.kill(worker)
    await _replace(stage, since, concerned)


async def terminate(stage: Stage) -> None:
    """SIGTERM at any moment."""
    worker = stage.somebody()
    concerned = stage.watch.of(worker.name)
    since = time.monotonic()
    await stage.crew.terminate([worker])
    await _replace(stage, since, concerned)


async def terminate_in_mid_batch(stage: Stage) -> None:
    """SIGTERM while a commit is on its way to Redis."""
    worker = stage.somebody()
    concerned = stage.watch.of(worker.name)
    await _when_passing(
        worker,
        ActOn(commit(), lambda: worker.signal(signal.SIGTERM), on_reply=False, passes=True),
    )
    since = time.monotonic()
    await stage.crew.see_off(worker)
    await _replace(stage, since, concerned)


async def zombie(stage: Stage) -> None:
    """SIGSTOP until others have its partitions, then SIGCONT; both have to be survived."""
    worker = stage.somebody()
    concerned = stage.watch.of(worker.name)
    since = time.monotonic()
    worker.signal(signal.SIGSTOP)
    try:
        stage.recoveries.append(await stage.watch.moved_on(since, concerned))
        longer = since + stage.session_seconds + stage.random.uniform(0.5, 2.0) - time.monotonic()
        await asyncio.sleep(max(longer, 0.0))
    finally:
        worker.signal(signal.SIGCONT)
    since = time.monotonic()
    stage.recoveries.append(await stage.watch.moved_on(since))
    await stage.watch.shared()


async def scale(stage: Stage) -> None:
    """From one worker to three and back."""
    since = time.monotonic()
    await stage.crew.start(2)
    await stage.watch.shared()
    stage.note("seconds until three share, in all", round(time.monotonic() - since))
    stage.recoveries.append(await stage.watch.moved_on(time.monotonic()))
    await asyncio.sleep(stage.random.uniform(0.2, 1.0))
    leaving = stage.random.sample(stage.crew.workers, 2)
    concerned = {p for worker in leaving for p in stage.watch.of(worker.name)}
    since = time.monotonic()
    await stage.crew.terminate(leaving)
    stage.recoveries.append(await stage.watch.moved_on(since, concerned))
    await stage.watch.shared()


async def crash_point(stage: Stage) -> None:
    """kill -9 between commit, publication and trim, in turn: seen from the wire, not from within."""
    point, on_reply = [
        (commit(), False),  # before the slice is written
        (commit(), True),  # written, not yet known nor published
        (TRIM, False),  # published, not yet forgotten
        (TRIM, True),  # forgotten, which nobody learns
    ][stage.faults % 4]
    worker = stage.somebody()
    concerned = stage.watch.of(worker.name)
    await _when_passing(
        worker, ActOn(point, lambda: worker.signal(signal.SIGKILL), on_reply=on_reply)
    )
    since = time.monotonic()
    await stage.crew.kill(worker)
    await _replace(stage, since, concerned)


async def _replace(stage: Stage, since: float, concerned: set[int]) -> None:
    await stage.crew.start()
    stage.recoveries.append(await stage.watch.moved_on(since, concerned))
    await stage.watch.shared()


async def _when_passing(worker: Worker, tap: ActOn) -> None:
    """Wait until what a tap waits for has passed through a worker's door."""
    assert worker.door is not None
    worker.door.tap = tap
    async with asyncio.timeout(_PASS_SECONDS_MAX):
        await tap.done.wait()
