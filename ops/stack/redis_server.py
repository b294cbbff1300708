"""redis-server as one process: every write in its append-only file, nothing ever evicted.

Owns its settings, its start and its readiness. Speaks no Redis beyond INFO.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from ops.redis_settings import KEEPS_ALL, as_file
from ops.stack.doors import Door
from ops.stack.processes import HOST, POLL_SECONDS, ServerProcess, is_free
from schemas.errors import ConfigurationError

_START_SECONDS_MAX = 60.0  # 0.05 s when empty; about 1 s for each 100 MB to load
_STOP_SECONDS_MAX = 20.0  # a clean stop writes the rest of the append-only file
_ANSWER_SECONDS_MAX = 2.0
_VERSION_SECONDS_MAX = 10.0

_HERE = {"bind": HOST, "daemonize": "no", "dir": "./"}


class RedisServer:
    """One redis-server with its data in a folder.

    Parameters
    ----------
    folder : Path
        Its settings, log and append-only file.
    settings : mapping of str to str
        Of redis.conf, in addition to ours or instead of them.
    door : Door
        Who is let in, and how.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], door: Door) -> None:
        self._door = door
        self.process = ServerProcess("redis", folder)
        self._folder = folder
        self._settings = settings

    def start(self, port: int, *, with_us: bool) -> None:
        """Start the server.

        Raises
        ------
        ConfigurationError
            The port is taken, or there is no redis-server.
        """
        executable = self._door.redis_executable()
        if not is_free(port):
            raise ConfigurationError(f"Redis cannot listen on port {port}: it is taken.")
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = _HERE | KEEPS_ALL | self._door.redis_settings(port) | {**self._settings}
        (self._folder / "redis.conf").write_text(as_file(settings))
        self.process.start(
            [executable, "redis.conf"], port=port, version=_version(executable), with_us=with_us
        )

    def wait(self) -> None:
        """Wait until the server answers and has loaded its data.

        Raises
        ------
        ConfigurationError
            It ended or did not answer in time; the message ends its log.
        """
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not self.answers():
            if not self.process.alive() or time.monotonic() > deadline:
                lines = self.process.said().splitlines() or ["it said nothing."]
                raise ConfigurationError(
                    f"redis-server did not start: {lines[-1]}",
                    hint=f"Its log is {self.process.log}.",
                )
            time.sleep(POLL_SECONDS)

    def answers(self) -> bool:
        """Whether this server, and not somebody else's, answers on its port with its data."""
        record = self.process.record()
        if record is None:
            return False
        said = info(record.port, self._door)
        return said.get("process_id") == str(record.pid) and said.get("loading") == "0"

    def stop(self) -> bool:
        """Stop the server cleanly; False if it had to be killed."""
        return self.process.stop(_STOP_SECONDS_MAX)


def info(port: int, door: Door) -> dict[str, str]:
    """What a Redis says of itself; nothing if none answers."""
    try:
        with (
            socket.create_connection((HOST, port), timeout=_ANSWER_SECONDS_MAX) as plain,
            door.greet_redis(plain) as connection,
            connection.makefile("rb") as answer,
        ):
            connection.sendall(b"INFO\r\n")
            head = answer.readline()
            text = answer.read(int(head[1:])) if head.startswith(b"$") else b""
    except (OSError, ValueError):
        return {}
    fields = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in fields if colon}


def _version(executable: str) -> str:
    """Version of a redis-server program."""
    said = subprocess.run(  # noqa: S603 - our own words only
        [executable, "--version"],
        capture_output=True,
        text=True,
        timeout=_VERSION_SECONDS_MAX,
        check=False,
    ).stdout
    found = re.search(r"v=([0-9.]+)", said)
    return found[1] if found else "unknown"
