"""Finding customers in the store, as of now, of a later day, or of a past one.

Owns what an asker needs beside the customer: partition, clock, scorecards. Reads, never writes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ops.customers import Customer, moment
from schemas.erasure import tombstone_name
from schemas.errors import ConfigurationError, InvalidTransactionError, UnknownCustomerError, shown
from schemas.scorecard import Scorecard
from schemas.transaction import is_customer_id
from scoring.advance import advance
from scoring.business_calendar import BusinessCalendar
from scoring.events import Events
from scoring.ledger import NO_DAY, pack_days, summarise, unpack_days
from scoring.review import score
from scoring.states import States
from scoring.timeline import Timeline
from state.codec import decode_one, decode_rows
from state.store import Adoption, Checkpoint, Fields, Glimpse, Store
from streams.homes import home_partition
from streams.settings import Clock, Settings


async def partition_count(store: Store) -> int:
    """How many partitions the installation was founded with.

    Raises
    ------
    ConfigurationError
        No worker has run here yet.
    """
    facts = await store.installation()
    if "partitions" not in facts:
        raise ConfigurationError(
            "no worker has run against this Redis yet.", hint="Start one: everscore worker."
        )
    return int(facts["partitions"])


def clock_of(checkpoint: Checkpoint | Glimpse, settings: Settings, wall_us: int) -> int:
    """A partition's now: the wall clock where it is live, else the latest event time."""
    by_wall = settings.clock is Clock.WALL or (settings.clock is Clock.AUTO and checkpoint.live)
    return max(checkpoint.clock_us, wall_us) if by_wall else checkpoint.clock_us


async def scorecards_of(store: Store) -> dict[str, Scorecard]:
    """Every scorecard by version."""
    return {
        version: Scorecard.model_validate_json(body)
        for version, body in (await store.scorecards()).items()
    }


async def find_customer(
    store: Store, settings: Settings, customer_id: str, wall_us: int, at_us: int | None = None
) -> Customer:
    """One customer as of now, or as of another moment; see `Lookup.find`."""
    return await Lookup(store, settings).find(customer_id, wall_us, at_us)


