"""What a process loads before it does anything: each worker pays for it in memory, each command in time."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "fastapi",
    "lifetimes",
    "matplotlib",
    "pandas",
    "pyarrow",
    "river",
    "scipy.stats",
    "uvicorn",
}


def test_worker_starts_without_what_only_other_commands_use() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, ops.cli.main, streams.app, streams.worker; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "faust" in loaded
    assert HEAVY & set(loaded) == set()
