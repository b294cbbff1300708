"""Every row of the fault matrix, with a fault or a few: the same code as `make chaos`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.kafka import ChaosKafka
from tests.chaos.row_run import SHORT, run_row
from tests.chaos.rows import ROWS, Row

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("CHAOS_SEED", "4"))


# Strict: whoever mends it has to take it off this list.
KNOWN_FAULTS = {
    "redis-flush": "a worker that runs does not put scorecards back into a flushed Redis: "
    "`Holdings._know` looks at its own memory only, and `lookup` and `explain` have none",
}


def row_parameter(row: Row) -> Any:
    known = KNOWN_FAULTS.get(row.name)
    marks = () if known is None else pytest.mark.xfail(strict=True, reason=known)
    return pytest.param(row, id=row.name, marks=marks)


def say(line: str) -> None:
    sys.stdout.write(f"seed {SEED}, {line}\n")


@pytest.mark.parametrize("row", [row_parameter(row) for row in ROWS])
async def test_row_loses_nothing_counts_nothing_twice_and_tells_every_change(
    row: Row, kafka: ChaosKafka, tmp_path: Path
) -> None:
    outcome = await run_row(row, kafka, tmp_path, SEED, SHORT, row.short_faults, say)
    assert outcome.failures == []
    assert outcome.faults == row.short_faults
    assert outcome.verdict.records >= SHORT.transactions
    assert outcome.verdict.changes > outcome.verdict.customers > SHORT.customers / 2
