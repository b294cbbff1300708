"""Every row of the fault matrix, with a fault or a few: the same code as `make chaos`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.chaos.kafka import ChaosKafka
from tests.chaos.row_run import SHORT, run_row
from tests.chaos.rows import ROWS, Row

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("CHAOS_SEED", "4"))


def say(line: str) -> None:
    sys.stdout.write(f"seed {SEED}, {line}\n")


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
async def test_row_loses_nothing_counts_nothing_twice_and_tells_every_change(
    row: Row, kafka: ChaosKafka, tmp_path: Path
) -> None:
    outcome = await run_row(row, kafka, tmp_path, SEED, SHORT, row.short_faults, say)
    assert outcome.failures == []
    assert outcome.faults == row.short_faults
    assert outcome.verdict.records >= SHORT.transactions
    assert outcome.verdict.changes > outcome.verdict.customers > SHORT.customers / 2
