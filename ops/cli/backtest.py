"""`everscore backtest [FORMAT] [FILE…]`: what would have been predicted, and what came."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ops.backtest.history import read_history
from ops.backtest.periods import Wanted, split
from ops.backtest.render import as_json, markdown, screen
from ops.backtest.run import run_backtest
from ops.cli.support import command, err, out, print_json, read_settings
from ops.loaders.formats import FORMATS
from ops.loaders.mapped_csv import parse_mapping
from ops.loaders.source import LoadOptions
from schemas.errors import SourceFileError
from schemas.scorecard import Family

_FORMATS_HELP = "; ".join(f"{name}: {kind.description}" for name, kind in FORMATS.items())


@command
def backtest(
    format_name: Annotated[str, typer.Argument(metavar="[FORMAT]", help=_FORMATS_HELP)] = "cdnow",
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...")] = None,
    calibration_weeks: Annotated[
        int | None, typer.Option(min=1, help="Weeks to learn from; half of the data by default.")
    ] = None,
    holdout_weeks: Annotated[
        int | None, typer.Option(min=1, help="Weeks to predict; as many as those by default.")
    ] = None,
    calibration_until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day to learn from.")
    ] = None,
    holdout_until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day to predict.")
    ] = None,
    family: Annotated[
        Family | None, typer.Option(help="Dropout model; EVERSCORE_FAMILY by default.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times without an offset.")] = None,
    mapping: Annotated[
        str, typer.Option("--map", help="csv: customer_id=COLUMN,occurred_at=COLUMN,amount=COLUMN…")
    ] = "",
    date_format: Annotated[str | None, typer.Option(help="csv: strptime format of times.")] = None,
    decimal_comma: Annotated[bool, typer.Option(help="csv: amounts like 1.234,56.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write all of it into this Markdown file, too.")
    ] = None,
    json_wanted: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Learn from the first part of a file, predict the second, and say how good that was."""
    settings = read_settings(family=family)
    options = LoadOptions(
        timezone=timezone,
        columns=parse_mapping(mapping) if mapping else {},
        date_format=date_format,
        decimal_comma=decimal_comma,
    )
    wanted = Wanted(
        calibration_weeks,
        holdout_weeks,
        calibration_until.date() if calibration_until else None,
        holdout_until.date() if holdout_until else None,
    )
    with err.status("reading …") as status:
        history = read_history(format_name, files or [], options, settings)
        periods = split(history.days, wanted)
        status.update(f"{len(history.customer_ids):,} customers, {periods.text()} …")
        test = run_backtest(history, periods, settings)
    if report is not None:
        said = shlex.join(["everscore", *sys.argv[1:]])
        try:
            report.write_text(markdown(test, history, said), encoding="utf-8")
        except OSError as error:
            raise SourceFileError(
                f"{report} cannot be written: {error.strerror}.", hint="Name another file."
            ) from None
    if json_wanted:
        print_json(as_json(test, history))
        return
    out.print(screen(test, history))
    if report is not None:
        out.print(f"written to {report}", highlight=False)
