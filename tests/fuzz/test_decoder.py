"""Malformed payloads through the decoder: one verdict each, and the oracle's."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.support.decoder_fuzz import Tally, check_numbers
from tests.support.malformed import FAMILIES

SEED = int(os.environ.get("FUZZ_SEED", "4"))
PAYLOADS = int(os.environ.get("FUZZ_PAYLOADS", "50000"))
_PROCESSES = 2
_STEP = 5_000


def test_every_payload_gets_one_verdict_the_oracles_and_a_short_reason_that_names_the_value():
    tally = Tally()
    starts = range(0, PAYLOADS, _STEP)
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        runs = [
            pool.submit(check_numbers, SEED, start, min(start + _STEP, PAYLOADS))
            for start in starts
        ]
        for run in runs:
            tally.add(run.result())
    sys.stdout.write(f"\nseed {SEED}, {tally}\n")
    assert tally.seen.total() == PAYLOADS
    assert {family for family, _ in tally.seen} == set(FAMILIES)
    for family in set(FAMILIES) - {"noise"}:
        assert tally.seen[family, "Counted"] > 0, family
        assert tally.seen[family, "Dead"] > 0, family
