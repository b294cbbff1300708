"""What customers come to, given the transactions that count: plain sums and sets of days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.support.transaction_oracle import Counted

_DAY_US = 86_400_000_000


@dataclass
class Customer:
    """One customer; money in 1/10,000 major units, days since 1970-01-01 UTC."""

    purchases: int = 0
    refunds: int = 0
    bought: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    returned: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def take(self, transaction: Counted) -> None:
        day = transaction.occurred_at_us // _DAY_US
        if transaction.is_refund:
            self.refunds += transaction.units
            self.returned[day] += transaction.units
        else:
            self.purchases += transaction.units
            self.bought[day].append(transaction.units)

    @property
    def purchase_days(self) -> list[int]:
        """Days with a purchase that was not wholly cancelled the same day."""
        return sorted(
            day
            for day, amounts in self.bought.items()
            if not 0 < sum(amounts) <= self.returned.get(day, 0)
        )


def customers_after(transactions: Iterable[Counted]) -> tuple[dict[str, Customer], int, int]:
    """Customers, how many transactions counted and how many had been counted before.

    Parameters
    ----------
    transactions : in the order in which each customer's are read
    """
    customers: dict[str, Customer] = {}
    seen: set[tuple[str, str]] = set()
    duplicates = 0
    for transaction in transactions:
        identity = (transaction.customer_id, transaction.transaction_id)
        if identity in seen:
            duplicates += 1
            continue
        seen.add(identity)
        customers.setdefault(transaction.customer_id, Customer()).take(transaction)
    return customers, len(seen), duplicates
