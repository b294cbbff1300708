"""`everscore-health FILE`: is the worker that writes this heartbeat well; 20 ms, for health checks."""

from __future__ import annotations

import sys
from pathlib import Path

from streams.heartbeat import state_of_health

_USAGE = "usage: everscore-health FILE, with the file that EVERSCORE_HEARTBEAT names for the worker"


def main() -> int:
    """Exit code 0 if it is well, 1 if it is not, 2 for a wrong call."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    well, why = state_of_health(Path(sys.argv[1]))
    sys.stdout.write(f"{why}\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
