"""How the learner's findings look to a person: does the scorecard still fit, and what is its shadow."""

from __future__ import annotations

from typing import Any

from ops.cli.customers import when
from schemas.learning import Fit, Learning, Shadow

_SHOWN_DRIFTS = 3


def fit_lines(learning: Learning) -> list[str]:
    """How well the scorecard in use fits by now, in words."""
    fit = learning.fit
    if fit is None:
        return [f"Not looked at yet: {learning.customers:,} customers in the learner's sample."]
    lines = [
        f"As of {when(fit.looked_at)}, on {learning.customers:,} customers: the segments leave "
        f"{fit.inertia_ratios[-1]:.2f} times as much of the spread unexplained as at first."
    ]
    if fit.promised_buyers is not None and fit.actual_buyers is not None:
        lines.append(
            f"{fit.actual_buyers:,} bought within {fit.over_days:.0f} days, {fit.promised_buyers:,.0f} "
            f"were expected ({fit.excesses[-1]:+.0%})."
        )
    lines += [
        f"Drift of {one.kind} was found at {when(one.at)}: the learner tried anew at once."
        for one in fit.drifts[-_SHOWN_DRIFTS:]
    ]
    return lines


def shadow_line(learning: Learning, shadow: Shadow) -> str:
    """What the candidate would change, in words."""
    return (
        f"candidate, a shadow of {learning.version} as of {when(shadow.judged_at)}: on the learner's "
        f"sample {shadow.moved:,} of {shadow.customers:,} customers "
        f"({shadow.moved / shadow.customers:.1%}) would change segment, inertia falls by "
        f"{shadow.gain:.1%}"
    )


def learning_document(learning: Learning) -> dict[str, Any]:
    """The same for machines, without the candidate's own numbers."""
    fit: Fit | None = learning.fit
    shadow = learning.shadow
    return {
        "sample": learning.customers,
        "fit": None if fit is None else fit.model_dump(mode="json"),
        "shadow": None if shadow is None else shadow.model_dump(mode="json", exclude={"card"}),
    }
