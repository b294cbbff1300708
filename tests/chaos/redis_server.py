"""Redis servers of a row's own: killed, cut back, flushed, filled, replicated and promoted.

Speaks plain Redis, with a client of its own; knows nothing of what Everscore keeps there.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path
from random import Random

from redis.asyncio import Redis

from ops.stack.doors import OpenDoor
from ops.stack.processes import HOST, choose_port
from ops.stack.redis_server import RedisServer

_SIZES_KEPT = 200
_SIZE_EVERY_SECONDS = 0.05
_ANSWER_SECONDS_MAX = 5.0


class ChaosRedis:
    """One redis-server with its append-only file flushed once a second.

    Parameters
    ----------
    folder : Path
        Its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = choose_port(None)
        settings = {"repl-diskless-sync-delay": "0"}
        self._server = RedisServer(folder, settings, OpenDoor())
        self._sizes: deque[tuple[float, Path, int]] = deque(maxlen=_SIZES_KEPT)
        self.client: Redis = Redis(
            host=HOST,
            port=self.port,
            decode_responses=False,
            socket_timeout=_ANSWER_SECONDS_MAX,
            socket_connect_timeout=_ANSWER_SECONDS_MAX,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return HOST, self.port

    def start(self) -> None:
        """Start and wait until all data is loaded."""
        self._server.start(self.port, with_us=True)
        self._server.wait()

    def stop(self) -> None:
        """Stop cleanly."""
        self._server.stop()

    async def close(self) -> None:
        """Stop for good."""
        await self.client.aclose()
        await asyncio.to_thread(self.stop)

    async def restart_killed(self) -> None:
        """Kill and start again: what was answered is with the system, and comes back."""
        await asyncio.to_thread(self._server.process.kill)
        await asyncio.to_thread(self.start)

    async def watch_file(self) -> None:
        """Note how long the append-only file is, for ever."""
        while True:
            file = self._file()
            if file is not None:
                self._sizes.append((time.monotonic(), file, file.stat().st_size))
            await asyncio.sleep(_SIZE_EVERY_SECONDS)

    def _file(self) -> Path | None:
        """The append-only file that grows; a rewrite of all begins the next one."""
        found = (self.folder / "appendonlydir").glob("*.incr.aof")
        return max(found, key=lambda file: int(file.name.split(".")[-3]), default=None)

    async def restart_cut_back(self, random: Random, seconds: float) -> int:
        """Kill, cut the file at a random byte of its last so many seconds, start again.

        Returns
        -------
        int
            Bytes lost, as if the system had lost power before it wrote them.
        """
        await asyncio.to_thread(self._server.process.kill)
        file = self._file()
        assert file is not None
        size, ago = file.stat().st_size, time.monotonic() - seconds
        kept = [length for at, of, length in self._sizes if at >= ago and of == file]
        before = min(kept, default=size)
        cut = random.randint(min(before, size), size)
        with file.open("r+b") as opened:
            opened.truncate(cut)
        await asyncio.to_thread(self.start)
        return size - cut

    async def follow(self, primary: tuple[str, int] | None) -> None:
        """Become the replica of a server, or a primary of one's own right."""
        words = ("NO", "ONE") if primary is None else (primary[0], str(primary[1]))
        await self.client.execute_command("REPLICAOF", *words)

    async def until_synced(self, seconds_max: float = 30.0) -> None:
        """Wait until this replica has all that its primary has."""
        async with asyncio.timeout(seconds_max):
            while True:
                told = await self.client.info("replication")
                if told.get("master_link_status") == "up" and not told["master_sync_in_progress"]:
                    return
                await asyncio.sleep(0.02)

    async def version(self) -> str:
        """Version by its INFO."""
        return str((await self.client.info("server"))["redis_version"])
