"""What a person sees of the demo: progress while it runs, a summary when it is done."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.demo import Outcome, Tally

_BAR = 28
_ORDER = ("Champions", "Loyal", "At-Risk", "Hibernating")


def live_view(tally: Tally) -> Group:
    """The screen while the replay runs."""
    progress = tally.progress
    counted = progress.read if progress else 0
    head = Table.grid(padding=(0, 2))
    head.add_row(
        ProgressBar(total=tally.total, completed=counted, width=40),
        f"{counted:,} of {tally.total:,} purchases",
        f"{counted / max(tally.seconds, 0.1):,.0f} events/s",
    )
    today = "—"
    if progress and progress.applied:
        today = datetime.fromtimestamp(progress.clock_us / 1e6, tz=UTC).strftime("%Y-%m-%d")
    facts = Table.grid(padding=(0, 2))
    facts.add_row("stream time", Text(today, style="bold"))
    facts.add_row("customers", f"{progress.customers if progress else 0:,}")
    facts.add_row("changes", f"{tally.changes:,}  ({causes_line(tally.causes)})")
    facts.add_row("scorecard", tally.scorecards[-1] if tally.scorecards else "—")
    latest = Text("\n".join(tally.latest) or "waiting for the first change …")
    return Group(
        head,
        facts,
        Panel(segments_table(tally.sizes), title="segments now", title_align="left"),
        Panel(latest, title="latest changes of segment", title_align="left"),
    )


def progress_line(tally: Tally) -> str:
    """The same in one line."""
    counted = tally.progress.read if tally.progress else 0
    latest = f"; latest: {tally.latest[-1]}" if tally.latest else ""
    return (
        f"{counted:,} of {tally.total:,} purchases, {counted / max(tally.seconds, 0.1):,.0f} events/s, "
        f"{tally.changes:,} changes{latest}"
    )


def causes_line(causes: Counter[str]) -> str:
    """Causes with their counts, the most frequent first."""
    return ", ".join(f"{cause} {count:,}" for cause, count in causes.most_common()) or "none yet"


def segments_table(sizes: Counter[str], revenue: Counter[str] | None = None) -> Table:
    """Segments with their sizes, and their share of revenue if known."""
    table = Table.grid(padding=(0, 2))
    total = max(sum(sizes.values()), 1)
    money = max(sum(revenue.values()), 1) if revenue is not None else 1
    names = [name for name in _ORDER if name in sizes]
    names += sorted(name for name in sizes if name not in _ORDER)
    for name in names:
        share = sizes[name] / total
        row: list[str | Text] = [
            name or "not scored",
            Text(f"{sizes[name]:,}", justify="right"),
            Text("█" * round(share * _BAR), style="cyan"),
            Text(f"{share:.0%} of customers", justify="right"),
        ]
        if revenue is not None:
            row.append(Text(f"{revenue[name] / money:.0%} of revenue", justify="right"))
        table.add_row(*row)
    return table


def summary(outcome: Outcome) -> Group:
    """What came out of it."""
    progress, parity, tally = outcome.progress, outcome.parity, outcome.tally
    facts = Table.grid(padding=(0, 2))
    facts.add_row("purchases counted", f"{progress.applied:,} of {tally.published:,} published")
    facts.add_row("customers", f"{progress.customers:,}")
    facts.add_row("dead letters", f"{progress.dead:,}")
    facts.add_row("duplicates", f"{progress.duplicates:,}")
    facts.add_row("changes", f"{tally.changes:,}, gaps in their sequences: {tally.gaps}")
    for cause, count in tally.causes.most_common():
        facts.add_row(f"  by {cause}", f"{count:,}")
    facts.add_row("scorecards", " → ".join(tally.scorecards))
    facts.add_row(
        "speed",
        f"{tally.total / outcome.replay_seconds:,.0f} events/s "
        f"({outcome.replay_seconds:.1f} s, producer, broker, worker and Redis on this machine)",
    )
    verdict = "green" if parity.equal == parity.customers else "bold red"
    line = Text(
        f"{parity.equal:,} of {parity.customers:,} customers equal to lifetimes "
        "(frequency, recency, T, monetary value; ≤ 1e-9)",
        style=verdict,
    )
    parts: list[RenderableType] = [
        Panel(facts, title="what happened", title_align="left"),
        Panel(segments_table(outcome.sizes, outcome.revenue), title="segments", title_align="left"),
        line,
    ]
    if parity.differing:
        parts.append(Text(f"first differing: {', '.join(parity.differing)}", style="red"))
    return Group(*parts)
