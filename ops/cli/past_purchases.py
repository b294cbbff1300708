"""What `everscore backtest` and `everscore report` ask alike: which file, which periods."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from ops.backtest.history import History, read_history
from ops.backtest.periods import Wanted, split
from ops.backtest.run import Backtest, run_backtest
from ops.cli.support import err, read_settings
from ops.loaders.formats import FORMATS
from ops.loaders.mapped_csv import parse_mapping
from ops.loaders.source import LoadOptions
from schemas.errors import SourceFileError
from schemas.scorecard import Family

_FORMATS_HELP = "; ".join(f"{name}: {kind.description}" for name, kind in FORMATS.items())
_DAY = ["%Y-%m-%d"]

FormatName: TypeAlias = Annotated[str, typer.Argument(metavar="[FORMAT]", help=_FORMATS_HELP)]
Files: TypeAlias = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...")]
CalibrationWeeks: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Weeks to learn from; half of the data by default.")
]
HoldoutWeeks: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Weeks to predict; as many as those by default.")
]
CalibrationUntil: TypeAlias = Annotated[
    datetime | None, typer.Option(formats=_DAY, help="Last day to learn from.")
]
HoldoutUntil: TypeAlias = Annotated[
    datetime | None, typer.Option(formats=_DAY, help="Last day to predict.")
]
FamilyName: TypeAlias = Annotated[
    Family | None, typer.Option(help="Dropout model; EVERSCORE_FAMILY by default.")
]
Timezone: TypeAlias = Annotated[
    str | None, typer.Option(help="Zone of the file's times without an offset.")
]
Mapping: TypeAlias = Annotated[
    str, typer.Option("--map", help="csv: customer_id=COLUMN,occurred_at=COLUMN,amount=COLUMN…")
]
DateFormat: TypeAlias = Annotated[str | None, typer.Option(help="csv: strptime format of times.")]
DecimalComma: TypeAlias = Annotated[bool, typer.Option(help="csv: amounts like 1.234,56.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person gave, as it came from the command line."""

    format_name: str
    files: list[Path] | None
    calibration_weeks: int | None
    holdout_weeks: int | None
    calibration_until: datetime | None
    holdout_until: datetime | None
    family: Family | None
    timezone: str | None
    mapping: str
    date_format: str | None
    decimal_comma: bool


def run_asked(asked: Asked) -> tuple[Backtest, History]:
    """Read the file and run the backtest, saying on stderr what is being done."""
    settings = read_settings(family=asked.family)
    options = LoadOptions(
        timezone=asked.timezone,
        columns=parse_mapping(asked.mapping) if asked.mapping else {},
        date_format=asked.date_format,
        decimal_comma=asked.decimal_comma,
    )
    wanted = Wanted(
        asked.calibration_weeks,
        asked.holdout_weeks,
        asked.calibration_until.date() if asked.calibration_until else None,
        asked.holdout_until.date() if asked.holdout_until else None,
    )
    with err.status("reading …") as status:
        history = read_history(asked.format_name, asked.files or [], options, settings)
        periods = split(history.days, wanted)
        status.update(f"{len(history.customer_ids):,} customers, {periods.text()} …")
        return run_backtest(history, periods, settings), history


def this_command() -> str:
    """How it was called, for the foot of what it writes."""
    return shlex.join(["everscore", *sys.argv[1:]])


def write_file(path: Path, content: str | bytes) -> None:
    """Write a result, or say in one line why that cannot be."""
    try:
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_bytes(content)
    except OSError as error:
        raise SourceFileError(
            f"{path} cannot be written: {error.strerror}.", hint="Name another place."
        ) from None
