"""One thread, one seed, no real time: the event loop that everything in a simulation runs on.

Owns the clock, the choice of the next step, and which process a step belongs to. Time passes only
when nobody can do anything; of all who can, the seed picks one. A process that was killed is never
picked again, whatever it was in the middle of; one that is stalled is picked again when it wakes.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop
from random import Random
from typing import Any

from schemas.errors import InvariantError

_STEPS_MAX = 200_000  # thirty times what a seed needs: somebody runs in circles without a pause

_process: ContextVar[Process | None] = ContextVar("process", default=None)


class Process:
    """Whatever can be killed or stalled by itself: everything it starts belongs to it.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.steps_left: int | None = None  # until it is killed
        self.on_death: list[Callable[[], None]] = []
        self._stalled = False
        self._parked: list[events.Handle] = []

    def __repr__(self) -> str:
        return self.name

    def kill(self) -> None:
        """End it between two awaits: nothing is cancelled, closed or finished."""
        if self.alive:
            self.alive = False
            self._parked.clear()
            for callback in self.on_death:
                callback()

    @property
    def stalled(self) -> bool:
        """Whether it stands still, as after SIGSTOP."""
        return self._stalled

    def stall(self) -> None:
        """Let it stand still; what happens to it meanwhile waits."""
        self._stalled = True

    def wake(self, loop: SimulatedLoop) -> None:
        """Let it go on."""
        self._stalled = False
        loop.resume(self._parked)
        self._parked = []


def current_process() -> Process:
    """The process whose step this is."""
    process = _process.get()
    if process is None:
        raise InvariantError("this step belongs to no process")
    return process


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or a real clock.

    Parameters
    ----------
    random : Random
        Picks the next step.
    """

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._pick = random.random
        self._now = 0.0
        self._runnable: list[events.Handle] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self.steps = 0
        self.nobody = (
            Context()
        )  # for what belongs to no process: servers, networks, the one who watches
        self.set_task_factory(self._remember)
        self.set_exception_handler(lambda *_: None)  # whoever needs an error awaits it

    @staticmethod
    def _remember(loop: Any, coro: Any, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
        loop._tasks.append(task)
        return task

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._now

    def spawn(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that belongs to a process."""
        context = copy_context()
        context.run(_process.set, process)
        return self.create_task(work, context=context)

    def outside(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back later, in no process."""
        self.call_later(seconds, callback, *args, context=self.nobody)

    def resume(self, handles: list[events.Handle]) -> None:
        """Make parked steps possible again."""
        self._runnable.extend(handles)

    def _run_once(self) -> None:
        runnable, scheduled = self._runnable, self._scheduled
        if self._ready:
            runnable.extend(self._ready)
            self._ready.clear()
        if not runnable:
            if not scheduled:
                raise InvariantError("nobody waits for anything: the simulation stands still")
            self._now = max(self._now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now:
            timer = heappop(scheduled)
            timer._scheduled = False
            runnable.append(timer)
        index = int(self._pick() * len(runnable))
        handle, last = runnable[index], runnable.pop()
        if last is not handle:
            runnable[index] = last
        if not handle._cancelled:
            self._step(handle)

    def _step(self, handle: events.Handle) -> None:
        process = handle._context.get(_process)
        if process is not None:
            if not process.alive:
                return
            if process.stalled:
                process._parked.append(handle)
                return
            if process.steps_left is not None:
                process.steps_left -= 1
                if process.steps_left < 0:
                    process.kill()
                    return
        self.steps += 1
        if self.steps > _STEPS_MAX:
            raise InvariantError(f"{self.steps:,} steps, and no end of it at {self._now:.3f} s")
        handle._run()

    def dispose(self) -> None:
        """Drop all tasks that never ended, without a word about them."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False
                task.get_coro().close()
            elif not task.cancelled():
                task.exception()  # retrieved
        self._tasks.clear()
        self._ready.clear()
        self._runnable.clear()
        self._scheduled.clear()
        self.close()

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def _process_events(self, event_list: object) -> None:
        """There are no sockets."""
