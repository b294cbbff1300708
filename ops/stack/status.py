"""What one server of the local stack does, for those who ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ops.stack.processes import HOST, ServerProcess


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What one server does; all but the name is empty while it does not run."""

    name: str
    running: bool
    answers: bool = False
    address: str | None = None
    version: str | None = None
    since: str | None = None
    pid: int | None = None


def status_of(process: ServerProcess, answers: Callable[[], bool]) -> ServerStatus:
    """What a process does, and whether it answers; it is not asked while it does not run."""
    record = process.record()
    if record is None:
        return ServerStatus(process.name, running=False)
    return ServerStatus(
        process.name,
        running=True,
        answers=answers(),
        address=f"{HOST}:{record.port}",
        version=record.version,
        since=record.started_at,
        pid=record.pid,
    )
