"""What the processes of one server share: a file without a name, locked piece by piece.

The kernel lets go of a process's locks when it ends, however it ends, so none that was killed in the middle
keeps the others waiting. A piece that it left half written is one bucket of tokens.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


class SharedFile:
    """A file that every process has open, seen as memory.

    Parameters
    ----------
    handle : int
        Its file descriptor, open as long as this object is used.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.size = os.fstat(handle).st_size
        self._memory = mmap.mmap(handle, self.size)

    @contextmanager
    def locked(self, start: int, length: int) -> Iterator[mmap.mmap]:
        """The memory, of which a piece is nobody else's meanwhile; it may lie beyond the end."""
        fcntl.lockf(self._handle, fcntl.LOCK_EX, length, start, os.SEEK_SET)
        try:
            yield self._memory
        finally:
            fcntl.lockf(self._handle, fcntl.LOCK_UN, length, start, os.SEEK_SET)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time, whatever for: locks a byte beyond the end."""
        with self.locked(self.size, 1):
            yield


def nameless_file(size: int) -> IO[bytes]:
    """A file of zeros that goes with the last process that has it open."""
    made = tempfile.TemporaryFile(prefix="everscore-")  # noqa: SIM115 - the caller's
    made.truncate(size)
    return made
