"""`everscore backtest [FORMAT] [FILE…]`: what would have been predicted, and what came."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.backtest.render import as_json, markdown, screen
from ops.cli.past_purchases import (
    Asked,
    CalibrationUntil,
    CalibrationWeeks,
    DateFormat,
    DecimalComma,
    FamilyName,
    Files,
    FormatName,
    HoldoutUntil,
    HoldoutWeeks,
    Mapping,
    Timezone,
    run_asked,
    this_command,
    write_file,
)
from ops.cli.support import command, out, print_json


@command
def backtest(
    format_name: FormatName = "cdnow",
    files: Files = None,
    calibration_weeks: CalibrationWeeks = None,
    holdout_weeks: HoldoutWeeks = None,
    calibration_until: CalibrationUntil = None,
    holdout_until: HoldoutUntil = None,
    family: FamilyName = None,
    timezone: Timezone = None,
    mapping: Mapping = "",
    date_format: DateFormat = None,
    decimal_comma: DecimalComma = False,
    report: Annotated[
        Path | None, typer.Option(help="Write all of it into this Markdown file, too.")
    ] = None,
    json_wanted: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Learn from the first part of a file, predict the second, and say how good that was."""
    test, history = run_asked(
        Asked(
            format_name,
            files,
            calibration_weeks,
            holdout_weeks,
            calibration_until,
            holdout_until,
            family,
            timezone,
            mapping,
            date_format,
            decimal_comma,
        )
    )
    if report is not None:
        write_file(report, markdown(test, history, this_command()))
    if json_wanted:
        print_json(as_json(test, history))
        return
    out.print(screen(test, history))
    if report is not None:
        out.print(f"written to {report}", highlight=False)
