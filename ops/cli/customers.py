"""`everscore lookup ID` and `everscore explain ID`: what support people see and must believe."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ops.change_feed import history_of
from ops.cli.plot import column_plot
from ops.cli.support import command, open_store, out, print_json, read_settings, wall_us
from ops.customers import Customer, Foreseen
from ops.lookup import find_customer
from schemas.errors import PipelineError

CustomerId = Annotated[str, typer.Argument(metavar="ID", help="Customer id.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]

_PLOT_COLUMNS = 64
_LAST_CHANGES = 6
_PAST_DAYS = 120
_MONEY = frozenset(
    ("monetary_value", "monetary_total", "refund_total", "expected_spend", "clv_90d", "clv_365d")
)


@command
async def lookup(customer_id: CustomerId, as_json: AsJson = False) -> None:
    """Show one customer as of now: segment, P(alive), RFM, value, what comes next."""
    settings = read_settings()
    async with open_store(settings) as store:
        customer = await find_customer(store, settings, customer_id, wall_us())
    profile = customer.profile()
    if as_json:
        print_json(profile)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in profile.items():
        table.add_row(name, _shown(name, value))
    out.print(table)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return when(value)
    if name == "rfm":
        return f"R{value['recency']} F{value['frequency']} M{value['monetary']}"
    if name == "margin":
        return f"{value['distance']:.3f} from {value['segment']}"
    if name == "next_changes":
        return (
            "\n".join(f"{when(step['at'])}  {step['kind']} → {step['current']}" for step in value)
            or "none: silence changes nothing any more"
        )
    if isinstance(value, float):
        return f"{value:,.2f}" if name in _MONEY else f"{value:.4f}"
    return "—" if value is None else str(value)


def when(moment: datetime | None) -> str:
    """A moment to the second, or to the day where it has no time."""
    if moment is None:
        return "—"
    return moment.strftime(
        "%Y-%m-%d" if moment.time() == moment.min.time() else "%Y-%m-%d %H:%M:%S"
    )


@command
async def explain(customer_id: CustomerId, as_json: AsJson = False) -> None:
    """Say in plain words why a customer is in their segment and what silence will do to it."""
    settings = read_settings()
    async with open_store(settings) as store:
        customer = await find_customer(store, settings, customer_id, wall_us())
    try:
        history = await history_of(settings, customer_id)
        unread = None
    except PipelineError as error:
        history, unread = [], str(error)
    if as_json:
        profile = customer.profile()
        outlook = customer.outlook(_outlook_days(customer, customer.foreseen()))
        print_json(
            profile
            | {
                "reasons": reasons(profile, customer),
                "offer": customer.offer,
                "outlook": [{"at": at, "prob_alive": p} for at, p in outlook],
                "last_changes": history[-_LAST_CHANGES:],
            }
        )
        return
    show_explanation(customer, history)
    if unread is not None:
        out.print(f"  [dim]not readable: {unread}[/]", highlight=False)


def show_explanation(customer: Customer, history: list[dict[str, Any]]) -> None:
    """Why the customer is where they are, what silence will do, and what happened so far."""
    profile, foreseen = customer.profile(), customer.foreseen()
    outlook = customer.outlook(_outlook_days(customer, foreseen), past_days=_PAST_DAYS)
    out.print(
        Text.assemble(
            (customer.customer_id, "bold"),
            " is ",
            (str(profile["segment"] or "not scored"), "bold cyan"),
            f" and {profile['lifecycle'] or 'without a purchase'}, as of {when(profile['as_of'])}",
        )
    )
    for reason in reasons(profile, customer):
        out.print(f"  • {reason}", highlight=False)
    if outlook:
        _plot(outlook, profile["as_of"])
    out.print("\n[bold]What silence brings[/]")
    for step in foreseen:
        out.print(
            f"  {when(step.at)}  {step.kind}: {step.previous} → {step.current}", highlight=False
        )
    if not foreseen:
        out.print("  nothing any more", highlight=False)
    out.print("\n[bold]Last changes[/]")
    for change in history[-_LAST_CHANGES:]:
        at = change["occurred_at"].replace("T", " ")[:19]
        before = change["previous"] or "new customer"
        out.print(
            f"  {change['sequence']:>3}  {at}  {change['kind']}: {before} → {change['current']}"
            f"  [dim]({_CAUSES.get(change['cause'], change['cause'])})[/]",
            highlight=False,
        )
    if len(history) < profile["sequence"]:
        out.print(
            f"  [dim]Kafka still holds {len(history)} of {profile['sequence']} changes[/]",
            highlight=False,
        )


_CAUSES = {
    "transaction": "a purchase",
    "silence": "no purchase for too long",
    "refund": "a refund",
    "late_event": "a purchase that arrived late",
    "scorecard": "a new scorecard",
    "erasure": "erased",
}


def _plot(outlook: list[tuple[datetime, float]], now: datetime) -> None:
    """P(alive) since the last purchase and ahead, with today marked below."""
    first, last = outlook[0][0], outlook[-1][0]
    out.print("\n[bold]P(alive) by the day, if nothing is bought[/]")
    for line in column_plot([p for _, p in outlook], width=_PLOT_COLUMNS):
        out.print(f"  {line}", highlight=False)
    share = (now - first) / (last - first) if last > first else 0.0
    mark = round(share * (_PLOT_COLUMNS - 1))
    out.print(f"      └{'─' * mark}┴{'─' * (_PLOT_COLUMNS - 1 - mark)}", highlight=False)
    labels = f"{first:%Y-%m-%d}{f'{last:%Y-%m-%d}':>{_PLOT_COLUMNS - 10}}"
    if 12 <= mark <= _PLOT_COLUMNS - 17:
        labels = f"{labels[: mark - 2]}today{labels[mark + 3 :]}"
    out.print(f"       {labels}", highlight=False)


def reasons(profile: dict[str, Any], customer: Customer) -> list[str]:
    """Why the customer is where they are, a sentence each."""
    if not customer.scored:
        return ["Every purchase was cancelled on its own day: there is nothing left to score."]
    purchases = profile["frequency"] + 1
    silence = profile["silence_days"]
    lines = [
        f"{purchases} purchase day{'s' if purchases > 1 else ''} from "
        f"{when(profile['first_purchase_at'])} to {when(profile['last_purchase_at'])}"
        + (
            f", one in {profile['t_x_days'] / profile['frequency']:.1f} days on average."
            if profile["frequency"]
            else "."
        ),
        f"Silent for {silence:.0f} days: P(alive) is {profile['prob_alive']:.0%}, "
        f"{profile['expected_purchases_30d']:.2f} purchases are expected in 30 days.",
    ]
    if profile["frequency"]:
        lines.append(
            f"A repeat purchase day is worth {profile['monetary_value']:,.2f} on average; "
            f"{profile['monetary_total'] - profile['refund_total']:,.2f} in all."
        )
    else:
        lines.append(
            "Has not come back yet: customers with one purchase day share a segment, whatever its age; "
            "P(alive) and the lifecycle tell the fresh from the old."
        )
    if profile["clv_365d"] is not None:
        lines.append(
            f"{profile['expected_spend']:,.2f} are to be expected of a purchase day, "
            f"{profile['clv_90d']:,.2f} of the next 90 days and {profile['clv_365d']:,.2f} of the year "
            f"(discounted by {customer.card.scorecard.discount_rate:.0%} a year)."
        )
    rfm = profile["rfm"]
    lines.append(
        f"Quintiles: recency {rfm['recency']}, frequency {rfm['frequency']}, "
        f"monetary {rfm['monetary']} of 5 (scorecard {profile['scorecard']})."
    )
    centre = customer.segment_centre()
    if centre is not None:
        lines.append(
            f"The typical {profile['segment']} customer: P(alive) {centre['prob_alive']:.0%}, "
            f"{centre['frequency']:.1f} repeat purchases of {centre['monetary_value']:,.2f}. From the "
            f"border to {profile['margin']['segment']} it is {profile['margin']['distance']:.2f} "
            "standard deviations."
        )
    if customer.offer is not None:
        lines.append(f"The offer for {profile['segment']} customers is {customer.offer}.")
    return lines


def _outlook_days(customer: Customer, foreseen: list[Foreseen]) -> int:
    """Far enough to see the next two changes, at least 60 days, at most two years."""
    if not foreseen:
        return 60
    now = customer.profile()["as_of"]
    last = foreseen[: min(2, len(foreseen))][-1].at
    return min(max(int((last - now).days * 1.25) + 1, 60), 730)
