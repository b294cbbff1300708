"""A worker's heartbeat: a small file that says every second that it is well, and what it does.

Owns the file's format and what counts as well. Imports the standard library only: who asks, a
container's health check say, pays for starting Python and for nothing else.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

BEAT_SECONDS = 1.0
# A slice takes 0.1 s of the event loop; a machine that gives it nothing for so long is in trouble.
SILENCE_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker does.

    Attributes
    ----------
    owned : list of int
        Partitions that it counts.
    waiting : list of int
        Partitions that Kafka gives it and that it does not count: it waits for Redis, or Redis says
        that another worker has taken them over.
    connected : bool
        Whether Kafka answers.
    """

    owned: list[int]
    waiting: list[int]
    connected: bool

    def write(self, path: Path) -> None:
        """Replace the file; whoever reads it finds this one or the one before, whole."""
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)


def read_heartbeat(path: Path) -> Heartbeat:
    """The last heartbeat, however old.

    Raises
    ------
    OSError, ValueError, TypeError
        There is none.
    """
    return Heartbeat(**json.loads(path.read_text()))


def state_of_health(path: Path) -> tuple[bool, str]:
    """Whether the worker that writes a file is well, and a line that says why.

    Parameters
    ----------
    path : Path
        What `EVERSCORE_HEARTBEAT` names for the worker.
    """
    try:
        silent = time.time() - path.stat().st_mtime
        beat = read_heartbeat(path)
    except FileNotFoundError:
        return False, f"no heartbeat in {path}: the worker has not joined its group yet"
    except (OSError, ValueError, TypeError) as error:
        return False, f"no heartbeat in {path}: {error}"
    if silent > SILENCE_SECONDS_MAX:
        return False, f"the worker has not moved for {silent:.0f} s"
    if beat.waiting:
        return False, f"{_partitions(beat.waiting)} given by Kafka and not counted"
    kafka = "" if beat.connected else "; Kafka does not answer"
    return True, f"{_partitions(beat.owned)} counted{kafka}"


def _partitions(numbers: list[int]) -> str:
    if not numbers:
        return "no partition"
    listed = ", ".join(map(str, numbers))
    return f"partition {listed}" if len(numbers) == 1 else f"partitions {listed}"
