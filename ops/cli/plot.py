"""A small plot for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def column_plot(values: Sequence[float], *, height: int = 8, width: int = 64) -> list[str]:
    """Columns between 0 and 1, one line of text a row, labelled at 1, ½ and 0.

    >>> for line in column_plot([1.0, 0.5, 0.0], height=2, width=3):
    ...     print(line)
    1.0 ┤█
    0.5 ┤██
    """
    picked = [values[round(i * (len(values) - 1) / max(width - 1, 1))] for i in range(width)]
    eighths = [round(value * height * 8) for value in picked]
    lines = []
    for row in range(height - 1, -1, -1):
        top = (row + 1) / height
        label = f"{top:.1f}" if (row + 1) % max(height // 2, 1) == 0 else "   "
        cells = "".join(_EIGHTHS[min(max(value - row * 8, 0), 8)] for value in eighths)
        lines.append(f"{label} ┤{cells}".rstrip())
    return lines
