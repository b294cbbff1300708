"""The checkpoint's fields: how `Checkpoint` stands in the hash `partition:<p>`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from scoring.change_events import rfc3339
from scoring.states import UNKNOWN_US
from state.codec import parse_times
from state.store import Checkpoint

_OFFSET = "next_offset:"
COUNTERS = ("applied", "duplicates", "dead", "forwarded", "customers")


def offset_fields(checkpoint: Checkpoint) -> list[str]:
    """Field, value, field, value … of the next offsets: what a commit compares."""
    pairs: list[str] = []
    for topic, offset in checkpoint.next_offsets.items():
        pairs += (_OFFSET + topic, str(offset))
    return pairs


def checkpoint_fields(checkpoint: Checkpoint) -> list[str]:
    """Field, value, field, value … of all that a commit writes; owner and epoch it never writes."""
    clock = rfc3339(np.array([checkpoint.clock_us]))[0] or ""
    pairs = [
        *offset_fields(checkpoint),
        *("stream_time", clock),
        *("live", "1" if checkpoint.live else "0"),
        *("scorecards", msgspec.json.encode(checkpoint.adoptions).decode()),
    ]
    for counter in COUNTERS:
        pairs += (counter, str(getattr(checkpoint, counter)))
    return pairs


def read_checkpoint(fields: Mapping[str, bytes]) -> Checkpoint:
    """Read the hash back; an empty one is the beginning of everything."""
    return Checkpoint(
        epoch=int(fields.get("epoch", b"0")),
        owner=fields.get("owner", b"").decode(),
        next_offsets={
            name.removeprefix(_OFFSET): int(value)
            for name, value in fields.items()
            if name.startswith(_OFFSET)
        },
        clock_us=int(parse_times([fields.get("stream_time", b"").decode()], UNKNOWN_US)[0]),
        live=fields.get("live") == b"1",
        adoptions=tuple(
            (int(moment), str(version))
            for moment, version in msgspec.json.decode(fields.get("scorecards", b"[]"))
        ),
        **{counter: int(fields.get(counter, b"0")) for counter in COUNTERS},
    )
