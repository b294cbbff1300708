"""Which kinds of servers this machine seems to have, told in milliseconds; nothing is started.

Owns that look around and its words. What is told may still fail to start, and then says why.
"""

from __future__ import annotations

import re
import shutil
import socket
from enum import StrEnum
from pathlib import Path

from ops.stack.java import JAVA_VERSION_MIN, cached_jars, java_candidates, kafka_version
from ops.stack.settings import StackSettings

_PING_SECONDS_MAX = 0.2  # an engine of this machine answers in 2 ms
_PING = b"GET /_ping HTTP/1.0\r\n\r\n"
_SOCKETS = (Path("/var/run/docker.sock"), Path.home() / ".docker" / "run" / "docker.sock")


class StackKind(StrEnum):
    """Servers for a while."""

    EMBEDDED = "embedded"
    LOCAL = "local"
    DOCKER = "docker"


def real_stacks_here(machine: StackSettings) -> dict[StackKind, str]:
    """Kinds with a real Kafka that could be had here, each with what speaks for it.

    Parameters
    ----------
    machine : StackSettings
        Where Java, Kafka's jars and the Docker engine are.

    Returns
    -------
    dict of StackKind to str
    """
    found = {
        StackKind.LOCAL: _what_speaks_for_local(machine),
        StackKind.DOCKER: "a Docker engine answers" if _engine_answers(machine) else None,
    }
    return {kind: reason for kind, reason in found.items() if reason is not None}


def _what_speaks_for_local(machine: StackSettings) -> str | None:
    versions = (java_version_on_paper(Path(java)) for java in java_candidates(machine.java_home))
    version = next((v for v in versions if v is not None and v >= JAVA_VERSION_MIN), None)
    if version is None:
        return None
    if cached_jars(machine.cache) is not None:
        return f"Java {version} and Kafka {kafka_version()}'s jars are here"
    if shutil.which("mvn") is not None:
        return f"Java {version} is here, Maven fetches Kafka {kafka_version()} once"
    return None


def java_version_on_paper(java: Path) -> int | None:
    """Feature version of a Java by the `release` file beside it; asking it would start it.

    Parameters
    ----------
    java : Path
        Of the program; links are followed.

    Returns
    -------
    int or None
        None where there is no such file.
    """
    try:
        text = (java.resolve().parent.parent / "release").read_text()
    except OSError:
        return None
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(found[1]) if found else None


def _engine_answers(machine: StackSettings) -> bool:
    if machine.docker_host is None:
        return any(_pings(path) for path in _SOCKETS)
    scheme, _, path = machine.docker_host.partition("://")
    return scheme == "unix" and _pings(Path(path))  # others are not this machine's


def _pings(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(_PING_SECONDS_MAX)
            engine.connect(str(path))
            engine.sendall(_PING)
            return b" 200 " in engine.recv(64)
    except OSError:
        return False
