"""Reading the end of a log, and what is added to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_POLL_SECONDS = 0.2


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log; none where there is no log yet.

    Parameters
    ----------
    path : Path
    count : int
        At most so many.

    Returns
    -------
    list of str
        Without line ends.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def follow(
    logs: Mapping[str, Path], pause: Callable[[float], None] = time.sleep
) -> Iterator[tuple[str, str]]:
    """Every line added from now on, for ever.

    Parameters
    ----------
    logs : mapping of str to Path
        By name; a log may appear, be set aside or be removed meanwhile.
    pause : callable
        Waits between two looks.

    Yields
    ------
    tuple of str
        Name and line, without its end.
    """
    ends = {name: _end(path) for name, path in logs.items()}
    partial = dict.fromkeys(logs, b"")
    while True:
        for name, path in logs.items():
            identity, size = _end(path)
            known, read = ends[name]
            if identity != known or size < read:
                read, partial[name] = 0, b""
            if size > read:
                with path.open("rb") as file:
                    file.seek(read)
                    *lines, partial[name] = (partial[name] + file.read(size - read)).split(b"\n")
                yield from ((name, line.decode("utf-8", "replace")) for line in lines)
            ends[name] = identity, size
        pause(_POLL_SECONDS)


def _end(path: Path) -> tuple[int, int]:
    """Which file a path names, and how long it is."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size
