"""What a store of customers' states can do; Redis and its in-memory twin both do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from schemas.mark import Mark
from scoring.states import UNKNOWN_US
from state.fields import FIELDS

Fields = Mapping[str, bytes]
"""A customer's hash as stored: field name → value."""

Adoption = tuple[int, str]
"""(moment on the partition's clock in µs, scorecard version)."""


REBUILDER = "rebuild "
"""How the owner begins that is no worker, but rebuilds a partition."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far one partition has come: the truth about progress.

    Attributes
    ----------
    epoch : int
        Rises with every change of owner; a commit under an older one is refused.
    token : str
        Of this one acquisition: after Redis was rolled back, two owners can have come by the same
        epoch, and only one of them knows its token.
    owner : str
    commits : int
        How many slices were committed: after a rollback that undid but a sweep, offsets are the same.
    next_offsets : mapping of input topic to offset
        First record of each that is not yet counted.
    heard : mapping of partition to offset
        Of each that sends foreign records home to this one: the first that has not come.
    clock_us : int
        Stream time: the largest event time seen, or the wall clock once live and caught up;
        microseconds since 1970 UTC.
    live : bool
        Some record arrived about when it happened, so silence may be measured by the wall clock.
    applied, duplicates, dead, forwarded, erased, customers : int
        Records counted, counted before, dead-lettered, sent to their home partition, set aside because
        their customers were erased; customers known.
    adoptions : tuple of Adoption
        Scorecards in order of their adoption.
    mark : Mark or None
        The last one of the journal that this partition has come to.
    journal_from : int
        Offset in the journal before which no mark follows that one.
    """

    epoch: int = 0
    token: str = ""
    owner: str = ""
    commits: int = 0
    next_offsets: Mapping[str, int] = field(default_factory=dict)
    heard: Mapping[int, int] = field(default_factory=dict)
    clock_us: int = UNKNOWN_US
    live: bool = False
    applied: int = 0
    duplicates: int = 0
    dead: int = 0
    forwarded: int = 0
    erased: int = 0
    customers: int = 0
    adoptions: tuple[Adoption, ...] = ()
    mark: Mark | None = None
    journal_from: int = 0

    def moved(self, topic: str, next_offset: int) -> Checkpoint:
        """The same with one topic's next offset changed."""
        return replace(self, next_offsets={**self.next_offsets, topic: next_offset})


class Glimpse(NamedTuple):
    """One customer and how far their partition was right afterwards.

    Attributes
    ----------
    fields : Fields or None
        None: not known.
    clock_us, live, adoptions
        As in `Checkpoint`.
    """

    fields: Fields | None
    clock_us: int
    live: bool
    adoptions: tuple[Adoption, ...]

    @classmethod
    def of(cls, fields: Fields | None, checkpoint: Checkpoint) -> Glimpse:
        """From a whole checkpoint."""
        return cls(fields, checkpoint.clock_us, checkpoint.live, checkpoint.adoptions)


class Tombstone(NamedTuple):
    """What is kept of a customer erased.

    Attributes
    ----------
    until_us : int
        What occurred until then never counts again; event time, microseconds since 1970 UTC.
    sequence : int
        Of the last change told: should the customer come back, the next one bears the next.
    """

    until_us: int
    sequence: int


class Gone(NamedTuple):
    """A customer whose state goes with a commit.

    Attributes
    ----------
    customer_id : str
        Not kept.
    name : str
        Kept in its stead, see `schemas.erasure.tombstone_name`.
    tombstone : Tombstone
    """

    customer_id: str
    name: str
    tombstone: Tombstone


