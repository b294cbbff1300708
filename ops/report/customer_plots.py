"""Plots of the customers: shares, concentration, RFM, retention, migrations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from ops.report.portrait import Portrait
from ops.report.style import ACCENT, INK, LINE, MAP, SECOND, Plot, segment_colour
from scoring.portrait import RETENTION_DAYS, ScoreGrid

_PARETO = 20  # per cent
_DARK_CELL = 0.6  # of the colour map: from here on it is light, and letters on it dark
_NODE_WIDTH, _NODE_GAP = 0.04, 0.03


def customer_plots(portrait: Portrait) -> Iterator[Plot]:
    """All of them, in the order of reading."""
    held = portrait.concentration[1][_PARETO]
    yield Plot(
        "segments",
        "Segments: customers and revenue",
        "Each segment's share of the customers, and of all they have spent, when the data ends.",
        lambda figure: _shares(figure, portrait),
    )
    yield Plot(
        "concentration",
        f"The best {_PARETO}% bring {held:.0%} of the revenue",
        "Customers from the one who spent most down. On the grey line all would spend the same.",
        lambda figure: _concentration(figure, portrait),
    )
    yield Plot(
        "migrations",
        "Who went where",
        "Left: segments at the end of the calibration (new: no customer yet). Right: when the data "
        "ends. A band is as broad as the number of its customers.",
        lambda figure: _migrations(figure, portrait),
    )
    if portrait.retention.shape[1]:  # else the data ends within the first window
        yield Plot(
            "retention",
            "Retention by segment",
            f"Segments at the end of the calibration: the share of each that bought within each "
            f"{RETENTION_DAYS} days after it.",
            lambda figure: _retention(figure, portrait),
        )
    yield Plot(
        "rfm-quintiles",
        "RFM by quintiles",
        "Customers by recency and frequency score, 5 is best. Quintiles of these customers: half of "
        "them may share one value, then scores between are empty.",
        lambda figure: _grid(figure, portrait.quintiles),
    )
    yield Plot(
        "rfm-min-max",
        "RFM on the 0–5 min–max scale",
        "Weeks since the last purchase and number of purchase days, each between the least (0) and "
        "the largest (5) of all customers, rounded. Whoever stands out stands alone.",
        lambda figure: _grid(figure, portrait.min_max),
    )


def _shares(figure: Figure, portrait: Portrait) -> None:
    axes = figure.subplots()
    at = np.arange(len(portrait.shares))[::-1]
    customers = [share.customer_share for share in portrait.shares]
    revenue = [share.revenue_share for share in portrait.shares]
    for offset, values, colour, label in (
        (0.19, customers, LINE, "of the customers"),
        (-0.19, revenue, ACCENT, "of the revenue"),
    ):
        bars = axes.barh(at + offset, values, 0.36, color=colour, label=label)
        axes.bar_label(bars, [f"{value:.0%}" for value in values], padding=3, fontsize=8.0)
    axes.set_yticks(at, [f"{share.name}\n{share.customers:,}" for share in portrait.shares])
    axes.set_xlim(0, max(customers + revenue) * 1.14)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    figure.legend(loc="outside lower center", ncols=2)


def _concentration(figure: Figure, portrait: Portrait) -> None:
    axes = figure.subplots()
    customers, revenue = portrait.concentration
    axes.plot([0, 100], [0, 100], color=LINE, linewidth=1)
    axes.plot(customers * 100, revenue * 100, color=ACCENT)
    held = revenue[_PARETO] * 100
    axes.plot([_PARETO, _PARETO, 0], [0, held, held], color=SECOND, linewidth=1, linestyle="--")
    axes.annotate(
        f"{_PARETO}% → {held:.0f}%", (_PARETO, held), (7, -12), textcoords="offset points"
    )
    axes.set(xlim=(0, 100), ylim=(0, 101))
    axes.set_xlabel("% of the customers")
    axes.set_ylabel("% of the revenue")


def _grid(figure: Figure, grid: ScoreGrid) -> None:
    axes = figure.subplots()
    counts = grid.customers
    shade = np.log1p(counts) / max(float(np.log1p(counts.max())), 1.0)
    axes.imshow(
        np.where(counts > 0, shade, np.nan), cmap=MAP, vmin=0, vmax=1, origin="lower", aspect="auto"
    )
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "#111111" if shade[row, column] > _DARK_CELL else "#ffffff"
            text = f"{count:,}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.0)
    at = np.arange(len(grid.scores))
    axes.set_xticks(at, [str(score) for score in grid.scores])
    axes.set_yticks(at, [str(score) for score in grid.scores])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("frequency score")
    axes.set_ylabel("recency score")


def _retention(figure: Figure, portrait: Portrait) -> None:
    axes = figure.subplots()
    weeks = RETENTION_DAYS // 7 * np.arange(1, portrait.retention.shape[1] + 1)
    for name in (share.name for share in portrait.shares):
        index = portrait.segments.index(name)
        shares = portrait.retention[index]
        if np.isfinite(shares).any():
            axes.plot(
                weeks,
                shares * 100,
                color=segment_colour(name, index),
                marker="o",
                markersize=3.5,
                label=name,
            )
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.set_xticks(weeks)
    axes.set_xlabel("weeks after the calibration")
    axes.set_ylabel("% who bought")
    figure.legend(loc="outside lower center", ncols=2)


def _migrations(figure: Figure, portrait: Portrait) -> None:
    axes = figure.subplots()
    flows = portrait.migrations
    total = max(int(flows.sum()), 1)
    names = [*portrait.segments, "new"]
    colours = [segment_colour(name, index) for index, name in enumerate(portrait.segments)]
    colours.append(LINE)
    # From the segment of most value down, as the shares are listed; strangers last.
    order = [portrait.segments.index(share.name) for share in portrait.shares]
    order += [index for index in range(len(portrait.segments)) if index not in order]
    left = [index for index in [*order, len(portrait.segments)] if flows[index].any()]
    right = [index for index in order if flows[:, index].any()]
    starts = _stacked(flows.sum(axis=1)[left] / total, left)
    ends = _stacked(flows.sum(axis=0)[right] / total, right)
    for here in left:
        top, size = starts[here], flows[here].sum() / total
        _node(axes, 0.0, top, size, colours[here], f"{names[here]} {flows[here].sum():,}", "left")
    for there in right:
        size = flows[:, there].sum() / total
        label = f"{names[there]} {flows[:, there].sum():,}"
        _node(axes, 1.0 - _NODE_WIDTH, ends[there], size, colours[there], label, "right")
    below_start, below_end = dict(starts), dict(ends)
    for here in left:
        for there in right:
            size = flows[here, there] / total
            if size:
                _band(axes, below_start[here], below_end[there], size, colours[here])
                below_start[here] -= size
                below_end[there] -= size
    axes.set(xlim=(-0.01, 1.01), ylim=(-_NODE_GAP * len(left) - 0.02, 1.05))
    axes.axis("off")


def _stacked(sizes: np.ndarray, order: list[int]) -> dict[int, float]:
    """Upper edge of each, from 1 downwards with gaps between."""
    tops, top = {}, 1.0
    for index, size in zip(order, sizes.tolist(), strict=True):
        tops[index] = top
        top -= size + _NODE_GAP
    return tops


def _node(axes, x: float, top: float, size: float, colour: str, label: str, side: str) -> None:  # type: ignore[no-untyped-def]
    axes.add_patch(Rectangle((x, top - size), _NODE_WIDTH, size, color=colour, linewidth=0))
    at = x + _NODE_WIDTH + 0.01 if side == "left" else x - 0.01
    align = "left" if side == "left" else "right"
    axes.text(at, top - size / 2, label, ha=align, va="center", fontsize=8.0, color=INK)


def _band(axes, start: float, end: float, size: float, colour: str) -> None:  # type: ignore[no-untyped-def]
    x0, x1, middle = _NODE_WIDTH, 1.0 - _NODE_WIDTH, 0.5
    corners = [
        (x0, start), (middle, start), (middle, end), (x1, end),
        (x1, end - size), (middle, end - size), (middle, start - size), (x0, start - size),
        (x0, start),
    ]  # fmt: skip
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(corners, codes), facecolor=colour, alpha=0.38, linewidth=0))
