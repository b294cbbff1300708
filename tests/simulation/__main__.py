"""Run the simulator: `python -m tests.simulation --seeds 10000`, or one seed again with its trace."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulation.simulate import Verdict, brokenness, simulate

_PROCESSES = 2
_SEEDS_AT_ONCE = 20
_SAID_EVERY_SECONDS = 5.0


def _one(seed: int, trace: int | None) -> bool:
    verdict: Verdict = simulate(seed)
    if trace is not None:
        for line in verdict.trace.lines(trace):
            print(line)
    print(verdict)
    return not verdict.broken


def _verdicts(seeds: range) -> Iterator[tuple[int, str]]:
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        yield from pool.map(brokenness, seeds, chunksize=_SEEDS_AT_ONCE)


def _many(seeds: range) -> bool:
    began = said = time.monotonic()
    broken: list[int] = []
    for done, (seed, said_of_it) in enumerate(_verdicts(seeds), start=1):
        if said_of_it:
            broken.append(seed)
            print(said_of_it, flush=True)
        now = time.monotonic()
        if now - said >= _SAID_EVERY_SECONDS or done == len(seeds):
            said = now
            print(
                f"{done:,} of {len(seeds):,} seeds, {len(broken)} broken, "
                f"{done / (now - began):.1f} seeds/s",
                flush=True,
            )
    if broken:
        print(f"broken: {' '.join(map(str, broken))}")
    return not broken


def main() -> None:
    """Read the command line, run, and say by the exit code whether everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one seed")
    parser.add_argument("--trace", type=int, help="of one seed, show the last so many events")
    parser.add_argument("--seeds", type=int, default=1_000, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="beginning with this one")
    words = parser.parse_args()
    if words.seed is not None:
        held = _one(words.seed, words.trace)
    else:
        held = _many(range(words.first, words.first + words.seeds))
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
