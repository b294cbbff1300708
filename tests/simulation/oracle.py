"""What must come out, by plain arithmetic over the sales that were made; nothing of ours is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.simulation.workload import Sale

_US_PER_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Expected:
    """One customer's recency, frequency and monetary state, as fields of the hash."""

    frequency: str
    t_x_days: str
    first_purchase_at: str
    last_purchase_at: str
    monetary_value: float
    monetary_total: str
    refund_total: str


def expected_states(sales: Iterable[Sale]) -> dict[str, Expected]:
    """Every customer's state; a transaction that was sent twice counts once."""
    distinct: dict[str, dict[str, Sale]] = {}
    for sale in sales:
        distinct.setdefault(sale.customer_id, {})[sale.transaction_id] = sale
    return {name: _expected(list(theirs.values())) for name, theirs in distinct.items()}


def _expected(sales: list[Sale]) -> Expected:
    bought: dict[int, list[int]] = {}
    returned: dict[int, int] = {}
    for sale in sales:
        day = sale.at_us // _US_PER_DAY
        if sale.is_refund:
            returned[day] = returned.get(day, 0) + sale.cents
        else:
            bought.setdefault(day, []).append(sale.cents)
    days = [
        day
        for day in sorted(bought)
        if sum(bought[day]) == 0 or returned.get(day, 0) < sum(bought[day])
    ]
    # What came after the second purchase day began, money back included, is repeat business.
    second = days[1] if len(days) > 1 else None
    repeat = 0
    if second is not None:
        repeat += sum(sum(cents) for day, cents in bought.items() if day >= second)
        repeat -= sum(cents for day, cents in returned.items() if day >= second)
    moments = [sale.at_us for sale in sales if not sale.is_refund]
    return Expected(
        frequency=str(max(len(days) - 1, 0)),
        t_x_days=str(days[-1] - days[0] if days else 0),
        first_purchase_at=_rfc3339(min(moments)) if moments else "",
        last_purchase_at=_rfc3339(max(moments)) if moments else "",
        monetary_value=repeat / 100 / (len(days) - 1) if second is not None else 0.0,
        monetary_total=_money(sum(sum(cents) for cents in bought.values())),
        refund_total=_money(sum(returned.values())),
    )


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}00"


def _rfc3339(at_us: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
