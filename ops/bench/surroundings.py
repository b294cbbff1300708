"""On what and among what a benchmark runs: machine, versions, and how busy others keep it."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from ops.bench.contenders import Contender, Engines
from ops.doctor.software import not_compiled
from ops.embedded.redis_server import redis_executable
from schemas.errors import ConfigurationError

_STAT = Path("/proc/stat")
_SAMPLE_SECONDS = 2.0
_ASK_SECONDS_MAX = 60.0
_OURS = ("aiokafka", "confluent-kafka", "faust-streaming", "hiredis", "msgspec", "numpy", "redis")
_IDLE, _IOWAIT = 3, 4  # of the numbers in the first line of /proc/stat


def describe_machine() -> str:
    """The machine, in a few words.

    Raises
    ------
    ConfigurationError
        It is no Linux: nothing here would count CPU seconds.
    """
    if not _STAT.exists():
        raise ConfigurationError(
            f"There is no {_STAT}.", hint="The benchmark counts CPU seconds there; run it on Linux."
        )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    name = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GB, Linux {platform.release()}"


def describe_versions(contenders: Sequence[Contender], engines: Engines) -> str:
    """What runs on it."""
    names = [f"{name} {metadata.version(name)}" for name in _OURS]
    wanted = [contender.engine for contender in contenders if contender.engine is not None]
    if wanted:
        asked = subprocess.run(  # noqa: S603 - our own words only
            [
                engines.python,
                "-c",
                "import sys; from importlib.metadata import version as v; "
                "print(*[f'{n} {v(n)}' for n in sys.argv[1:]], sep=', ')",
                *wanted,
                "confluent-kafka",
            ],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS_MAX,
            check=True,
        )
        *engine_names, client = asked.stdout.strip().split(", ")
        names += [f"{', '.join(engine_names)} (with {client})"]
    missing = not_compiled()
    built = f"not compiled: {', '.join(missing)}" if missing else "compiled parts built"
    return (
        f"Python {platform.python_version()}, Redis {_redis_version()}, {', '.join(names)}; {built}"
    )


def _redis_version() -> str:
    said = subprocess.run(  # noqa: S603 - our own words only
        [redis_executable(), "--version"],
        capture_output=True,
        text=True,
        timeout=_ASK_SECONDS_MAX,
        check=True,
    ).stdout
    return said.partition("v=")[2].split()[0]


def busy_cores(seconds: float = _SAMPLE_SECONDS) -> float:
    """How many cores others keep busy, watched for so long while we do nothing."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    passed = sum(after) - sum(before)
    idle = after[_IDLE] + after[_IOWAIT] - before[_IDLE] - before[_IOWAIT]
    return (1 - idle / passed) * (os.cpu_count() or 1)


def _ticks() -> list[int]:
    first = _STAT.read_text().partition("\n")[0]
    return [int(ticks) for ticks in first.split()[1:9]]
