"""Runs payloads through the decoder and holds every verdict against the oracle's.

One payload, looked at closely: `python -m tests.support.decoder_fuzz SEED NUMBER`.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.decoding import DecodingLimits, decode_transactions, transaction_hash
from schemas.errors import InvalidTransactionError
from tests.support.malformed import Payload, payload
from tests.support.transaction_oracle import Counted, Dead, verdict

LIMITS = DecodingLimits()
MESSAGE_CHARS_MAX = 1_000
_BATCH = 500

# What is wrong with which value; of fields, several reasons may stand in one line.
_NAMES_VALUE = re.compile(
    r"record (b['\"]|has no value \(a tombstone\)$|is not UTF-8: .*near b['\"]|of [\d,]+ bytes)"
    r"|the record has no timestamp \(−1\)$|the record's timestamp -?\d+ "
    r"|(transaction_id|customer_id|occurred_at|amount|currency|kind|channel|quantity|unit_price"
    r"|items(\.\d+(\.\w+)?)?) (is missing|[-'\"\[{\dTFNb])"
)

Row = tuple[str, bytes, int, int, bool]
"""Customer, hash of the transaction id, moment, units, refund."""


@dataclass
class Tally:
    """What was run: payloads by family and verdict, the time decoding took, the slowest batch's."""

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, -1)

    def add(self, other: Tally) -> None:
        self.seen += other.seen
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)

    def of(self, outcome: str) -> int:
        return sum(count for (_, found), count in self.seen.items() if found == outcome)

    def __str__(self) -> str:
        seconds, number = self.slowest
        return (
            f"{self.seen.total():,} payloads: {self.of('Counted'):,} counted, {self.of('Dead'):,} dead; "
            f"decoded in {self.seconds:.1f} s; {seconds:.3f} s for the slowest {_BATCH}, from {number:,}"
        )


def check_numbers(seed: int, begin: int, end: int) -> Tally:
    """Decode the payloads of some numbers; fails at the first verdict that is not the oracle's."""
    tally = Tally()
    for start in range(begin, end, _BATCH):
        payloads = [payload(seed, number) for number in range(start, min(start + _BATCH, end))]
        began = time.perf_counter()
        found = outcomes(payloads)
        seconds = time.perf_counter() - began
        tally.seconds += seconds
        tally.slowest = max(tally.slowest, (seconds, start))
        for number, (sent, outcome) in enumerate(zip(payloads, found, strict=True), start):
            said = verdict(sent.value, sent.timestamp_ms)
            wrong = complaint(outcome, said)
            assert wrong is None, (
                f"{wrong}; look at it: python -m tests.support.decoder_fuzz {seed} {number}"
            )
            tally.seen[sent.family, type(said).__name__] += 1
    return tally


def outcomes(payloads: Sequence[Payload]) -> list[Row | InvalidTransactionError]:
    """What the decoder makes of each, once."""
    batch = decode_transactions(
        [sent.value for sent in payloads], [sent.timestamp_ms for sent in payloads], LIMITS
    )
    found: dict[int, Row | InvalidTransactionError] = dict(batch.rejects)
    columns = (
        batch.customer_ids,
        batch.hashes,
        batch.occurred_at_us.tolist(),
        batch.amount_units.tolist(),
        batch.is_refund.tolist(),
    )
    positions = batch.positions.tolist()
    found |= dict(zip(positions, zip(*columns, strict=True), strict=True))
    assert len(positions) + len(batch.rejects) == len(payloads) == len(found), (
        "not one verdict each"
    )
    return [found[index] for index in range(len(payloads))]


def complaint(outcome: Row | InvalidTransactionError, said: Counted | Dead) -> str | None:
    """What is wrong with the decoder's verdict; None if nothing is."""
    if isinstance(said, Counted):
        row = (
            said.customer_id,
            transaction_hash(said.transaction_id),
            said.occurred_at_us,
            said.units,
            said.is_refund,
        )
        return None if outcome == row else f"{outcome!r} should be {said}"
    if not isinstance(outcome, InvalidTransactionError):
        return f"{outcome!r} should be {said}"
    message = str(outcome)
    if len(message) > MESSAGE_CHARS_MAX or not message.isprintable():
        return (
            f"message of {len(message)} characters, or not of one printable line: {message[:300]!r}"
        )
    if _NAMES_VALUE.match(message) is None:
        return f"message does not name the value: {message!r}"
    return None


def main() -> None:
    """Show one payload and both verdicts."""
    sent = payload(int(sys.argv[1]), int(sys.argv[2]))
    said, outcome = verdict(sent.value, sent.timestamp_ms), outcomes([sent])[0]
    shown = sent.value if sent.value is None or len(sent.value) < 4_000 else sent.value[:4_000]
    lines = (
        f"{sent.family}, {len(sent.value or b''):,} bytes, timestamp {sent.timestamp_ms}",
        repr(shown),
        f"oracle:  {said}",
        f"decoder: {outcome!r}",
        f"wrong:   {complaint(outcome, said)}",
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
