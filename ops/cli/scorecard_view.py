"""How a scorecard looks to a person: tables, a matrix of moves, and a report in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ops.cli.customers import when
from ops.posterior import LEVEL, Credible
from ops.scorecards import Comparison, Entry
from schemas.scorecard import Family, Scorecard
from scoring.segment_count import CountQuality
from scoring.segments import Segmenter

MODELS = {Family.MBGNBD: "MBG/NBD", Family.BGNBD: "BG/NBD"}
_NOTHING = "—"
CANDIDATE = "candidate"


def plain_table(*headers: str, right_from: int = 1) -> Table:
    """A table without lines, its numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < right_from else "right")
    return table


def parameters_table(
    card: Scorecard,
    before: Scorecard | None = None,
    names: tuple[str, str] = ("before", CANDIDATE),
) -> Table:
    """Parameters and what they mean, those of another scorecard before them."""
    cards = [card] if before is None else [before, card]
    headers = [card.version] if before is None else list(names)
    table = plain_table("how they buy", *headers, "± standard error")
    errors = card.training.parameter_errors or (None,) * 4
    table.add_row("model", *(MODELS[one.alive.family] for one in cards), "")
    for name, error in zip(("r", "alpha_days", "a", "b"), errors, strict=True):
        values = [f"{getattr(one.alive, name):.4g}" for one in cards]
        table.add_row(name, *values, _NOTHING if error is None else f"{error:.1%}")
    table.add_row("days between purchases", *(_days_between(one) for one in cards), "")
    table.add_row("gone after a purchase", *(_gone(one) for one in cards), "")
    table.add_row("mean purchase day", *(_spend(one) for one in cards), "")
    return table


def posterior_table(found: Sequence[Credible]) -> Table:
    """How sure each parameter is."""
    table = plain_table("how sure", "fitted", "median", f"{LEVEL:.0%} lie between", "and")
    for one in found:
        numbers = (one.fitted, one.median, one.low, one.high)
        table.add_row(one.name, *(f"{number:.4g}" for number in numbers))
    return table


def _days_between(card: Scorecard) -> str:
    return f"{card.alive.alpha_days / card.alive.r:,.0f}"


def _gone(card: Scorecard) -> str:
    return f"{card.alive.a / (card.alive.a + card.alive.b):.0%}"


def _spend(card: Scorecard) -> str:
    """Mean of a purchase day over all customers."""
    if card.spend is None:
        return _NOTHING
    return f"{card.spend.p * card.spend.v / (card.spend.q - 1):,.2f}"


def segments_table(card: Scorecard, sizes: Sequence[int] | None = None) -> Table:
    """Segments by their centres, with their sizes if they were counted."""
    headers = ["P(alive)", "repeat purchases", "mean purchase day"]
    offers = card.offers or (None,) * len(card.segments)
    columns = [*headers, *(["customers", ""] if sizes is not None else [])]
    table = plain_table("segment", *columns, *(["offer"] if card.offers else []))
    if card.offers:
        table.columns[-1].justify = "left"
    segmenter = Segmenter(card)
    for index, name in enumerate(card.segments):
        alive, often, money = segmenter.raw_centroid(index)
        row: list[str | Text] = [
            escape(name),
            f"{min(max(alive, 0.0), 1.0):.0%}",
            f"{np.expm1(often):.1f}",
            f"{np.expm1(money):,.2f}",
        ]
        if sizes is not None:
            row += [f"{sizes[index]:,}", f"{sizes[index] / max(sum(sizes), 1):.0%}"]
        if card.offers:
            row.append(escape(offers[index] or _NOTHING))
        table.add_row(*row)
    return table


def counts_table(counts: Sequence[CountQuality], chosen: int) -> Table:
    """Numbers of segments and what speaks for each."""
    table = plain_table(
        "segments", "inertia", "silhouette", "same again", "at worst", "", right_from=0
    )
    table.columns[-1].justify = "left"
    for one in counts:
        verdict = "stable" if one.stable else "unstable"
        table.add_row(
            str(one.count),
            f"{one.inertia_per_customer:.3f}",
            f"{one.silhouette:.3f}",
            f"{one.agreement:.1%}",
            f"{one.worst_agreement:.1%}",
            f"{verdict}{' ← taken' if one.count == chosen else ''}",
            style="bold" if one.count == chosen else "",
        )
    return table


def moves_table(comparison: Comparison) -> Table:
    """From where to where: rows are segments of the first scorecard, columns of the other."""
    table = plain_table("{} ↓  {} →".format(*comparison.names), *comparison.other.segments)
    for name, row in zip(comparison.one.segments, comparison.matrix.tolist(), strict=True):
        cells = []
        for target, count in zip(comparison.other.segments, row, strict=True):
            stays = target == name
            cells.append(
                Text(f"{count:,}" if count else "·", style="dim" if stays or not count else "bold")
            )
        table.add_row(name, *cells)
    return table


def moves_line(comparison: Comparison) -> str:
    """The same in a sentence."""
    share = comparison.changed / max(comparison.customers, 1)
    return (
        f"{comparison.changed:,} of {comparison.customers:,} customers ({share:.1%}) would change "
        f"segment from {comparison.names[0]} to {comparison.names[1]}"
    )


