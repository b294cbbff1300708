"""What a process and its children take: CPU seconds and memory, as the kernel counts them.

Reads /proc and nothing else; only Linux has it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigurationError

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _CUTIME_END = 11, 15  # utime, stime, cutime, cstime; counted after the program's name
_KB_PER_MB = 1024.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and all that it has started.

    Attributes
    ----------
    cpu_seconds : float
        User and system, of children too, ended or not.
    peak_mb : float
        The most that was resident at once, each process by itself.
    """

    cpu_seconds: float
    peak_mb: float


def usage_of(pid: int) -> Usage:
    """What a process has taken until now.

    Raises
    ------
    ConfigurationError
        There is no such process, or no /proc.
    """
    try:
        cpu, peak = _cpu_seconds(pid), _peak_mb(pid)
    except OSError as error:
        raise ConfigurationError(
            f"Process {pid} is not to be found in /proc: {error.strerror}.",
            hint="The benchmark counts CPU seconds there; it needs Linux and processes that live.",
        ) from None
    for child in _children(pid):
        try:
            found = usage_of(child)
        except ConfigurationError:  # it has just ended; its parent's account has it
            continue
        cpu, peak = cpu + found.cpu_seconds, peak + found.peak_mb
    return Usage(cpu, peak)


def _cpu_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(") ")[2].split()
    return sum(int(ticks) for ticks in fields[_UTIME:_CUTIME_END]) * _TICK_SECONDS


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return (
        next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0) / _KB_PER_MB
    )


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # a thread that has just ended
            continue
    return found
