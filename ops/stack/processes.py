"""Server processes that outlive the command that started them, and files that name them.

Owns start, stop, kill and liveness of one process per folder. A process is alive while it holds
the lock on its process file: it inherits the lock when it starts and loses it when it ends, however
that happens. A number in a file could by now be somebody else's process.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import ConfigurationError

HOST = "127.0.0.1"
POLL_SECONDS = 0.02
_KILL_SECONDS_MAX = 10.0  # the kernel's own work: to free the memory
_LOG_BYTES_MAX = 10_000_000  # a larger one is set aside at the next start

# Outside the ports that systems give to outgoing connections (Linux from 32768, macOS from 49152):
# a client that keeps trying to reach a stopped server there can end up connected to itself, and
# then the server cannot have its port back.
_FREE_PORTS = range(15_000, 32_000)
_PORT_TRIES_MAX = 200

# Linux kills the server if we die without cleaning up; the setting survives exec (1 is
# PR_SET_PDEATHSIG, 9 is SIGKILL). A launcher, because preexec_fn is unsafe next to threads.
_LAUNCHER = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])"
)

# Processes that this one started and has to reap.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What the process file says: who runs, where, which version, since when."""

    pid: int
    port: int
    version: str
    started_at: str


class ServerProcess:
    """The one process of a folder.

    Parameters
    ----------
    name : str
        For messages and the log's name.
    folder : Path
        Its working directory; holds `process.json` and `<name>.log`.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._file = folder / "process.json"
        self._log_start = 0

    def alive(self) -> bool:
        """Whether the process runs."""
        try:
            with self._file.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def record(self) -> ProcessRecord | None:
        """The running process, or None."""
        if not self.alive():
            return None
        try:
            return ProcessRecord(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return None  # it is being written this moment

    def start(
        self, command: Sequence[str], *, port: int, version: str, with_us: bool
    ) -> ProcessRecord:
        """Start the process; whether it answers is for others to find out.

        Parameters
        ----------
        command : sequence of str
            Its program with an absolute path, and its arguments.
        port, version : int, str
            For the record.
        with_us : bool
            Let it die with this process, where the system can do that.

        Raises
        ------
        ConfigurationError
            It runs already.
        """
        if self.alive():
            raise ConfigurationError(f"{self.name} runs already.", hint="Stop it first.")
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self._file.open("a+") as file, self.log.open("ab") as log:
            self._log_start = log.tell()
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)  # whoever looks now shall not find the process before
            _reap()
            process = subprocess.Popen(  # noqa: S603 - our own words only
                [*(launcher() if with_us else []), *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the command, not for its servers
                pass_fds=[file.fileno()],
            )
            _children[process.pid] = process
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            record = ProcessRecord(process.pid, port, version, now)
            file.write(json.dumps(asdict(record)))
        return record

    def stop(self, seconds_max: float) -> bool:
        """End the process cleanly, or by force when the time is up.

        Parameters
        ----------
        seconds_max : float
            For the clean end.

        Returns
        -------
        bool
            False if it took force. Stopping what does not run is harmless.
        """
        if self._end(signal.SIGTERM, seconds_max):
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """End the process this moment.

        Raises
        ------
        ConfigurationError
            It does not end, or its file does not name it.
        """
        if not self._end(signal.SIGKILL, _KILL_SECONDS_MAX):
            raise ConfigurationError(
                f"{self.name} does not end; something still holds {self._file}.",
                hint="`fuser` or `lsof` on that file says which process.",
            )

    def _end(self, how: signal.Signals, seconds_max: float) -> bool:
        deadline = time.monotonic() + seconds_max
        record = self.record()
        if record is not None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(record.pid, how)
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        child = _children.pop(record.pid, None) if record is not None else None
        if child is not None:
            child.wait(_KILL_SECONDS_MAX)  # it has let go of its files: it is as good as gone
        _reap()
        return True

    def said(self) -> str:
        """What the process has written to its log since `start`."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace").strip()


def _reap() -> None:
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            del _children[pid]


def launcher() -> list[str]:
    """Words to put before the command so that the server dies with us, where that is possible."""
    # The parent of a process is the thread that started it; another thread may end before us.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return []
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a file, waiting for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_free(port: int) -> bool:
    """Whether a server could listen on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers do: connections of a server that ended may linger for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_port(wanted: int | None, *liked: int | None, reserved: Collection[int] = ()) -> int:
    """A port to listen on.

    Parameters
    ----------
    wanted : int or None
        This one and no other.
    *liked : int or None
        Otherwise the first of these that is free, otherwise any.
    reserved : collection of int
        Not these: chosen for others that do not listen yet.

    Returns
    -------
    int

    Raises
    ------
    ConfigurationError
        The wanted port is taken.
    """
    if wanted is not None:
        if not is_free(wanted):
            raise ConfigurationError(
                f"Port {wanted} is taken.", hint="Stop what listens there, or name another port."
            )
        return wanted
    choice = random.SystemRandom()
    others = (choice.choice(_FREE_PORTS) for _ in range(_PORT_TRIES_MAX))
    for port in (*(port for port in liked if port is not None), *others):
        if port not in reserved and is_free(port):
            return port
    raise ConfigurationError(
        f"No free port found from {_FREE_PORTS.start} to {_FREE_PORTS.stop}.",
        hint="Name one with --kafka-port or --redis-port.",
    )
