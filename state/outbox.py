"""What a slice has to say, as bytes in its outbox entry. Knows no broker: a run's records are opaque here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from scoring.texts import Texts


class Message(NamedTuple):
    """One record to publish; `partition` None means by key, `timestamp_ms` None means now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    partition: int | None = None
    timestamp_ms: int | None = None


class Run(NamedTuple):
    """Many records to publish one after the other, already in the form in which the broker keeps them.

    Attributes
    ----------
    partition : int
        Where all of them go, if the topic has as many partitions as `partitions` says; else by key.
    blob : bytes
        What each record says, one after the other.
    ends : bytes
        Where each of them ends: int64, little-endian.
    """

    topic: str
    partition: int
    partitions: int
    blob: bytes
    ends: bytes

    @classmethod
    def of(cls, topic: str, partition: int, partitions: int, records: Texts) -> Run:
        """A run of some records."""
        ends = records.ends.astype("<i8").tobytes()
        return cls(topic, partition, partitions, records.blob, ends)

    @property
    def records(self) -> Texts:
        """What each record says."""
        return Texts(self.blob, np.frombuffer(self.ends, dtype="<i8"))


Outgoing: TypeAlias = Message | Run

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[list[Message], list[Run]]).decode
_END_BYTES = 8


def pack_messages(outgoing: Sequence[Outgoing]) -> bytes:
    """The payload of one outbox entry; empty for no messages. Runs go after all others."""
    if not outgoing:
        return b""
    runs = [one for one in outgoing if isinstance(one, Run)]
    return _pack(([one for one in outgoing if isinstance(one, Message)], runs))


def unpack_messages(packed: bytes) -> list[Outgoing]:
    """Read an outbox entry back."""
    if not packed:
        return []
    messages, runs = _unpack(packed)
    return [*messages, *runs]


def count_records(outgoing: Iterable[Outgoing]) -> int:
    """How many records that are."""
    return sum(len(one.ends) // _END_BYTES if isinstance(one, Run) else 1 for one in outgoing)
