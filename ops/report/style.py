"""How the report's plots look, and how they leave matplotlib: as SVG for the page, as PNG for slides.

A plot is drawn with stand-ins for ink, lines and paper; in SVG these become variables of the page's style
sheet, so that one drawing serves light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK, LINE, PAPER = "#101113", "#c9c8c5", "#fdfcfb"
"""Of the light page. No plot uses these three for data: in SVG they are exchanged."""

_VARIABLES = {INK: "var(--ink)", LINE: "var(--line)", PAPER: "var(--paper)"}

ACCENT, SECOND = "#2a8f9d", "#e07b39"
"""Model and truth, wherever both are drawn; both are legible on white and on near black."""

_SEGMENT_COLOURS = {
    "Champions": "#2a9d6f",
    "Loyal": "#4a86d8",
    "Potential": "#6fb4c9",
    "Promising": "#7fae52",
    "Can't-Lose": "#c2543e",
    "At-Risk": "#e0963a",
    "Slipping": "#c78fb0",
    "Hibernating": "#8d83ad",
}
_OTHER_COLOURS = ("#9c755f", "#bab0ac", "#d37295", "#499894")

MAP = "viridis"
PNG_DOTS_PER_INCH = 160
_RC: Any = {  # its stubs know a literal of every key, and no dictionary of some
    "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
    "svg.hashsalt": "everscore",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.9,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
}
WIDTH, HEIGHT = 4.3, 3.2
"""Inches. Letters are 10 pixels high on a page of 390, 16 on one of 1280; wider shrinks the former."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One drawing, and what to say of it.

    Attributes
    ----------
    name : str
        Of its file, without the ending.
    title, reading : str
    draw : callable
        Draws into an empty figure.
    """

    name: str
    title: str
    reading: str
    draw: Callable[[Figure], None]


def segment_colour(name: str, index: int) -> str:
    """The colour of a segment, the same in all plots."""
    return _SEGMENT_COLOURS.get(name, _OTHER_COLOURS[index % len(_OTHER_COLOURS)])


def svg(plot: Plot) -> str:
    """The plot as an element of the page: no prologue, ids of its own, the page's colours."""
    buffer = io.BytesIO()
    with _drawn(plot) as figure:
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r'\bid="', f'id="{plot.name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{plot.name}-", text)
    # The page says how wide it is; the proportions are in the viewBox.
    text = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", text, count=1)
    text = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(plot.title)}"', 1)


def png(plot: Plot) -> bytes:
    """The plot as a picture on light paper."""
    buffer = io.BytesIO()
    with _drawn(plot) as figure:
        figure.set_facecolor(PAPER)
        figure.savefig(buffer, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def _drawn(plot: Plot) -> Iterator[Figure]:
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        plot.draw(figure)
        yield figure
