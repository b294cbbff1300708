"""The console beside a demo: an `everscore serve` of its own, for this machine alone.

It asks for no key: what it shows are the demo's purchases, which anybody can download, and it answers
nobody but this machine (ops/decisions/0018-the-console-is-plain-files.md).
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from ops.api.settings import ApiSettings
from schemas.errors import ConfigurationError

_HOST = "127.0.0.1"
_COUNT_SECONDS = 2.0  # segments are to be seen growing; 23,570 customers take a second
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_ADDRESS = re.compile(r"http://\S+:\d+/")
_PREFIX = "EVERSCORE_API_"


class DemoConsole:
    """A server that ends with the demo.

    Parameters
    ----------
    environment : mapping
        In which a child process sees the demo's servers.
    folder : Path
        Where its log lies, and who looked whom up.

    Raises
    ------
    ConfigurationError
        It does not start; says with which words.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._log = folder / "serve.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli.main", "serve"],
                env=console_environment(environment, folder),
                stdout=log,
                stderr=log,
            )
        try:
            self.address = self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            found = _ADDRESS.search(said)
            if found is not None:
                return found[0]
            if self._process.poll() is not None or time.monotonic() > deadline:
                last = said.strip().splitlines()[-1:] or ["no output"]
                raise ConfigurationError(f"the console did not start: {last[0]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """As an operator would."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def console_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Whatever a person has set for a server of their own, is not for this one."""
    others = {name: value for name, value in environment.items() if not name.startswith(_PREFIX)}
    own = {
        "HOST": _HOST,
        "PORT": str(_port()),
        "AUTHENTICATION": "0",
        "KEYS": str(folder / "keys.json"),
        "AUDIT": str(folder / "audit.jsonl"),
        "CENSUS_SECONDS": str(_COUNT_SECONDS),
    }
    return others | {f"{_PREFIX}{name}": value for name, value in own.items()}


def _port() -> int:
    """The usual one, or any where it is taken."""
    usual: int = ApiSettings.model_fields["port"].default
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, usual))
        except OSError:
            return 0
    return usual


def console_is_installed() -> bool:
    """Whether the extra `serve` is here."""
    return all(find_spec(name) is not None for name in ("fastapi", "uvicorn", "yaml"))


def show(address: str) -> bool:
    """Open a browser where there is a screen for one; whether it was tried."""
    screen = sys.platform in {"darwin", "win32"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return screen and sys.stdout.isatty() and webbrowser.open(address)
