"""The generated reports say what happened, and call a failure one."""

from __future__ import annotations

import pytest

from tests.chaos.memory import Lifetime, median_slope, slope
from tests.chaos.oracle import Verdict
from tests.chaos.report import Surroundings, render
from tests.chaos.row_run import FULL, Outcome
from tests.chaos.rows import ROWS
from tests.chaos.soak import FAULTS, Soaked
from tests.chaos.soak_report import render as render_soak

WHERE = Surroundings("a machine", "versions", 4, FULL, "2026-11-21")
# The matrix: row and how often the fault strikes.
COUNTS = {
    "worker-kill": 20,
    "worker-term": 20,
    "worker-zombie": 10,
    "scale": 10,
    "broker-restart": 5,
    "broker-kill": 5,
    "redis-kill": 10,
    "redis-cut-back": 20,
    "redis-promotion": 10,
    "redis-flush": 5,
    "redis-full": 1,
    "crash-points": 20,
}


def test_rows_are_those_that_were_asked_for_and_strike_as_often() -> None:
    counts = {row.name: row.faults for row in ROWS}
    assert counts.items() >= COUNTS.items()
    assert counts.keys() - COUNTS.keys() == {"duplicates", "disorder", "poison", "link"}
    assert (FULL.transactions, FULL.customers, FULL.full_seconds) == (100_000, 5_000, 60.0)
    assert all(1 <= row.short_faults <= row.faults for row in ROWS)


def outcome(seconds: float) -> Outcome:
    verdict = Verdict(records=100_000, customers=5_000, changes=70_000)
    return Outcome(ROWS[0], verdict, 20, [2.0, seconds, 3.0], {"bytes lost": 1_234})


def test_report_of_passed_rows_gives_their_figures() -> None:
    text = render([outcome(4.0)], WHERE)
    assert "**1 of 1 rows passed.**" in text
    assert (
        "| worker kill -9 at random points | 20 | 100,000 | 5,000 | 70,000 | 0 | 0 | 0 | 0 | 0 | 0 "
        "| 3.0 / 4.0 / 20 | passed |"
    ) in text
    assert "SEED=4" in text
    assert "bytes lost 1,234" in text


def test_row_beyond_its_bound_has_failed_though_nothing_differs() -> None:
    late = outcome(20.5)
    assert late.failures == []
    assert not late.passed
    text = render([late], WHERE)
    assert "**0 of 1 rows passed.** Failed: worker-kill." in text
    assert "| failed: late |" in text


def test_row_with_a_difference_has_failed_and_the_report_shows_it() -> None:
    failed = outcome(4.0)
    failed.verdict.note("lost", "c7 is not in Redis")
    failed.failures += failed.verdict.said
    text = render([failed], WHERE)
    assert "## worker-kill failed" in text
    assert "lost: c7 is not in Redis" in text


def test_slope_is_that_of_least_squares_over_what_follows_the_warm_up() -> None:
    lifetime = Lifetime("w", [(0.0, 10.0), (60.0, 500.0), (3_600.0, 100.0), (7_200.0, 102.0)])
    assert lifetime.slope_per_hour(3_600.0) == 2.0
    assert lifetime.slope_per_hour(7_000.0) is None
    assert slope([(0.0, 1.0), (1.0, 1.0), (2.0, 4.0)], 1.0) == 1.5


def test_step_counts_as_growth_and_is_told_apart_from_what_goes_on() -> None:
    minutes = range(45)
    once = [(60.0 * at, 150.0 + 2.5 * (at >= 4)) for at in minutes]
    assert (slope(once, 3_600.0) or 0.0) > 1.4
    assert median_slope(once, 3_600.0) == 0.0
    often = [(60.0 * at, 150.0 + 0.25 * (at // 5)) for at in minutes]
    assert median_slope(often, 3_600.0) == pytest.approx(3.0, rel=0.1)


def soaked(growth: float) -> Soaked:
    found = Soaked(60, 5_000, 4, "a machine", "versions", 900.0, "worker-1", 18_000_000, 3_600.0)
    found.lifetimes["worker-1"] = Lifetime(
        "worker-1", [(float(at), 100.0 + growth * at / 3_600) for at in range(0, 3_600, 60)]
    )
    found.faults.append((120.0, next(iter(FAULTS)), 9.5))
    return found


def test_soak_passes_by_its_slope_and_by_verify() -> None:
    text, passed = render_soak(soaked(0.5))
    assert passed
    assert "grew by +0.50 MB an hour" in text
    assert "5,000 a second" in text
    assert "| 2.0 | worker kill -9 | 9.5 |" in text
    assert not render_soak(soaked(1.5))[1]
    differing = soaked(0.5)
    differing.failures.append("everscore verify: exit code 1")
    text, passed = render_soak(differing)
    assert not passed
    assert "exit code 1" in text
    short = soaked(50.0)
    short.seconds = 1_800.0
    text, passed = render_soak(short)
    assert passed
    assert "not judged: too short a time" in text
    nobody = soaked(0.5)
    nobody.lifetimes.clear()
    assert not render_soak(nobody)[1]
