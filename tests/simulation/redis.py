"""The simulated Redis: every write is an entry of a journal that can be cut back to any prefix.

A server is the production's in-memory twin of the store. A failover makes a new server of a prefix
of the old one's journal, while the old one goes on answering to those still connected to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, NamedTuple

from schemas.errors import StoreUnavailableError
from state.memory_store import MemoryStore
from state.store import SliceCommit
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.trace import Trace

_DELAY_SECONDS_MAX = 0.02
_TIMEOUT_SECONDS = 0.5  # after which a client gives up
_LATE_SECONDS_MAX = 2.0  # how long after that a request may still arrive
_WRITES = {
    "acquire", "commit_slice", "forget", "trim_outbox", "found", "save_scorecard",
    "save_learning", "disturb_timer",
}  # fmt: skip
_READS = {
    "check", "checkpoint", "load_many", "due", "next_due_us", "tombstones", "customers", "outbox",
    "installation", "scorecards", "current_scorecard", "learning",
}  # fmt: skip


class UnexpectedError(Exception):
    """Stands for a bug of ours or of a library: no part of the pipeline knows it."""


class Write(NamedTuple):
    """One entry of a journal."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    now_ms: int


class _Memory(MemoryStore):
    """The twin, with entry ids that rise with time as Redis's do, and an eye on who writes."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.trespasses: list[str] = []

    async def commit_slice(self, commit: SliceCommit) -> str:
        held = await self.checkpoint(commit.partition)
        self._entries = max(self._entries, self.now_ms)
        entry = await super().commit_slice(commit)
        if held.token != commit.before.token:
            self.trespasses.append(
                f"partition {commit.partition} belongs to {held.owner} in epoch {held.epoch}, "
                f"and took a commit of {commit.before.owner} of epoch {commit.before.epoch}"
            )
        return entry

    async def disturb_timer(self, partition: int, customer_id: str, at: float) -> None:
        """A due time that is not the customer's: by hand, or left behind by who knows what."""
        if customer_id in self.due_at.get(partition, {}):
            self.due_at[partition][customer_id] = at

    def waiting(self, partition: int) -> dict[int, bytes]:
        """Outbox entries not yet trimmed."""
        return self._outboxes.get(partition, {})


class Server:
    """One Redis server.

    Parameters
    ----------
    journal : entries it begins with
    """

    def __init__(self, journal: Sequence[Write] = ()) -> None:
        self.cut(journal)

    def cut(self, journal: Sequence[Write]) -> None:
        """Become what these entries make of an empty server."""
        self.memory = _Memory()
        self.journal: list[Write] = []
        for write in journal:
            self.ask(*write)

    def ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], now_ms: int) -> Any:
        """Do what is asked at once, and note it if it may have written."""
        self.memory.now_ms = now_ms
        step = getattr(self.memory, name)(*args, **kwargs)
        try:
            step.send(None)
        except StopIteration as done:
            if name in _WRITES:
                self.journal.append(Write(name, args, kwargs, now_ms))
            return done.value
        raise AssertionError(f"{name} waits for something")


class Network:
    """The way to the servers, and what can be wrong with it.

    Attributes
    ----------
    primary : Server
        Where new connections lead.
    away : bool
        Nobody gets an answer.
    fault_chance : float
        Of a request that fails in one of the ways requests fail.
    unexpected : dict of Process to str
        Whose next request of that name ends in an error that nobody foresaw.
    """

    def __init__(
        self, loop: SimulatedLoop, random: Random, trace: Trace, now_ms: Callable[[], int]
    ) -> None:
        self.loop = loop
        self.random = random
        self.trace = trace
        self.now_ms = now_ms
        self.primary = Server()
        self.servers = [self.primary]
        self.away = False
        self.fault_chance = 0.0
        self.cut_off: set[Process] = set()
        self.unexpected: dict[Process, str] = {}
        self.connections: dict[Process, Server] = {}

    def client(self, process: Process) -> Client:
        """A store for a process, connected to the primary."""
        self.connections[process] = self.primary
        return Client(self, process)

    def promote(self, length: int) -> None:
        """Make a replica that has seen so many entries the primary; connections stay where they are."""
        self.primary = Server(self.primary.journal[:length])
        self.servers.append(self.primary)

    def come_back(self) -> None:
        """Answer again."""
        self.away = False

    def reconnect(self, process: Process) -> None:
        """Lead a process's requests to the primary from now on."""
        self.connections[process] = self.primary


class Client:
    """A `Store` whose requests travel."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process

    def __getattr__(self, name: str) -> Any:
        if name not in _READS and name not in _WRITES:
            raise AttributeError(name)
        return partial(self._ask, name)

    async def close(self) -> None:
        """See `Store.close`."""

    async def _ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        network, process, random = self._network, self._process, self._network.random
        if network.unexpected.get(process) == name:
            del network.unexpected[process]
            network.trace.add(process, "meets something unexpected in", name)
            # Before or after the fact.
            if random.random() < 0.5:
                self._arrive(network.connections[process], name, args, kwargs, None)
            raise UnexpectedError(name)
        if network.away or process in network.cut_off:
            await asyncio.sleep(random.random() * _TIMEOUT_SECONDS)
            raise StoreUnavailableError("Redis is away.")
        fate = "answered"
        if random.random() < network.fault_chance:
            fate = random.choice(("lost", "unanswered", "late"))
        delay = random.random() * _DELAY_SECONDS_MAX
        if fate == "late":
            delay += _TIMEOUT_SECONDS + random.random() * _LATE_SECONDS_MAX
        answer = network.loop.create_future()
        if fate != "lost":
            server = network.connections[process]
            network.loop.outside(delay, self._arrive, server, name, args, kwargs, answer)
        if fate != "answered":
            await asyncio.sleep(_TIMEOUT_SECONDS)
            network.trace.add(process, "is told nothing of", name)
            raise StoreUnavailableError("Redis does not answer.")
        result = await answer
        if random.random() < 0.3:  # the reply takes its time
            await asyncio.sleep(random.random() * _DELAY_SECONDS_MAX)
        return result

    def _arrive(
        self,
        server: Server,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        answer: asyncio.Future[Any] | None,
    ) -> None:
        network, process = self._network, self._process
        if not process.alive and network.random.random() < 0.5:
            return  # it was still in the sender's buffers
        try:
            result = server.ask(name, args, kwargs, network.now_ms())
        except Exception as error:
            network.trace.add(process, f"is refused {name}:", error)
            if answer is not None and not answer.done():
                answer.set_exception(error)
                answer.exception()  # nobody may be left to ask
            return
        if name in _WRITES:
            number = network.servers.index(server)
            network.trace.add(process, f"{name} at server {number}:", _said(args, result))
        if answer is not None and not answer.done():
            answer.set_result(result)


def _said(args: tuple[Any, ...], result: Any) -> str:
    if args and isinstance(args[0], SliceCommit):
        commit = args[0]
        after = commit.after
        return (
            f"partition {commit.partition} commit {after.commits} {dict(after.next_offsets)} "
            f"customers {len(commit.customer_ids)} entry {result or None}"
        )
    return f"{args} → {getattr(result, 'epoch', result)}"
