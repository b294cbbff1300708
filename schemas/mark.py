"""The journal's record: what a partition's history owes to its worker and not to the log.

A partition's history is a function of its input topics and of its marks: when its clock was raised by
the wall clock, when it took a scorecard into use, and in which order its two topics were read.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Self

import msgspec


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of a worker, taken between two records.

    Attributes
    ----------
    id : str
        Of its content, what came before it included.
    previous : str
        Id of the partition's mark before this one; empty for the first.
    offsets : dict of input topic to offset
        Where the partition stood: what lies before had been counted, nothing else.
    clock_us : int
        The partition's clock from here on, at least; microseconds since 1970 UTC.
    scorecard : str
        Version in use from here on.
    reading : str
        The input topic that is read on until the next mark.
    """

    id: str
    previous: str
    offsets: dict[str, int]
    clock_us: int
    scorecard: str
    reading: str

    @classmethod
    def after(
        cls,
        previous: Mark | None,
        *,
        offsets: dict[str, int],
        clock_us: int,
        scorecard: str,
        reading: str,
    ) -> Self:
        """The mark that follows another one, or is the first of its partition."""
        before = "" if previous is None else previous.id
        content = msgspec.json.encode(
            (before, sorted(offsets.items()), clock_us, scorecard, reading)
        )
        return cls(
            id=blake2b(content, digest_size=12).hexdigest(),
            previous=before,
            offsets=offsets,
            clock_us=clock_us,
            scorecard=scorecard,
            reading=reading,
        )


encode_mark = msgspec.json.Encoder().encode
decode_mark = msgspec.json.Decoder(Mark).decode
