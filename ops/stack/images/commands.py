"""Other programs, run to their end with what they said kept for when they fail."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.errors import ConfigurationError

_LINES_SHOWN = 8  # of what a program said before it failed


def need(program: str, hint: str) -> str:
    """Path of a program.

    Raises
    ------
    ConfigurationError
        It is not there; the hint says how to get it.
    """
    found = shutil.which(program)
    if found is None:
        raise ConfigurationError(f"There is no {program} on PATH.", hint=hint)
    return found


def run(
    command: Sequence[str | Path],
    seconds_max: float,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a program writes to its standard output.

    Raises
    ------
    ConfigurationError
        It fails or takes too long; the message carries its last line.
    """
    words = [str(word) for word in command]
    shown = " ".join(words[:3])
    try:
        done = subprocess.run(  # noqa: S603 - our own words only
            words,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds_max,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"`{shown} …` had not ended after {seconds_max:.0f} s.") from None
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        complaint = "\n  ".join(lines[-_LINES_SHOWN:]) or "it said nothing"
        raise ConfigurationError(f"`{shown} …` failed with code {done.returncode}:\n  {complaint}")
    return done.stdout
