"""The oracle's walk through one partition: every customer's history, change by change.

Plain Python over the records as the log has them. Imports nothing of production. Deterministic only
where all goes by event time, from one topic and under one scorecard: then the order of the log
decides everything. Histories by the wall clock, with detours through a second topic or with learnt
scorecards depend on decisions that only the journal knows; `everscore verify` replays those.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ops.oracle.model import (
    DAY_US,
    Border,
    Card,
    Habits,
    assign,
    is_on_edge,
    lifecycle_of,
    moment_of,
    next_border,
    prob_alive,
)
from ops.oracle.transaction import Transaction

LIFECYCLES = ("active", "fading", "lost")


@dataclass(frozen=True)
class Read:
    """One record of the transactions topic; without a transaction it belongs to the dead letters."""

    offset: int
    transaction: Transaction | None


@dataclass(frozen=True)
class Change:
    """One change as it must be told; `alive` is None where nothing is left to score."""

    sequence: int
    kind: str
    previous: str | None
    current: str | None
    cause: str
    occurred_us: int
    alive: float | None


@dataclass
class Day:
    """One calendar day of a customer, money in 1/10,000 major units."""

    purchases: int = 0
    bought: int = 0
    returned: int = 0

    @property
    def counts(self) -> bool:
        """Whether it is a purchase day: something bought, and not all of it given back."""
        return self.purchases > 0 and not 0 < self.bought <= self.returned


@dataclass
class Customer:
    """All that is known of one, and all that was told of them.

    Attributes
    ----------
    undecided : bool
        The last bit of a float has decided once: which changes led here, two programs may see
        differently, and both be right.
    """

    days: dict[int, Day] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    first_us: int | None = None
    last_us: int | None = None
    as_of_us: int | None = None
    offset: int = -1
    alive: float | None = None
    segment: int | None = None
    segment_since_us: int | None = None
    lifecycle: int | None = None
    habits: Habits | None = None
    border: Border | None = None
    changes: list[Change] = field(default_factory=list)
    undecided: bool = False

    def book(self, transaction: Transaction) -> None:
        """Enter one transaction that had not been counted."""
        day = self.days.setdefault(transaction.occurred_us // DAY_US, Day())
        if transaction.is_refund:
            day.returned += transaction.units
        else:
            day.purchases += 1
            day.bought += transaction.units
            moment = transaction.occurred_us
            self.first_us = moment if self.first_us is None else min(self.first_us, moment)
            self.last_us = moment if self.last_us is None else max(self.last_us, moment)

    def total(self, name: str) -> int:
        """Sum over all days of `bought` or `returned`."""
        return sum(getattr(day, name) for day in self.days.values())

    def count_habits(self) -> Habits | None:
        """Recency, frequency and mean day sum; None if there is no purchase day."""
        purchase_days = sorted(number for number, day in self.days.items() if day.counts)
        if not purchase_days:
            return None
        frequency, mean = len(purchase_days) - 1, 0.0
        if frequency:
            # From the second purchase day on all money counts, that of refund-only days too.
            later = (day for number, day in self.days.items() if number >= purchase_days[1])
            mean = sum(day.bought - day.returned for day in later) / (frequency * 10_000.0)
        return Habits(frequency, purchase_days[0], purchase_days[-1], mean)


@dataclass
class Partition:
    """What one partition comes to."""

    card: Card
    customers: dict[str, Customer] = field(default_factory=dict)
    clock_us: int | None = None
    next_offset: int = 0
    applied: int = 0
    duplicates: int = 0
    dead: list[int] = field(default_factory=list)

    def read(self, records: Iterable[Read]) -> Partition:
        """Count records in the order of the log, then let silence come up to the last of them."""
        for record in records:
            self.next_offset = record.offset + 1
            if record.transaction is None:
                self.dead.append(record.offset)
            else:
                self._count(record.offset, record.transaction)
        for customer in self.customers.values():
            self._pass_time(customer)
        return self

    def _count(self, offset: int, transaction: Transaction) -> None:
        moment = transaction.occurred_us
        self.clock_us = moment if self.clock_us is None else max(self.clock_us, moment)
        customer = self.customers.setdefault(transaction.customer_id, Customer())
        self._pass_time(customer)
        if transaction.transaction_id in customer.seen:
            self.duplicates += 1
            return
        self.applied += 1
        customer.seen.add(transaction.transaction_id)
        customer.book(transaction)
        late = customer.as_of_us is not None and moment < customer.as_of_us
        if customer.as_of_us is None or not late:
            customer.as_of_us = moment
        customer.offset = offset
        customer.habits = customer.count_habits()
        cause = "late_event" if late else "refund" if transaction.is_refund else "transaction"
        self._evaluate(customer, cause, customer.as_of_us)

    def _pass_time(self, customer: Customer) -> None:
        """All that silence had to do by the partition's clock."""
        clock = self.clock_us
        while customer.border is not None and customer.habits is not None and clock is not None:
            habits, as_of = customer.habits, customer.as_of_us
            if as_of is None or clock < as_of:
                return
            if prob_alive(self.card, habits, clock) > customer.border.alive:
                return
            at = moment_of(self.card, habits, customer.border, as_of)
            if at is None or at > clock:
                return
            self._cross(customer, habits, customer.border, at)

    def _cross(self, customer: Customer, habits: Habits, border: Border, at_us: int) -> None:
        customer.as_of_us = at_us
        customer.alive = prob_alive(self.card, habits, at_us)
        segment = customer.segment if border.segment is None else border.segment
        if border.segment is not None:
            segment = assign(self.card, habits, customer.alive, segment)
        lifecycle = customer.lifecycle if border.lifecycle is None else border.lifecycle
        self._tell(customer, segment, lifecycle, "silence", at_us)

    def _evaluate(self, customer: Customer, cause: str, moment: int) -> None:
        habits = customer.habits
        if habits is None:
            customer.alive = None
            self._tell(customer, None, None, cause, moment)
            return
        customer.alive = prob_alive(self.card, habits, moment)
        customer.undecided |= is_on_edge(self.card, customer.alive, customer.lifecycle)
        segment = assign(self.card, habits, customer.alive, customer.segment)
        lifecycle = lifecycle_of(self.card, customer.alive, customer.lifecycle)
        self._tell(customer, segment, lifecycle, cause, moment)

    def _tell(
        self,
        customer: Customer,
        segment: int | None,
        lifecycle: int | None,
        cause: str,
        moment: int,
    ) -> None:
        """Note what changed, the segment first, and look for the next border."""
        names = self.card.segments

        def tell(kind: str, previous: str | None, current: str | None) -> bool:
            if previous == current:
                return False
            sequence = len(customer.changes) + 1
            customer.changes.append(
                Change(sequence, kind, previous, current, cause, moment, customer.alive)
            )
            return True

        def named(index: int | None, of: tuple[str, ...] | list[str]) -> str | None:
            return None if index is None else of[index]

        if tell("segment", named(customer.segment, [*names]), named(segment, [*names])):
            customer.segment_since_us = moment
        tell("lifecycle", named(customer.lifecycle, LIFECYCLES), named(lifecycle, LIFECYCLES))
        customer.segment, customer.lifecycle = segment, lifecycle
        customer.border = None
        if customer.habits is not None and segment is not None and lifecycle is not None:
            customer.border = next_border(self.card, customer.habits, segment, lifecycle)
