"""What a worker asks of glibc: large blocks of memory go back to the system when they are free.

By itself glibc learns to keep them: every large block that is freed raises the size up to which blocks
are cut from the heap, where a small neighbour that lives longer holds them for ever. A worker's fetches
and batches are such blocks, of a new size each time: its resident memory crept for as long as it ran.
"""

from __future__ import annotations

import ctypes
import platform

# Numbers of malloc.h. To set a threshold also ends its growth.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 128 * 1024  # as glibc begins
_KEPT_BYTES = 4 * 1024 * 1024  # free at the heap's end, before it is given back
_ARENAS = 2  # one would make threads wait for one another; by itself, eight for each core


def give_large_blocks_back() -> bool:
    """Ask for it; True if there is a glibc that heard it. Call it before there are other threads."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wanted = (
        (_MMAP_THRESHOLD, _LARGE_BYTES),
        (_TRIM_THRESHOLD, _KEPT_BYTES),
        (_ARENA_MAX, _ARENAS),
    )
    heard = [mallopt(what, value) for what, value in wanted]
    return all(heard)
