"""How findings write numbers."""

from __future__ import annotations

from collections.abc import Iterable

_SECONDS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in order, neighbours drawn together.

    Examples
    --------
    >>> ranges([7, 0, 1, 2, 4, 5])
    '0–2, 4, 5, 7'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(str(number) for number in run)
        for run in runs
    )


def span(seconds: float) -> str:
    """A length of time in its largest unit.

    Examples
    --------
    >>> span(604800), span(5400), span(86400), span(0.4), span(0.00123)
    ('7 days', '1.5 hours', '1 day', '400 ms', '1.2 ms')
    """
    for size, unit in _SECONDS:
        if seconds >= size:
            amount = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{amount} {unit}" + ("" if amount == "1" else "s")
    thousandths = seconds * 1000
    return f"{thousandths:.0f} ms" if thousandths >= 10 else f"{thousandths:.2g} ms"


def size(count: float) -> str:
    """Bytes in powers of 1024, as Kafka's and Redis's settings count them.

    Examples
    --------
    >>> size(1114112), size(64 * 1024 * 1024), size(512)
    ('1.1 MB', '64 MB', '512 bytes')
    """
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count:.0f} bytes"


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number and what it counts.

    Examples
    --------
    >>> counted(1, "partition"), counted(12345, "partition"), counted(2, "copy", "copies")
    ('1 partition', '12,345 partitions', '2 copies')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
