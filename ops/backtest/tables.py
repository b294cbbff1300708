"""The tables of a backtest as rows of text: what the terminal and the Markdown report both show.

Owns what each figure is called, how it is written, and the sentence that tells a newcomer how to read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ops.backtest.run import Backtest
from scoring.backtest import HELD_OUT_MAX
from scoring.flags import FOLLOWED_DAYS, BatchLead

_NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table; the first column is text, the others numbers."""

    title: str
    reading: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def summary(test: Backtest) -> list[str]:
    """What was done, in sentences."""
    judged = len(test.judged)
    ours = test.figures[0]
    lines = [
        f"{judged:,} customers, {test.periods.text()}.",
        f"In the holdout {test.bought:,} of them ({test.bought / judged:.1%}) bought again, on "
        f"{test.purchase_days:,} days.",
    ]
    if ours.prob_purchase_auc is not None:
        lines.append(
            f"Of one who bought again and one who did not, Everscore gave the buyer the higher P(buy) "
            f"in {ours.prob_purchase_auc:.1%} of all pairs; a coin gets 50%."
        )
    return lines + test.notes


def sheets(test: Backtest) -> Iterator[Sheet]:
    """All tables in the order in which they are read."""
    yield _who(test)
    yield _how_often(test)
    yield _calibration(test)
    yield _held_out(test)
    yield _segments(test)
    yield _warnings(test)
    yield _leads(test)


def _who(test: Backtest) -> Sheet:
    rows: list[tuple[str, ...]] = []
    for figure in test.figures:
        for what, area, brier, error in (
            ("", figure.order_auc, None, None),
            (
                ": P(buy)",
                figure.prob_purchase_auc,
                figure.prob_purchase_brier,
                figure.calibration_error,
            ),
            (": P(alive)", figure.prob_alive_auc, figure.prob_alive_brier, None),
            (": E[Y]", figure.expected_auc, None, None),
        ):
            if area is not None:
                row = (figure.name + what, _number(area), _number(brier), _number(error))
                rows.append(row)
    return Sheet(
        "Who buys again?",
        "AUC: how often a buyer is ranked above one who did not buy (0.5 is a coin, 1 is perfect). "
        "Brier score and calibration error: how far probabilities are from what happened (0 is perfect). "
        "E[Y] is the number of purchase days expected in the holdout.",
        ("by", "AUC", "Brier", "calibration error"),
        rows,
    )


def _how_often(test: Backtest) -> Sheet:
    return Sheet(
        "How often?",
        "Purchase days of all customers together, and by how many the expectation of one customer is "
        "off on average.",
        ("by", "expected", "came", "error", "off by"),
        [
            (
                figure.name,
                f"{figure.expected_total:,.0f}",
                f"{test.purchase_days:,}",
                _signed(figure.expected_error),
                _number(figure.expected_mae),
            )
            for figure in test.figures
            if figure.expected_total is not None
        ],
    )


def _calibration(test: Backtest) -> Sheet:
    return Sheet(
        "Is P(buy) to be taken at its word?",
        "Customers by the probability that was predicted for them: of those with about 30%, about "
        "30% should have bought.",
        ("P(buy)", "customers", "predicted", "bought"),
        [
            (
                f"{part.low * 100:.0f} to {part.high:.0%}",
                f"{part.count:,}",
                f"{part.predicted:.1%}",
                f"{part.happened:.1%}",
            )
            for part in test.figures[0].calibration
        ],
    )


def _held_out(test: Backtest) -> Sheet:
    return Sheet(
        "Purchase days in the holdout, by repeat purchases before it",
        "Means of a customer.",
        ("repeat purchases", "customers", "expected", "came"),
        [
            (
                f"{group.frequency} or more"
                if group.frequency == HELD_OUT_MAX
                else f"{group.frequency}",
                f"{group.customers:,}",
                f"{group.expected:.2f}",
                f"{group.actual:.2f}",
            )
            for group in test.held_out
        ],
    )


def _segments(test: Backtest) -> Sheet:
    return Sheet(
        "What came of the segments",
        f"Segments at the end of the calibration, by scorecard {test.walked.scorecard.version}: share "
        "expected to buy in the holdout, share that did, and mean purchase days of a customer.",
        ("segment", "customers", "expected", "bought", "days each"),
        [
            (
                segment.name,
                f"{segment.customers:,}",
                f"{segment.expected_to_buy:.1%}",
                f"{segment.bought:.1%}",
                f"{segment.purchase_days:.2f}",
            )
            for segment in test.segments
        ],
    )


def _warnings(test: Backtest) -> Sheet:
    lifecycle = test.walked.scorecard.lifecycle
    return Sheet(
        "Warned by silence: were the warnings right?",
        "Customers whom silence alone moved after the calibration, told at the moment of the crossing "
        f"(fading: P(alive) below {lifecycle.fading:g}, lost: {lifecycle.lost:g}). Days: their mean "
        "silence by then. Away: share that bought nothing in the rest of the data; expected: what the "
        f"model said to that; {FOLLOWED_DAYS:.0f} days on: only warnings with as much data after them.",
        (
            "became", "warnings", "days", "away", "expected",
            f"{FOLLOWED_DAYS:.0f} days on", "away",
        ),
        [
            (
                warned.name,
                f"{warned.outcome.flags:,}",
                _NOTHING
                if warned.outcome.mean_silence_days is None
                else f"{warned.outcome.mean_silence_days:.0f}",
                _share(warned.outcome.stayed_away),
                _share(warned.outcome.model_expected),
                f"{warned.outcome.followed:,}",
                _share(warned.outcome.followed_stayed_away),
            )
            for warned in test.warned
        ],
    )  # fmt: skip


def _leads(test: Backtest) -> Sheet:
    return Sheet(
        "How much earlier than a batch that computes the same",
        "Batches run at midnight, every night or every night to Monday. Days: from the crossing to the "
        "next run (mean, median). Never told: the customer had bought again before the batch ran.",
        ("became", "than nightly", "never told", "than weekly", "never told"),
        [
            (
                warned.name,
                _lead(warned.nightly),
                f"{warned.nightly.missed:,}",
                _lead(warned.weekly),
                f"{warned.weekly.missed:,}",
            )
            for warned in test.warned
        ],
    )


def _lead(lead: BatchLead) -> str:
    if lead.mean_days is None or lead.median_days is None:
        return _NOTHING
    return f"{lead.mean_days:.2f} ({lead.median_days:.2f})"


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:+.1%}"


def _share(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1%}"
