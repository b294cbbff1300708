"""The workers of a row: real processes, each with its own way to Redis.

Owns their start, their end and the note of each that ended though nobody asked it to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.demo import child_environment
from tests.chaos.place import Place
from tests.chaos.tcp_proxy import Door

REPOSITORY = Path(__file__).parents[2]
_END_SECONDS_MAX = 45.0
_LOOK_SECONDS = 0.2
_LOG_CHARS = 1_500


@dataclass(eq=False)
class Worker:
    """One `everscore worker`."""

    name: str
    process: subprocess.Popen[bytes]
    door: Door | None
    log: Path
    ending: bool = False

    @property
    def alive(self) -> bool:
        """Whether it runs, if only as one that is stopped."""
        return self.process.poll() is None

    def signal(self, how: signal.Signals) -> None:
        """Send a signal; what ends it is noted as asked for."""
        if how in {signal.SIGKILL, signal.SIGTERM}:
            self.ending = True
        if self.alive:
            os.kill(self.process.pid, how)

    async def ended(self) -> int:
        """Wait for its end; killed if that takes too long, which its exit code tells."""
        try:
            return await asyncio.to_thread(self.process.wait, _END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return await asyncio.to_thread(self.process.wait)


@dataclass
class Crew:
    """The workers that are meant to run.

    Attributes
    ----------
    proxied : bool
        Each worker reaches Redis through a door of its own.
    kafka_proxied : bool
        All reach Kafka through its proxied listener.
    complaints : list of str
        Workers that ended unasked, or asked and not cleanly.
    """

    place: Place
    folder: Path
    proxied: bool = False
    kafka_proxied: bool = False
    workers: list[Worker] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    started: int = 0

    async def start(self, count: int = 1) -> list[Worker]:
        """Start more workers; whether they own anything yet is for others to find out."""
        return [await self._start() for _ in range(count)]

    async def _start(self) -> Worker:
        self.started += 1
        name = f"worker-{self.started}"
        door = None
        environment = child_environment(self.place.settings) | {
            "EVERSCORE_OWNER": name,
            "EVERSCORE_REDIS": self.place.redis_url,
        }
        if self.proxied:
            door = await Door(self.place.redis.address).open()
            environment["EVERSCORE_REDIS"] = f"redis://127.0.0.1:{door.port}/0"
        if self.kafka_proxied:
            environment["EVERSCORE_KAFKA"] = self.place.kafka.proxied_address
        log = self.folder / f"{name}.log"
        worker = Worker(name, launch(environment, log), door, log)
        self.workers.append(worker)
        return worker

    async def kill(self, worker: Worker) -> None:
        """kill -9."""
        worker.signal(signal.SIGKILL)
        await worker.ended()
        await self._let_go(worker)

    async def terminate(self, workers: Iterable[Worker]) -> None:
        """SIGTERM, and the wait for a clean end."""
        leaving = list(workers)
        for worker in leaving:
            worker.signal(signal.SIGTERM)
        for worker in leaving:
            await self.see_off(worker)

    async def see_off(self, worker: Worker) -> None:
        """Wait for the clean end of a worker that was told to end."""
        code = await worker.ended()
        if code != 0:
            self.complaints.append(f"{worker.name} ended with {code} when told to: {tail(worker)}")
        await self._let_go(worker)

    async def _let_go(self, worker: Worker) -> None:
        self.workers.remove(worker)
        if worker.door is not None:
            await worker.door.shut()

    async def replace_fallen_forever(self) -> None:
        """As a supervisor would: whoever ended unasked is noted, and another one started."""
        while True:
            for worker in [w for w in self.workers if not w.alive and not w.ending]:
                code = worker.process.returncode
                self.complaints.append(f"{worker.name} ended with {code} unasked: {tail(worker)}")
                await self._let_go(worker)
                await self._start()
            await asyncio.sleep(_LOOK_SECONDS)

    async def dismiss(self) -> None:
        """Kill whatever is left."""
        for worker in list(self.workers):
            await self.kill(worker)

    def logs(self) -> str:
        """The ends of the logs of all that run."""
        return "\n".join(f"--- {worker.name}\n{tail(worker)}" for worker in self.workers)


def launch(environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """One `everscore worker` that says what is going on."""
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "ops.cli.main", "worker", "-v"],
            cwd=REPOSITORY,
            env=environment,
            stdout=stream,
            stderr=stream,
        )


def tail(worker: Worker) -> str:
    """The end of a worker's log."""
    return worker.log.read_text(errors="replace")[-_LOG_CHARS:].strip()