class Lookup:
    """Finds customers for one who asks often: what never changes is read once.

    Parameters
    ----------
    store : Store
    settings : Settings
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.calendar = BusinessCalendar(settings.timezone)
        self._partitions = 0
        self._cards: dict[str, Scorecard] = {}
        self._timelines: dict[int, tuple[tuple[Adoption, ...], Timeline]] = {}

    async def partitions(self) -> int:
        """See `partition_count`."""
        if not self._partitions:
            self._partitions = await partition_count(self.store)
        return self._partitions

    async def timeline(self, partition: int) -> tuple[Checkpoint, Timeline]:
        """How far a partition is, and its scorecards: to be asked for after its customers, not before.

        A scorecard is first saved, then adopted by a partition, then met in its customers. Who reads in
        the opposite order, while a worker goes on, knows every scorecard that a customer names.
        """
        checkpoint = await self.store.checkpoint(partition)
        return checkpoint, await self._timeline_of(partition, checkpoint.adoptions)

    async def _timeline_of(self, partition: int, adoptions: tuple[Adoption, ...]) -> Timeline:
        known, timeline = self._timelines.get(partition, ((), None))
        if timeline is None or known != adoptions:
            if any(version not in self._cards for _, version in adoptions):
                self._cards.update(await scorecards_of(self.store))
            timeline = Timeline([(at, self._cards[version]) for at, version in adoptions])
            self._timelines[partition] = adoptions, timeline
        return timeline

    async def find(self, customer_id: str, wall_us: int, at_us: int | None = None) -> Customer:
        """One customer as of now, or as of another moment.

        Parameters
        ----------
        customer_id : str
        wall_us : int
            The wall clock, microseconds since 1970 UTC.
        at_us : int, optional
            Later than all that is known: what silence will have done by then. Earlier: what was
            known at the end of that day, scored by the scorecard now in use.

        Raises
        ------
        UnknownCustomerError
            No purchase of theirs has been counted, or none until then.
        InvalidTransactionError
            The id cannot be one.
        """
        if not is_customer_id(customer_id):
            raise InvalidTransactionError(f"{shown(customer_id)} is not a customer id")
        partition = home_partition(customer_id, await self.partitions())
        glimpse = await self.store.glimpse(partition, customer_id)
        if glimpse.fields is not None:
            timeline = await self._timeline_of(partition, glimpse.adoptions)
            if not glimpse.adoptions:  # being rebuilt from nothing: the row stands for itself
                return await self._as_written(customer_id, glimpse.fields)
            now_us = clock_of(glimpse, self.settings, wall_us) if at_us is None else at_us
            found = self._at(customer_id, glimpse.fields, timeline, now_us, past=at_us is not None)
            if found is not None:
                return found
        tombstone = (await self.store.tombstones(partition)).get(tombstone_name(customer_id))
        if tombstone is not None:
            raise UnknownCustomerError(
                f"customer {customer_id!r} was erased: nothing that occurred until "
                f"{moment(tombstone.until_us):%Y-%m-%d %H:%M:%S} is known, nor ever will be"
            )
        until = "" if at_us is None else f" until {moment(at_us):%Y-%m-%d %H:%M:%S}"
        raise UnknownCustomerError(
            f"no purchase of customer {customer_id!r} has been counted{until}"
        )

    async def find_many(
        self, customer_ids: Sequence[str], wall_us: int, at_us: int | None = None
    ) -> dict[str, Customer]:
        """Those of many who are known, by id; see `find`.

        Raises
        ------
        InvalidTransactionError
            One of the ids cannot be one; nobody was asked for.
        """
        homes: dict[int, list[str]] = {}
        for customer_id in customer_ids:
            if not is_customer_id(customer_id):
                raise InvalidTransactionError(f"{shown(customer_id)} is not a customer id")
        partitions = await self.partitions()
        for customer_id in dict.fromkeys(customer_ids):
            homes.setdefault(home_partition(customer_id, partitions), []).append(customer_id)
        return {
            customer.customer_id: customer
            for partition, ids in homes.items()
            for customer in await self._of_partition(partition, ids, wall_us, at_us)
            if customer is not None
        }

    def _at(
        self, customer_id: str, fields: Fields, timeline: Timeline, at_us: int, *, past: bool
    ) -> Customer | None:
        """One customer as of a moment; of the past only if that is asked for."""
        states = decode_one(customer_id, fields, timeline, self.settings.input_topics)
        if past and at_us < states.numbers["as_of_us"][0]:
            known = as_known_then(states, at_us, timeline, self.calendar)
            return None if known is None else Customer(known, at_us, timeline, self.calendar)
        settled = advance(states, Events.none(), at_us, timeline, self.calendar).states
        return Customer(settled, at_us, timeline, self.calendar)

    async def _of_partition(
        self, partition: int, customer_ids: Sequence[str], wall_us: int, at_us: int | None
    ) -> list[Customer | None]:
        stored = await self.store.load_many(partition, customer_ids)
        known = [row for row, fields in enumerate(stored) if fields is not None]
        found: list[Customer | None] = [None] * len(customer_ids)
        if not known:
            return found
        checkpoint, timeline = await self.timeline(partition)
        if not checkpoint.adoptions:  # it is being rebuilt from nothing: each row stands for itself
            for row in known:
                found[row] = await self._as_written(customer_ids[row], stored[row] or {})
            return found
        now_us = clock_of(checkpoint, self.settings, wall_us) if at_us is None else at_us
        names = [customer_ids[row] for row in known]
        states = decode_rows(
            names, [stored[row] for row in known], timeline, self.settings.input_topics
        )
        settled = advance(states, Events.none(), now_us, timeline, self.calendar).states
        for position, row in enumerate(known):
            one = np.array([position])
            if at_us is not None and at_us < states.numbers["as_of_us"][position]:
                past = as_known_then(states.take(one), at_us, timeline, self.calendar)
                if past is not None:
                    found[row] = Customer(past, at_us, timeline, self.calendar)
            else:
                found[row] = Customer(settled.take(one), now_us, timeline, self.calendar)
        return found

    async def _as_written(self, customer_id: str, fields: Fields) -> Customer:
        """One customer as of the last time that a worker looked at them."""
        version = fields["scorecard"].decode()
        card = (await scorecards_of(self.store)).get(version)
        if card is None:
            raise UnknownCustomerError(
                f"customer {customer_id!r} is scored by {shown(version)}, which Redis has lost.",
                hint="Mend it: everscore rebuild.",
            )
        timeline = Timeline.of(card)
        states = decode_rows([customer_id], [fields], timeline, self.settings.input_topics)
        as_of_us = int(states.numbers["as_of_us"][0])
        return Customer(states, as_of_us, timeline, self.calendar)


def as_known_then(
    states: States, at_us: int, timeline: Timeline, calendar: BusinessCalendar
) -> States | None:
    """A customer as the ledger has them at the end of a past day; None before their first purchase.

    What a notebook computes of the purchases until that day: frequency, t_x, age and value are
    exact. Segment and lifecycle are those in which the scorecard now in use puts such a customer,
    who has no history; what was told at the time is in the change events.

    Parameters
    ----------
    states : States
        One row, left as it is.
    at_us : int
        Microseconds since 1970 UTC; purchases until the end of its calendar day count.
    timeline : Timeline
    calendar : BusinessCalendar
    """
    day = int(calendar.day_of(np.array([at_us]))[0])
    days = pack_days(entry for entry in unpack_days(states.days[0]) if entry.day <= day)
    summary = summarise(days)
    if summary.first_day == NO_DAY:
        return None
    past = States.blank(states.customer_ids, card=timeline.current)
    past.days[0] = days
    for column in summary.__slots__:
        past.numbers[column] = getattr(summary, column)
    starts = calendar.instant_of(np.array([summary.first_day, summary.last_day], dtype=np.float64))
    now = states.numbers
    same = (now["first_day"][0] == summary.first_day, now["last_day"][0] == summary.last_day)
    # Of other days than those the customer still has, the ledger knows no time.
    past.numbers["first_at_us"] = now["first_at_us"] if same[0] else starts[0]
    past.numbers["last_at_us"] = now["last_at_us"] if same[1] else starts[1]
    # On the day of a purchase the calendar day counts, as it does for the model.
    past.numbers["as_of_us"] = max(at_us, int(starts[1]))
    score(past.numbers, timeline.card, calendar)
    return past
