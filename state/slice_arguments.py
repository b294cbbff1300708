"""What the script `commit_slice` is called with, argument by argument."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from state.checkpoints import checkpoint_fields, guard_fields
from state.codec import Row
from state.fields import FIELDS
from state.keys import Keys
from state.store import SliceCommit

_encode = msgspec.json.Encoder().encode
_INFINITE = "null"  # in JSON


def slice_keys(keys: Keys, partition: int) -> list[str]:
    """The keys of a partition that a slice may write."""
    return [
        keys.partition(partition),
        keys.outbox(partition),
        keys.due(partition),
        keys.tombstones(partition),
    ]


def slice_arguments(
    keys: Keys, commit: SliceCommit, whole: Sequence[bytes] | None
) -> list[str | bytes]:
    """Everything that a slice changes.

    Parameters
    ----------
    whole : n bytes, or None
        Customers as RESTORE takes them; without them their rows go field by field.
    """
    packed = whole is None and commit.fields[-1:] == FIELDS[-1:]
    rows: Sequence[Row] = commit.rows if whole is None else []
    payload = msgspec.msgpack.encode(
        {
            "expected": guard_fields(commit.before),
            "checkpoint": checkpoint_fields(commit.after),
            "fields": commit.fields,
            "ids": commit.customer_ids,
            "rows": [row[:-1] for row in rows] if packed else list(rows),
            "whole": whole is not None,
            "erased": [
                (gone.customer_id, gone.name, " ".join(map(str, gone.tombstone)))
                for gone in commit.erased
            ],
            "due": _scores(commit.due_at),
        }
    )
    prefix = keys.customer_prefix(commit.partition)
    return [
        prefix,
        payload,
        commit.outbox,
        *(whole or ()),
        *((row[-1] for row in rows) if packed else ()),
    ]


def _scores(due_at: Sequence[float]) -> list[str]:
    """As ZADD takes them; written by the JSON encoder at a tenth of what `repr` costs."""
    if not due_at:
        return []
    texts = _encode(due_at).decode()[1:-1].split(",")
    return ["+inf" if text == _INFINITE else text for text in texts]
