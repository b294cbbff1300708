"""Several processes of `everscore serve` on one port.

Owns their life: all are started together, one that ends is replaced, all are told to end. Each has its own
memory of changes and its own count; callers' rates, numbers for Prometheus and the audit log are one for all.
Serves nobody itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from prometheus_client.multiprocess import mark_process_dead

from ops.api.keys import KeyFile
from ops.api.metrics import FOLDER_VARIABLE
from ops.api.policy import read_policy
from ops.api.rate_limit import SHARED_BYTES
from ops.api.settings import ApiSettings
from ops.api.shared_file import nameless_file
from ops.api.start import Place, door_beside_others, listen
from ops.stack.processes import launcher
from schemas.errors import ConfigurationError

_PAUSE_SECONDS = 1.0  # before one that ended is replaced: longer than it takes to fail at once
_END_SECONDS_MAX = 15.0  # open streams are cut after three
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger("everscore.api")


class OneOf(msgspec.Struct, frozen=True):
    """What a process is told of its place; see `ops.api.start.Place`.

    Attributes
    ----------
    ready : int
        File descriptor to write to when connections are taken.
    """

    shared: int
    metrics: str
    ready: int


async def serve_many(own: ApiSettings, count: int, ready: Callable[[str, int], None]) -> None:
    """Serve in so many processes until told to stop.

    Parameters
    ----------
    own : ApiSettings
    count : int
    ready : callable
        Is told host and port when all of them take connections.

    Raises
    ------
    ConfigurationError
        No keys, a policy that is none, an address that cannot be listened on, or a process that could not
        begin, after it has said why.
    """
    if own.authentication:
        _ = KeyFile(own.keys).pseudonym_secret
    read_policy(own.policy)
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError(
            f"{sys.platform} lets no two processes listen on one port.", hint="Use --processes 1."
        )
    with listen(own) as door:  # refused if somebody else is there, which a shared port would not be
        port = door.getsockname()[1]
    with (
        door_beside_others(own.host, port),  # keeps the port while none of them is there
        nameless_file(SHARED_BYTES) as shared,
        tempfile.TemporaryDirectory(prefix="everscore-serve-") as metrics,
    ):
        crew = _Crew(own.host, port, shared.fileno(), metrics)
        loop = asyncio.get_running_loop()
        for one in _SIGNALS:
            loop.add_signal_handler(one, crew.stop.set)
        try:
            await crew.run(count, ready)
        finally:
            for one in _SIGNALS:
                loop.remove_signal_handler(one)


class _Crew:
    """The processes of one server."""

    def __init__(self, host: str, port: int, shared: int, metrics: str) -> None:
        self._host, self._port = host, port
        self._shared, self._metrics = shared, metrics
        self.stop = asyncio.Event()
        self._refused: str | None = None
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def run(self, count: int, ready: Callable[[str, int], None]) -> None:
        """Have so many until all are to end."""
        started = [asyncio.Event() for _ in range(count)]
        keepers = [asyncio.create_task(self._keep(event)) for event in started]
        telling = asyncio.create_task(self._tell(started, ready))
        stopped = asyncio.create_task(self.stop.wait())
        try:
            # A keeper ends only by a fault of ours, or when all are to end.
            await asyncio.wait((stopped, *keepers), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop.set()
            telling.cancel()
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    process.terminate()
            _, late = await asyncio.wait(keepers, timeout=_END_SECONDS_MAX)
            for process in self._running.values() if late else ():
                _log.error("process %d does not end, and is killed", process.pid)
                process.kill()
            ends = await asyncio.gather(*keepers, telling, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        if self._refused is not None:
            raise ConfigurationError(self._refused)

    async def _tell(self, started: list[asyncio.Event], ready: Callable[[str, int], None]) -> None:
        for event in started:
            await event.wait()
        ready(self._host, self._port)

    async def _keep(self, started: asyncio.Event) -> None:
        """Have one process, again and again."""
        while not self.stop.is_set():
            process, telling = await self._start()
            self._running[process.pid] = process
            if self.stop.is_set():  # meanwhile
                process.terminate()
            if await _tells(telling):
                started.set()
            code = await process.wait()
            del self._running[process.pid]
            mark_process_dead(process.pid, self._metrics)  # type: ignore[no-untyped-call]
            if self.stop.is_set():
                return
            if not started.is_set():
                self._refused = (
                    f"a process that should serve ended with code {code} before it could."
                )
                self.stop.set()
                return
            _log.warning(
                "process %d ended with code %d; another takes its place", process.pid, code
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), _PAUSE_SECONDS)

    async def _start(self) -> tuple[asyncio.subprocess.Process, int]:
        """One more process, and where it says that it takes connections."""
        telling, ready = os.pipe()
        place = OneOf(self._shared, self._metrics, ready)
        words = ("-m", "ops.cli.main", "serve", "--one-of", msgspec.json.encode(place).decode())
        environment = {
            **os.environ,
            "EVERSCORE_API_HOST": self._host,
            "EVERSCORE_API_PORT": str(self._port),
            FOLDER_VARIABLE: self._metrics,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *launcher(),
                sys.executable,
                *words,
                env=environment,
                pass_fds=(self._shared, ready),
                start_new_session=True,  # Ctrl-C is ours, and we tell them
            )
        finally:
            os.close(ready)
        return process, telling


async def _tells(telling: int) -> bool:
    """Whether a process takes connections, as soon as that is known; False: it has ended before."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(telling, heard.set)
    try:
        await heard.wait()
        return os.read(telling, 1) != b""
    finally:
        loop.remove_reader(telling)
        os.close(telling)


def read_place(text: str) -> tuple[Place, Callable[[str, int], None]]:
    """What a process was told of its place, and what it does when it takes connections."""
    one_of = msgspec.json.decode(text, type=OneOf)

    def ready(_host: str, _port: int) -> None:
        os.write(one_of.ready, b"1")
        os.close(one_of.ready)

    return Place(one_of.shared, Path(one_of.metrics)), ready
