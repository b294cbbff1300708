"""The latest changes of all customers, in memory: for history, flows and streams.

The topic of changes is the truth, and can only be read from end to end. This is its tail, as much of
it as a limit allows, by customer; it says where its memory ends, and forgets whom it is told to forget.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from schemas.change import Cause
from schemas.errors import InvalidTransactionError, LedgerError
from scoring.ledger import read_varint, varint

_POSITION_BYTES_MAX = 64 * 1024
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


class _Head(msgspec.Struct, frozen=True, gc=False):
    """What is read of every change."""

    customer_id: str
    sequence: int
    previous: str | None
    current: str | None
    cause: str
    occurred_at: str


_decode_head = msgspec.json.Decoder(_Head).decode


class Told(msgspec.Struct, frozen=True, gc=False):
    """One change as Kafka has it.

    Of a quarter of a million of them none can be part of a cycle: the garbage collector, which would look
    at each while everybody waits, is told so.
    """

    partition: int
    offset: int
    change_type: str
    change_id: str
    body: bytes

    @property
    def kind(self) -> str:
        """`segment` or `lifecycle`."""
        return self.change_type.split(".")[1]

    def change(self) -> dict[str, Any]:
        """The body with its id, type and kind; as `ops.change_feed.change_of`."""
        found: dict[str, Any] = _decode(self.body)
        return found | {"id": self.change_id, "type": self.change_type, "kind": self.kind}

    def raw(self) -> bytes:
        """`change` as JSON, without reading the body."""
        more = {"id": self.change_id, "type": self.change_type, "kind": self.kind}
        return self.body.rstrip()[:-1] + b"," + _encode(more)[1:]


class ForgottenError(InvalidTransactionError):
    """A stream cannot go on where it stopped: what came next is no longer remembered."""


class PositionError(InvalidTransactionError):
    """A text that is no position of a stream."""


class ChangesMemory:
    """The tail of the topic of changes.

    Parameters
    ----------
    changes_max : int

    Attributes
    ----------
    caught_up : bool
        All that Kafka held when reading began was read.
    following : bool
        Kafka is being read at this moment.
    beginnings : int
        How often it has begun; positions of before mean nothing any more.
    """

    def __init__(self, changes_max: int) -> None:
        self.changes_max = changes_max
        self.caught_up = self.following = False
        self.beginnings = 0
        self.first = self.next = 0  # numbers of the changes here; erased ones leave holes
        self._told: dict[int, Told] = {}
        self._heads: dict[str, deque[int]] = {}
        self._flows: Counter[tuple[str | None, str | None]] = Counter()
        self._begins: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._more = asyncio.Event()

    def __len__(self) -> int:
        return len(self._told)

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Forget all, and expect the changes from these offsets on, by partition."""
        for customer_id in list(self._heads):
            self._forget(customer_id)
        self.first = self.next
        self._begins, self._ends = dict(offsets), dict(offsets)
        self.caught_up = False
        self.beginnings += 1
        self._wake()

    def add(self, told: Told) -> None:
        """Remember a change; one that was told before is not told again."""
        head = _decode_head(told.body)
        self._begins.setdefault(told.partition, told.offset)
        self._ends[told.partition] = told.offset + 1
        known = self._heads.setdefault(head.customer_id, deque())
        if known and head.sequence <= _decode_head(self._told[known[-1]].body).sequence:
            return
        if head.cause == Cause.ERASURE:
            self._forget(head.customer_id)
            known = self._heads.setdefault(head.customer_id, deque())
        known.append(self.next)
        self._told[self.next] = told
        self.next += 1
        if told.kind == "segment":
            self._flows[head.previous, head.current] += 1
        while len(self._told) > self.changes_max:
            self._drop_oldest()
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    def _drop_oldest(self) -> None:
        while self.first not in self._told:
            self.first += 1
        told = self._told[self.first]
        self._begins[told.partition] = told.offset + 1
        head = _decode_head(told.body)
        numbers = self._heads[head.customer_id]
        numbers.popleft()
        if not numbers:
            del self._heads[head.customer_id]
        self._take_out(self.first)
        self.first += 1

    def _take_out(self, number: int) -> None:
        told = self._told.pop(number)
        if told.kind == "segment":
            head = _decode_head(told.body)
            flow = head.previous, head.current
            self._flows[flow] -= 1
            if not self._flows[flow]:
                del self._flows[flow]

    def _forget(self, customer_id: str) -> None:
        for number in self._heads.pop(customer_id, ()):
            self._take_out(number)

    def of(self, customer_id: str) -> list[dict[str, Any]]:
        """The changes of one customer, the oldest first."""
        return [self._told[number].change() for number in self._heads.get(customer_id, ())]

    @property
    def flows(self) -> list[tuple[str | None, str | None, int]]:
        """Changes of segment: from where, to where, how many; the most first."""
        return [(before, after, count) for (before, after), count in self._flows.most_common()]

    @property
    def since(self) -> datetime | None:
        """Event time of the oldest change here."""
        oldest = next(iter(self._told.values()), None)
        if oldest is None:
            return None
        return datetime.fromisoformat(_decode_head(oldest.body).occurred_at)

    # --- streams

    def get(self, number: int) -> Told | None:
        """A change by number; None if it is not here."""
        return self._told.get(number)

    async def wait(self, number: int, seconds: float) -> bool:
        """Wait until there is a change of that number or later; False: not in that time."""
        if self.next > number:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._more.wait()
        except TimeoutError:
            return False
        return True

    async def reach(self, position: Mapping[int, int], seconds: float) -> None:
        """Wait until a position is not ahead of what was read, though not for long.

        Who comes from another server, or another process of this one, may be ahead by what is just
        being read here.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(offset > self._ends.get(p, offset) for p, offset in position.items()):
                    await self._more.wait()

    @property
    def oldest_position(self) -> dict[int, int]:
        """Where a stream of everything here begins."""
        return dict(self._begins)

    @property
    def position(self) -> dict[int, int]:
        """Where a stream of what is to come begins: the next offset of every partition."""
        return dict(self._ends)

    def position_before(self, changes: int) -> dict[int, int]:
        """Where a stream of the latest so many changes begins, and of what is to come."""
        position = self.position
        for number in range(self.next - 1, max(self.next - changes, self.first) - 1, -1):
            told = self._told.get(number)
            if told is not None:
                position[told.partition] = told.offset
        return position

    def number_at(self, position: Mapping[int, int]) -> int:
        """The number from which on nothing beyond a position is missed.

        Raises
        ------
        ForgottenError
            Something beyond it is no longer here, or never was.
        """
        if position.keys() != self._begins.keys():
            raise PositionError("The topic of changes has other partitions now.")
        if any(position[p] < begin for p, begin in self._begins.items()):
            raise ForgottenError("Changes after that one are no longer remembered.")
        if self.caught_up and any(position[p] > end for p, end in self._ends.items()):
            raise ForgottenError("Changes have begun anew since.")
        # Every change here has an offset of its own: no more of them can lie beyond the position.
        beyond = sum(max(end - position[p], 0) for p, end in self._ends.items())
        return max(self.first, self.next - beyond)


def pack_position(position: Mapping[int, int]) -> str:
    """A position as an event id.

    >>> unpack_position(pack_position({0: 300, 1: 7}))
    {0: 300, 1: 7}
    """
    raw = b"".join(varint(position[partition]) for partition in sorted(position))
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unpack_position(text: str) -> dict[int, int]:
    """The position of an event id.

    Raises
    ------
    PositionError
        It is none.
    """
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        if pack := raw[:_POSITION_BYTES_MAX]:
            offsets, at = [], 0
            while at < len(pack):
                offset, at = read_varint(pack, at)
                offsets.append(offset)
            return dict(enumerate(offsets))
    except (UnicodeEncodeError, Base64Error, ValueError, LedgerError):
        pass
    raise PositionError("That is no id of an event of this stream.")
