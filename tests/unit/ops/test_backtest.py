"""`everscore backtest` on a shop whose truth a plain loop can tell."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from ops.backtest.periods import Periods, Wanted, split
from ops.cli.main import app
from ops.cli.support import Exit
from schemas.errors import ConfigurationError
from tests.support.shop import OPENED, purchases, write_lines

DAYS = 280
SPLIT = ["--calibration-weeks", "20", "--holdout-weeks", "15"]


@pytest.fixture(scope="module")
def records():
    return purchases(1_500, DAYS)


@pytest.fixture(scope="module")
def shop(records, tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("shop") / "shop.jsonl", records)


def run(*arguments, **environment):
    environment = {"COLUMNS": "80", **environment}
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)], env=environment)


def document(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == Exit.OK, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def found(shop):
    return document("jsonl", shop, *SPLIT)


def days_of(records, first, last):
    days = {}
    for customer, moment, _ in records:
        if first <= (moment - OPENED).days < last:
            days.setdefault(customer, set()).add((moment - OPENED).days)
    return days


def test_what_came_is_what_a_plain_loop_counts(found, records):
    start = (records[0][1] - OPENED).days
    before = days_of(records, start, start + 140)
    after = days_of(records, start + 140, start + 245)
    bought = [len(after[customer]) for customer in before if customer in after]
    assert found["learnt"]
    assert found["customers"] == len(before)
    assert (found["bought"], found["purchase_days"]) == (len(bought), sum(bought))
    first = (OPENED + timedelta(days=start)).date()
    assert found["periods"]["calibration_from"] == str(first)
    assert found["periods"]["calibration_until"] == str(first + timedelta(days=139))
    assert found["periods"]["holdout_until"] == str(first + timedelta(days=244))


def test_model_is_calibrated_on_customers_who_live_by_it(found):
    ours = found["predictions"][0]
    assert ours["calibration_error"] < 0.05
    # Two purchases of a day are one purchase day, which the model does not know: 20,000 such
    # customers give +7 %, these 1,500 +17 %.
    assert abs(ours["expected_error"]) < 0.2
    assert ours["prob_purchase_auc"] > 0.7
    assert sum(part["count"] for part in ours["calibration"]) == found["customers"]


def test_future_beyond_the_holdout_changes_no_prediction(records, tmp_path, found):
    end = (records[0][1] - OPENED).days + 245
    known = [record for record in records if (record[1] - OPENED).days < end]
    assert len(known) < len(records)
    shorter = document("jsonl", write_lines(tmp_path / "known.jsonl", known), *SPLIT)
    assert shorter["predictions"] == found["predictions"]
    assert shorter["scorecard"] == found["scorecard"]


def test_holdout_changes_nothing_that_was_learnt(records, tmp_path, found):
    end = (records[0][1] - OPENED).days + 140
    known = [record for record in records if (record[1] - OPENED).days < end]
    lone = ("c-00000", OPENED + timedelta(days=end + 3), 1.0)
    other = document("jsonl", write_lines(tmp_path / "lone.jsonl", [*known, lone]), *SPLIT[:2])
    assert other["scorecard"] == found["scorecard"]
    assert other["purchase_days"] == 1


def test_wholly_cancelled_day_of_the_holdout_is_no_purchase(records, tmp_path, found):
    # Every purchase of one day of the holdout is taken back on that day.
    target = (records[0][1] - OPENED).days + 150
    cancelled = [record for record in records if (record[1] - OPENED).days == target]
    assert cancelled
    refunds = [(who, at + timedelta(microseconds=1), -amount) for who, at, amount in cancelled]
    both = sorted([*records, *refunds], key=lambda record: record[1])
    file = write_lines(tmp_path / "refunds.jsonl", both)
    known = days_of(records, 0, target - 10)
    lost = {who for who, _, _ in cancelled if who in known}
    assert lost
    assert document("jsonl", file, *SPLIT)["purchase_days"] == found["purchase_days"] - len(lost)


def test_purchase_that_stands_in_the_file_twice_counts_once(shop, tmp_path, found):
    lines = shop.read_text(encoding="utf-8").splitlines()
    twice = tmp_path / "twice.jsonl"
    twice.write_text("\n".join(line for line in lines for _ in range(2)), encoding="utf-8")
    again = document("jsonl", twice, *SPLIT)
    assert again["events"] == 2 * found["events"]
    for name in ("customers", "purchase_days", "predictions", "segments", "warnings"):
        assert again[name] == found[name], name


def test_screen_fits_eighty_columns_and_the_report_has_the_same_tables(shop, tmp_path):
    target = tmp_path / "report.md"
    result = run("jsonl", shop, *SPLIT, "--report", target)
    assert result.exit_code == Exit.OK
    text = target.read_text(encoding="utf-8")
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert len(titles) == 7
    flat = " ".join(result.stdout.split())
    for title in titles:
        assert title in flat
    assert "…" not in result.stdout  # nothing was cut for want of room
    assert max(map(len, result.stdout.splitlines()[:-2])) <= 80
    ours = next(
        line for line in text.splitlines() if line.startswith("| Everscore (MBG/NBD): P(buy)")
    )
    assert all(cell in flat for cell in ours.split("|")[1:-1][1:] if cell.strip())


def test_shop_too_small_to_learn_from_is_judged_by_the_bootstrap_scorecard(tmp_path):
    file = write_lines(tmp_path / "small.jsonl", purchases(60, DAYS))
    found = document("jsonl", file, *SPLIT)
    assert not found["learnt"]
    assert found["scorecard"]["origin"] == "bootstrap"
    assert "100 are needed" in found["notes"][0]
    assert "bootstrap-0" in found["notes"][0]


def test_holdout_without_a_purchase_is_refused_with_the_next_step(records, tmp_path):
    end = (records[0][1] - OPENED).days + 140
    known = [record for record in records if (record[1] - OPENED).days < end]
    stranger = ("stranger", OPENED + timedelta(days=end + 3), 1.0)
    result = run("jsonl", write_lines(tmp_path / "none.jsonl", [*known, stranger]), *SPLIT[:2])
    assert result.exit_code == Exit.CONFIG
    assert "bought in the" in result.stderr
    assert "--holdout-weeks" in result.stderr


def test_records_of_another_currency_are_counted_and_named(shop, tmp_path):
    file = write_lines(tmp_path / "euro.jsonl", purchases(5, DAYS), currency="EUR")
    result = run("jsonl", file)
    assert result.exit_code == Exit.BAD_INPUT
    assert "EVERSCORE_CURRENCY (USD)" in result.stderr
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(shop.read_text() + file.read_text(), encoding="utf-8")
    assert document("jsonl", mixed, *SPLIT)["refused"] == len(file.read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--calibration-weeks", "500"], "--calibration-until or --calibration-weeks"),
        (["--holdout-until", "2031-01-01"], "2031-01-01"),
        (["--calibration-weeks", "9", "--calibration-until", "2025-03-01"], "Give one of them"),
    ],
)
def test_periods_outside_the_data_are_refused_with_the_next_step(shop, arguments, said):
    result = run("jsonl", shop, *arguments)
    assert result.exit_code == Exit.CONFIG
    assert said in result.stderr


def test_dates_and_weeks_say_the_same():
    days = np.array([20_000, 20_400])
    by_weeks = split(days, Wanted(calibration_weeks=30, holdout_weeks=10))
    by_date = split(days, Wanted(None, None, date(2025, 5, 1), date(2025, 7, 10)))
    assert by_weeks == by_date == Periods(20_000, 20_209, 20_279, 20_400)


def test_single_day_of_data_has_no_holdout():
    with pytest.raises(ConfigurationError, match="the calibration would end on 1970-01-05"):
        split(np.array([5, 5]), Wanted())


def test_report_into_a_folder_that_is_not_there_is_one_line(shop, tmp_path):
    result = run("jsonl", shop, *SPLIT, "--report", tmp_path / "absent" / "report.md")
    assert result.exit_code == Exit.BAD_INPUT
    assert "cannot be written" in result.stderr
