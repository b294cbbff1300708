"""The API and its console on a port of this machine, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.request
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from ops.api.policy import Role
from tests.support.api import Api, Counted
from tests.support.purchases import Purchase

_SECONDS_MAX = 30
_FED = 200  # the last changes of all kinds, as feed.js asks for them
LATER = 10_600  # a day after all of CDNOW's
_Result = TypeVar("_Result")


class Console:
    """One server that can go away and come back, with what it knows.

    Parameters
    ----------
    folder : Path
        Of its keys and its audit log.
    known : Counted, optional
        Customers to begin with.
    own :
        Settings of the API.
    """

    def __init__(self, folder: Path, known: Counted | None = None, **own: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.api = Api(folder, **own)
        self._call(self.api.start(known))
        self._call(self.api.look())
        self.api.service.dead_letters.following = True
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._serving: Any = None
        self.come_back()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _call(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_SECONDS_MAX)

    def buy(self, *purchases: Purchase) -> int:
        """Count purchases, and tell what came of them; how many changes of segment."""
        before = self.api.memory.next
        self._call(self.api.buy(*purchases))
        return self._segment_changes(before)

    def fed(self) -> int:
        """Changes of segment that a feed begins with."""
        return self._segment_changes(self.api.memory.next - _FED)

    def _segment_changes(self, since: int) -> int:
        memory = self.api.memory
        told = [memory.get(number) for number in range(since, memory.next)]
        return sum(one is not None and one.kind == "segment" for one in told)

    def answer(self, path: str, role: Role = Role.PII_READER) -> Any:
        """What the API says to a client."""
        asked = urllib.request.Request(
            self.address + path, headers={"X-API-Key": self.api.key[role]}
        )
        with urllib.request.urlopen(asked, timeout=_SECONDS_MAX) as answer:
            return json.load(answer)

    def erase_key(self, name: str) -> None:
        """Revoke a key."""
        self.api.keys.revoke(name, now=self.api.now)

    def come_back(self) -> None:
        """Serve, and return when it answers."""
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.api.app,
                port=self._port,
                log_config=None,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve(), self._loop)
        self._call(self._answers())

    async def _answers(self) -> None:
        while self._server is not None and not self._server.started:
            await asyncio.sleep(0.01)

    def go_away(self) -> None:
        """Stop serving; what is known stays known."""
        if self._server is not None:
            self._server.should_exit = True
            self._serving.result(_SECONDS_MAX)
            self._server = None

    def end(self) -> None:
        """For good."""
        self.go_away()
        self._call(self._leave_nothing())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS_MAX)
        self._loop.close()

    async def _leave_nothing(self) -> None:
        """Connections close a turn of the loop after they were told to."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
