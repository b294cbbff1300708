"""The Docker engine where nobody runs one: started for a while, and stopped again.

Owns a dockerd that it started itself, never one that was there before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.stack.kafka_server import complaint_in
from schemas.errors import ConfigurationError

_ANSWER_SECONDS_MAX = 10.0  # 0.02 s; one that is just starting takes longer
_START_SECONDS_MAX = 60.0  # 2 s
_STOP_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.2
_HINT = "`make services` installs Docker on Debian."


def engine_answers() -> bool:
    """Whether a Docker engine does what the docker command asks."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        asked = subprocess.run(  # noqa: S603 - our own words only
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=_ANSWER_SECONDS_MAX,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


@contextmanager
def running_engine(log: Path) -> Iterator[None]:
    """An engine that answers: the one that runs, or else one of our own for as long as this lasts.

    Parameters
    ----------
    log : Path
        Where our own one writes to.

    Raises
    ------
    ConfigurationError
        None answers and none can be started; the message says why.
    """
    if engine_answers():
        yield
        return
    if shutil.which("docker") is None:
        raise ConfigurationError("There is no docker on PATH.", hint=_HINT)
    dockerd = shutil.which("dockerd")
    if dockerd is None:
        raise ConfigurationError(
            "No Docker engine answers, and there is no dockerd to start.", hint=_HINT
        )
    if os.geteuid() != 0:
        raise ConfigurationError(
            "No Docker engine answers, and only root can start one.", hint="Start Docker."
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own words only
            [dockerd],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # Ctrl-C first ends the tests, which need it to clean up
        )
    try:
        _wait(process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while not engine_answers():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")
            raise ConfigurationError(f"dockerd did not start: {complaint_in(said)}")
        time.sleep(_POLL_SECONDS)