def history_table(entries: Sequence[Entry]) -> Table:
    """All scorecards with what they were learnt from and how good they are."""
    table = plain_table(
        "scorecard", "in use since", "learnt from", "as of", "segments", "inertia", "note"
    )
    for index in (1, 3, 6):
        table.columns[index].justify = "left"
    for entry in entries:
        card, training = entry.card, entry.card.training
        table.add_row(
            card.version,
            entry.used_since or _NOTHING,
            f"{training.customers:,}" if training.customers else "publications",
            when(training.observed_at)[:10],
            str(len(card.segments)),
            _NOTHING
            if training.inertia_per_customer is None
            else f"{training.inertia_per_customer:.4f}",
            _note(entry),
            style="bold" if entry.in_use else "",
        )
    return table


def _note(entry: Entry) -> str:
    notes = ["← in use"] if entry.in_use else []
    if entry.in_use and entry.partitions:
        notes[0] += f" on {entry.partitions} partition{'s' if entry.partitions > 1 else ''}"
    elif entry.partitions:
        notes.append(f"still on {entry.partitions} partitions")
    if entry.card.restores is not None:
        notes.append(f"restores {entry.card.restores}")
    return ", ".join(notes)


def origin_lines(card: Scorecard) -> list[str]:
    """Where a scorecard comes from, in words."""
    training = card.training
    if not training.customers:
        return [f"Nothing in it was learnt from your customers: {training.method}."]
    lines = [
        f"Learnt from {training.customers:,} customers, {training.repeat_customers:,} of whom came "
        f"back, as of {when(training.observed_at)}: "
        f"{training.source or 'the sample of the worker that learns'}.",
        f"How: {training.method}.",
    ]
    renamed = [
        f"{default} is called {name}"
        for name, default in zip(card.segments, card.identities, strict=True)
        if name != default
    ]
    if renamed:
        lines.append(f"By the operator's wish {', '.join(renamed)}.")
    if card.restores is not None:
        lines.insert(0, f"A way back: its numbers are those of {card.restores}.")
    return lines


def report_lines(card: Scorecard, entry: Entry | None, sizes: Sequence[int] | None) -> list[str]:
    """A scorecard in plain words, for those who have to believe it."""
    alive, training = card.alive, card.training
    lines = [f"Scorecard {card.version}", "=" * (len(card.version) + 10), ""]
    if entry is not None:
        state = "It is in use now." if entry.in_use else "It is not in use now."
        used = f"Adopted at {entry.used_since}." if entry.used_since else "Never adopted."
        lines += [f"{used} {state}", ""]
    lines += [*origin_lines(card), "", "How customers buy", "-----------------", ""]
    lines += [
        f"{MODELS[alive.family]}: r {alive.r:.4g}, alpha {alive.alpha_days:.4g} days, a {alive.a:.4g}, "
        f"b {alive.b:.4g}.",
        f"A customer who is alive buys every {_days_between(card)} days on average; after a purchase "
        f"{_gone(card)} of new customers never come back.",
    ]
    if training.parameter_errors is not None:
        worst = max(training.parameter_errors)
        lines.append(f"The parameters are known to {worst:.1%} or better (standard errors).")
    if training.log_likelihood_per_customer is not None:
        lines.append(f"Log likelihood {training.log_likelihood_per_customer:.4f} per customer.")
    lines += [
        f"What a purchase day is worth on average over all customers: {_spend(card)}."
        if card.spend is not None
        else "There is no model of spend.",
        f"Fading below P(alive) {card.lifecycle.fading:g}, lost below {card.lifecycle.lost:g}.",
        "",
        "Segments",
        "--------",
        "",
    ]
    segmenter = Segmenter(card)
    for index, name in enumerate(card.segments):
        p, often, money = segmenter.raw_centroid(index)
        size = ""
        if sizes is not None:
            size = f"; {sizes[index]:,} customers, {sizes[index] / max(sum(sizes), 1):.0%}"
        lines.append(
            f"{name}: around P(alive) {min(max(p, 0.0), 1.0):.0%}, {np.expm1(often):.1f} repeat "
            f"purchases of {np.expm1(money):,.2f}{size}."
        )
    lines.append(
        f"A customer changes sides {card.hysteresis:.0%} of the squared distance between two centres "
        "beyond the middle."
    )
    lines += ["", *_quality_lines(card), "", "RFM quintiles", "-------------", ""]
    for label, cuts in (
        ("silence, days", card.rfm.silence_days),
        ("repeat purchases", card.rfm.frequency),
        ("value of a purchase day", card.rfm.monetary_value),
    ):
        lines.append(f"{label}: cut at {', '.join(f'{cut:,.6g}' for cut in cuts)}.")
    return lines


def _quality_lines(card: Scorecard) -> list[str]:
    training = card.training
    lines = []
    if training.inertia_per_customer is not None:
        before = training.previous_inertia_per_customer
        lines.append(
            f"Squared standardised distance to the own centre: {training.inertia_per_customer:.4f} "
            "per customer" + ("." if before is None else f", {before:.4f} by the scorecard before.")
        )
    if training.stability is not None:
        lines.append(
            f"Found again from other customers, at worst {training.stability:.1%} of all get the same "
            "segment."
        )
    if training.silhouette is not None:
        lines.append(f"Silhouette {training.silhouette:.3f} (1: far apart, 0: they touch).")
    return lines or ["No quality was measured."]