@dataclass(frozen=True, slots=True)
class SliceCommit:
    """Everything one slice changes, to be written together or not at all.

    Attributes
    ----------
    partition : int
    before : Checkpoint
        What the store must still hold: epoch, token, commits and next offsets are compared.
    after : Checkpoint
    customer_ids : list of str, length n
    rows : n rows of values in the order of `fields`
    due_at : n scores in seconds since 1970 UTC; inf where silence changes nothing
    outbox : bytes
        Messages to publish, see `state.outbox.pack_messages`; empty for none.
    fields : names of the fields written
        All, the packed ledger last, or only `SCORE_FIELDS`.
    erased : list of Gone
        None of them is among `customer_ids`.
    """

    partition: int
    before: Checkpoint
    after: Checkpoint
    customer_ids: Sequence[str] = ()
    rows: Sequence[Sequence[str | bytes]] = ()
    due_at: Sequence[float] = ()
    outbox: bytes = b""
    fields: Sequence[str] = FIELDS
    erased: Sequence[Gone] = ()


class Store(Protocol):
    """Customers' states by partition. All methods raise `StoreUnavailableError` if it is away."""

    async def check(self) -> None:
        """Refuse a server that would lose states.

        Raises
        ------
        ConfigurationError
            Too old, or allowed to evict.
        """

    async def acquire(self, partition: int, owner: str, token: str = "") -> Checkpoint:
        """Become the owner under a new epoch; whoever owned it before can write no more.

        Raises
        ------
        RebuildingError
            It is reserved for another owner.
        """

    async def reserve(self, partition: int, owner: str, seconds: float) -> str:
        """Keep everybody else from acquiring a partition for a while; 0 seconds let go of it.

        Returns
        -------
        str
            For whom it is reserved now; empty for nobody.
        """

    async def forget(
        self,
        partition: int,
        owned: Checkpoint,
        customer_ids: Sequence[str],
        tombstones: Sequence[str] = (),
    ) -> None:
        """Remove customers, and tombstones by `Gone.name`, as if they had never been.

        Raises
        ------
        FencedError
            Epoch or token are not those of `owned`; nothing was removed.
        """

    async def checkpoint(self, partition: int) -> Checkpoint:
        """Read without becoming the owner."""

    async def load_many(self, partition: int, customer_ids: Sequence[str]) -> list[Fields | None]:
        """Hashes of customers in one round trip; None for those not known."""

    async def glimpse(self, partition: int, customer_id: str) -> Glimpse:
        """One customer and how far their partition was right afterwards, in one round trip."""

    async def commit_slice(self, commit: SliceCommit) -> str:
        """Write a slice atomically.

        Returns
        -------
        str
            Id of its outbox entry, empty if it has none.

        Raises
        ------
        FencedError
            The checkpoint is not `commit.before`; nothing was written.
        """

    async def tombstones(self, partition: int) -> dict[str, Tombstone]:
        """Of all customers ever erased, by `Gone.name`."""

    async def due(self, partition: int, until_us: int, limit: int) -> list[str]:
        """Customers whose review time has come, the earliest first."""

    async def next_due_us(self, partition: int) -> int:
        """Earliest review time of all customers; `NEVER_US` if there is none."""

    async def customers(self, partition: int, cursor: int, count: int) -> tuple[int, list[str]]:
        """About `count` customers and the cursor to go on with; 0 begins and ends."""

    async def reviews(
        self, partition: int, cursor: int, count: int
    ) -> tuple[int, list[tuple[str, float]]]:
        """About `count` customers with their review times in seconds since 1970 UTC, likewise."""

    async def outbox(self, partition: int, after: str, count: int) -> list[tuple[str, bytes]]:
        """Entries not yet trimmed, the oldest first, beginning after an entry id ("" for all)."""

    async def trim_outbox(self, partition: int, through: str) -> None:
        """Forget the entries up to and including one."""

    async def installation(self) -> dict[str, str]:
        """What was fixed when the installation began."""

    async def found(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Fix what is not yet fixed; returns what holds."""

    async def save_scorecard(self, version: str, body: bytes, *, current: bool) -> None:
        """Keep a scorecard for ever; make it the one in use if `current`."""

    async def scorecards(self) -> dict[str, bytes]:
        """All scorecards by version."""

    async def current_scorecard(self) -> str | None:
        """Version of the one in use."""

    async def save_learning(self, body: bytes) -> None:
        """Keep what the learner knows, in the place of what it knew before."""

    async def learning(self) -> bytes | None:
        """What the learner knew last."""

    async def close(self) -> None:
        """Let go of connections."""
