"""Large blocks that are free are given back, whatever small ones were put between them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Blocks of 300 kB in turn with ones of 1 kB that stay; then the large ones go.
KEEP_SMALL_ONES = """
import sys
from streams.allocation import give_large_blocks_back

def resident_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

if sys.argv[1] == "asked":
    assert give_large_blocks_back()
block = b"x" * 1_000_000  # the first large one that is freed
del block
before = resident_mb()
blocks, small = [], []
for number in range(300):
    blocks.append(b"x" * (300_000 + number))
    small.append(b"x" * (1_000 + number))
assert resident_mb() - before > 80
blocks.clear()
print(resident_mb() - before)
"""


def left_mb(how: str) -> float:
    child = subprocess.run(
        [sys.executable, "-c", KEEP_SMALL_ONES, how], capture_output=True, text=True, check=True
    )
    return float(child.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own ways")
def test_large_blocks_are_given_back_where_it_was_asked_for():
    assert left_mb("asked") < 10 < left_mb("not asked")
