"""`python -m tests.chaos`: the full matrix, or some of its rows; ends with 1 if any fails."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from ops.stack.settings import StackSettings
from tests.chaos.kafka import ChaosKafka
from tests.chaos.report import Surroundings, render
from tests.chaos.row_run import FULL, SHORT, Outcome, run_row
from tests.chaos.rows import ROWS, Row

REPORT = Path(__file__).parents[2] / "ops" / "reports" / "chaos.md"


def say(line: str) -> None:
    """Progress, as it goes."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--seed", type=int, default=None, help="of everything random")
    parser.add_argument("--short", action="store_true", help="one fault or a few a row, no report")
    parser.add_argument("--report", type=Path, default=REPORT, help="where it is written")
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and data, kept")
    asked = parser.parse_args()
    unknown = set(asked.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no row is named {', '.join(sorted(unknown))}")
    rows = [row for row in ROWS if not asked.rows or row.name in asked.rows]
    seed = SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    with tempfile.TemporaryDirectory(prefix="everscore-chaos-") as temporary:
        folder = asked.keep or Path(temporary)
        outcomes = run(rows, folder, seed, short=asked.short, report=asked.report)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def run(rows: list[Row], folder: Path, seed: int, *, short: bool, report: Path) -> list[Outcome]:
    """Run rows on one Kafka; the report grows row by row."""
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # a broker that is away is what we want
    kafka = ChaosKafka(folder, StackSettings())
    say(f"seed {seed}")
    kafka.start()
    outcomes: list[Outcome] = []
    try:
        for row in rows:
            scale, faults = (SHORT, row.short_faults) if short else (FULL, row.faults)
            place = folder / row.name
            place.mkdir(parents=True, exist_ok=True)
            work = run_row(row, kafka, place, seed, scale, faults, say)
            outcome = asyncio.run(work)
            outcomes.append(outcome)
            say(
                f"{row.name}: {'FAILED' if outcome.failures else 'passed'}, {outcome.seconds:.0f} s"
            )
            for failure in outcome.failures:
                say(f"  {failure}")
            if not short:
                report.parent.mkdir(parents=True, exist_ok=True)
                report.write_text(render(outcomes, Surroundings.of(kafka, seed, scale)))
    finally:
        kafka.stop()
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
