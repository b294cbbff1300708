"""Plots of the model: what it says of every history, and how that compares with what came."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ops.backtest.run import Backtest
from ops.report.portrait import EXPECTED_DAYS, Portrait
from ops.report.style import ACCENT, INK, LINE, MAP, SECOND, Plot
from scoring.backtest import HELD_OUT_MAX

_DOT_POINTS = (25.0, 260.0)  # area of the smallest and the largest calibration dot


def model_plots(portrait: Portrait, test: Backtest) -> Iterator[Plot]:
    """All of them, in the order of reading."""
    matrix = portrait.matrix
    yield Plot(
        "calibration",
        "Is P(buy) to be taken at its word?",
        "Each dot holds the customers of one tenth of predicted probability, as large as their number. "
        "On the line, as many bought as predicted; above it, more.",
        lambda figure: _calibration(figure, test),
    )
    yield Plot(
        "holdout",
        "Holdout: expected and actual purchases",
        "Mean purchase days of a customer in the holdout, by repeat purchases in the calibration.",
        lambda figure: _holdout(figure, test),
    )
    yield Plot(
        "tracking",
        "Cumulative repeat purchases",
        "Of everyone met in the calibration, week by week. The expectation knows only when each of them "
        "first bought; right of the line it had not seen the data.",
        lambda figure: _tracking(figure, portrait),
    )
    yield Plot(
        "matrix-alive",
        "P(alive) of every history",
        f"Of customers who first bought {matrix.age_days:.0f} days ago, by their repeat purchases and the "
        "day of the last. Who used to buy often and stopped is likelier gone than who never did.",
        lambda figure: _matrix(figure, portrait, matrix.prob_alive, "P(alive)"),
    )
    yield Plot(
        "matrix-expected",
        f"Purchases expected in {EXPECTED_DAYS:.0f} days",
        "The same histories: many purchases and a late last one promise most.",
        lambda figure: _matrix(figure, portrait, matrix.expected, "purchase days"),
    )


def _calibration(figure: Figure, test: Backtest) -> None:
    axes = figure.subplots()
    bins = test.figures[0].calibration
    count = np.array([part.count for part in bins], dtype=float)
    least, most = _DOT_POINTS
    area = least + (most - least) * np.sqrt(count / count.max())
    axes.plot([0, 100], [0, 100], color=LINE, linewidth=1)
    predicted = [part.predicted * 100 for part in bins]
    happened = [part.happened * 100 for part in bins]
    axes.plot(predicted, happened, color=ACCENT, linewidth=1)
    axes.scatter(predicted, happened, area, color=ACCENT, alpha=0.85, linewidth=0)
    axes.set(xlim=(0, 100), ylim=(0, 102))
    axes.set_xlabel("% predicted to buy")
    axes.set_ylabel("% who bought")


def _holdout(figure: Figure, test: Backtest) -> None:
    axes = figure.subplots()
    at = np.arange(len(test.held_out))
    expected = [group.expected for group in test.held_out]
    actual = [group.actual for group in test.held_out]
    axes.bar(at - 0.19, expected, 0.36, color=ACCENT, label="expected")
    axes.bar(at + 0.19, actual, 0.36, color=SECOND, label="came")
    labels = [
        f"{group.frequency}+" if group.frequency == HELD_OUT_MAX else str(group.frequency)
        for group in test.held_out
    ]
    axes.set_xticks(at, labels)
    axes.set_xlabel("repeat purchases in the calibration")
    axes.set_ylabel("purchase days in the holdout")
    figure.legend(loc="outside lower center", ncols=2)


def _tracking(figure: Figure, portrait: Portrait) -> None:
    axes = figure.subplots()
    track = portrait.tracking
    axes.axvline(portrait.tracked_weeks_learnt, color=LINE, linewidth=1)
    axes.plot(track.weeks, track.expected, color=ACCENT, linestyle="--", label="expected")
    axes.plot(track.weeks, track.actual, color=SECOND, label="came")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set(xlim=(0, int(track.weeks[-1])))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("weeks")
    axes.set_ylabel("repeat purchase days")
    figure.legend(loc="outside lower center", ncols=2)


def _matrix(figure: Figure, portrait: Portrait, values: NDArray[np.float64], label: str) -> None:
    axes = figure.subplots()
    matrix = portrait.matrix
    image = axes.imshow(
        values,
        cmap=MAP,
        origin="lower",
        aspect="auto",
        extent=(-0.5, float(matrix.frequency[-1]) + 0.5, 0.0, matrix.age_days),
        interpolation="nearest",
        vmin=0,
    )
    axes.set_xlabel("repeat purchases")
    axes.set_ylabel("days from first to last")
    bar = figure.colorbar(image, ax=axes, label=label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK)
