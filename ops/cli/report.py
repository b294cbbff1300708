"""`everscore report [FORMAT] [FILE…]`: the customer base drawn, and the backtest beside it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ops.backtest.render import opening
from ops.backtest.tables import sheets
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
from ops.cli.support import command, err, out, read_names
from schemas.errors import ConfigurationError, SourceFileError


@command
def report(
    format_name: FormatName = "cdnow",
    files: Files = None,
    to: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path(
        "everscore-report.html"
    ),
    png: Annotated[
        Path | None, typer.Option(help="Write each plot into this folder as a picture, too.")
    ] = None,
    calibration_weeks: CalibrationWeeks = None,
    holdout_weeks: HoldoutWeeks = None,
    calibration_until: CalibrationUntil = None,
    holdout_until: HoldoutUntil = None,
    family: FamilyName = None,
    timezone: Timezone = None,
    mapping: Mapping = "",
    date_format: DateFormat = None,
    decimal_comma: DecimalComma = False,
) -> None:
    """Draw segments, RFM, retention, migrations and the model's quality into one HTML file."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(
            "the report is drawn by matplotlib, which is not installed.",
            hint="Run: pip install 'everscore[report]'",
        )
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
    # matplotlib takes a second to import, and is an extra.
    from ops.report.customer_plots import customer_plots  # noqa: PLC0415
    from ops.report.model_plots import model_plots  # noqa: PLC0415
    from ops.report.page import page  # noqa: PLC0415
    from ops.report.portrait import draw_portrait  # noqa: PLC0415
    from ops.report.stability_plot import stability_plot  # noqa: PLC0415
    from ops.report.style import png as picture  # noqa: PLC0415

    with err.status("drawing …"):
        portrait = draw_portrait(test, history)
        parts = [
            ("The customers", list(customer_plots(portrait))),
            ("The model", [*model_plots(portrait, test), stability_plot(test, read_names().seed)]),
        ]
        title = f"Customers of {', '.join(file.name for file in files or []) or format_name}"
        html = page(title, opening(test, history), parts, list(sheets(test)), this_command())
        write_file(to, html)
        if png is not None:
            try:
                png.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SourceFileError(
                    f"{png} cannot be made: {error.strerror}.", hint="Name another folder."
                ) from None
            for _, plots in parts:
                for plot in plots:
                    write_file(png / f"{plot.name}.png", picture(plot))
    plots_drawn = sum(len(plots) for _, plots in parts)
    out.print(f"{plots_drawn} plots in {to} ({len(html.encode()) / 1e3:,.0f} kB)", highlight=False)
    if png is not None:
        out.print(f"and as pictures in {png}", highlight=False)
