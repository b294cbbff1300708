"""The checkpoint's fields: how `Checkpoint` stands in the hash `partition:<p>`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from schemas.errors import FencedError, RebuildingError, shown
from schemas.mark import decode_mark, encode_mark
from scoring.moments import rfc3339_of
from scoring.states import UNKNOWN_US
from state.codec import parse_times
from state.store import Checkpoint

_OFFSET = "next_offset:"
_HEARD = "heard:"
COUNTERS = ("applied", "duplicates", "dead", "forwarded", "erased", "customers")


def guard_fields(checkpoint: Checkpoint) -> list[str]:
    """Field, value, field, value … of what must still hold for a commit: whose it is, and where."""
    return [
        *("epoch", str(checkpoint.epoch)),
        *("token", checkpoint.token),
        *("commits", str(checkpoint.commits)),
        *_offset_fields(checkpoint),
    ]


def _offset_fields(checkpoint: Checkpoint) -> list[str]:
    pairs: list[str] = []
    for topic, offset in checkpoint.next_offsets.items():
        pairs += (_OFFSET + topic, str(offset))
    return pairs


def refusal(partition: int, held: Checkpoint, before: Checkpoint) -> FencedError | None:
    """Why a commit onto `before` must not happen; None if the partition is where it was left.

    An offset that the store knows and the commit does not name is not compared, and stays.
    """
    same = (held.epoch, held.token, held.commits) == (before.epoch, before.token, before.commits)
    offsets = before.next_offsets.items()
    if same and all(held.next_offsets.get(topic, 0) == offset for topic, offset in offsets):
        return None
    return FencedError(
        f"partition {partition} is at {_place(held)} (owner {shown(held.owner)}), "
        f"not at {_place(before)}"
    )


def taken(partition: int, held: Checkpoint) -> FencedError:
    """Why nothing may be removed any more."""
    return FencedError(
        f"partition {partition} belongs to {shown(held.owner)} since epoch {held.epoch}"
    )


def rebuilding(partition: int, owner: str) -> RebuildingError:
    """Why a partition cannot be acquired."""
    return RebuildingError(f"partition {partition} is reserved for {shown(owner)}.")


def _place(checkpoint: Checkpoint) -> str:
    return (
        f"epoch {checkpoint.epoch}, commit {checkpoint.commits}, "
        f"offsets {dict(checkpoint.next_offsets)}"
    )


def checkpoint_fields(checkpoint: Checkpoint) -> list[str]:
    """Field, value, field, value … of all that a commit writes; whose it is it never writes."""
    clock = rfc3339_of(checkpoint.clock_us) or ""
    pairs = [
        *_offset_fields(checkpoint),
        *("commits", str(checkpoint.commits)),
        *("stream_time", clock),
        *("live", "1" if checkpoint.live else "0"),
        *("scorecards", msgspec.json.encode(checkpoint.adoptions).decode()),
        *("mark", "" if checkpoint.mark is None else encode_mark(checkpoint.mark).decode()),
        *("journal_from", str(checkpoint.journal_from)),
    ]
    for partition, offset in checkpoint.heard.items():
        pairs += (f"{_HEARD}{partition}", str(offset))
    for counter in COUNTERS:
        pairs += (counter, str(getattr(checkpoint, counter)))
    return pairs


def read_checkpoint(fields: Mapping[str, bytes]) -> Checkpoint:
    """Read the hash back; an empty one is the beginning of everything."""
    return Checkpoint(
        epoch=int(fields.get("epoch", b"0")),
        token=fields.get("token", b"").decode(),
        owner=fields.get("owner", b"").decode(),
        commits=int(fields.get("commits", b"0")),
        next_offsets={
            name.removeprefix(_OFFSET): int(value)
            for name, value in fields.items()
            if name.startswith(_OFFSET)
        },
        heard={
            int(name.removeprefix(_HEARD)): int(value)
            for name, value in fields.items()
            if name.startswith(_HEARD)
        },
        clock_us=int(parse_times([fields.get("stream_time", b"").decode()], UNKNOWN_US)[0]),
        live=fields.get("live") == b"1",
        adoptions=tuple(
            (int(moment), str(version))
            for moment, version in msgspec.json.decode(fields.get("scorecards", b"[]"))
        ),
        mark=decode_mark(fields["mark"]) if fields.get("mark") else None,
        journal_from=int(fields.get("journal_from", b"0")),
        **{counter: int(fields.get(counter, b"0")) for counter in COUNTERS},
    )
