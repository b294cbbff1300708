"""How many segments these customers have: the plot that says whether k can be relied on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ops.backtest.run import Backtest
from ops.report.style import ACCENT, LINE, SECOND, Plot
from scoring.review import monetary_value
from scoring.segment_count import AGREEMENT_MIN, CountQuality, judge_counts
from scoring.segments import Segmenter


def stability_plot(test: Backtest, seed: int) -> Plot:
    """Of everyone at the end of the calibration."""
    qualities = judge_counts(_points(test), seed)
    used = len(test.walked.scorecard.segments)
    return Plot(
        "stability",
        "How many segments are there?",
        "Share of customers who get the same segment when segments are found anew from other draws of "
        f"the same customers: mean, and worst draw. Above the grey line ({AGREEMENT_MIN:.0%}) a number "
        f"can be relied on; {used} are in use. Dotted: what k-means leaves unexplained (the elbow).",
        lambda figure: _draw(figure, qualities, used),
    )


def _points(test: Backtest) -> NDArray[np.float64]:
    numbers = test.walked.at_calibration
    known = numbers[numbers["frequency"] >= 0]
    segmenter = Segmenter(test.walked.scorecard)
    return segmenter.features(known["prob_alive"], known["frequency"], monetary_value(known))


def _draw(figure: Figure, qualities: Sequence[CountQuality], used: int) -> None:
    axes = figure.subplots()
    counts = [quality.count for quality in qualities]
    agreement = [quality.agreement * 100 for quality in qualities]
    worst = [quality.worst_agreement * 100 for quality in qualities]
    inertia = np.array([quality.inertia_per_customer for quality in qualities])
    axes.axhline(AGREEMENT_MIN * 100, color=LINE, linewidth=1)
    axes.axvline(used, color=LINE, linewidth=1, linestyle="--")
    axes.plot(counts, inertia / inertia.max() * 100, color=LINE, linestyle=":", label="elbow")
    axes.plot(counts, agreement, color=ACCENT, marker="o", markersize=4, label="mean")
    axes.plot(counts, worst, color=SECOND, marker="o", markersize=4, label="worst draw")
    axes.set_ylim(0, 103)
    axes.set_xticks(counts)
    axes.set_xlabel("number of segments")
    axes.set_ylabel("% the same")
    figure.legend(loc="outside lower center", ncols=3)
