"""One transaction as its producer means it, and the record that says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One purchase or refund; money in 1/10,000 major units, time in microseconds since 1970 UTC."""

    transaction_id: str
    customer_id: str
    occurred_us: int
    units: int
    is_refund: bool

    @property
    def value(self) -> bytes:
        """The record, as a producer writes it."""
        moment = _EPOCH + timedelta(microseconds=self.occurred_us)
        fields = {
            "transaction_id": self.transaction_id,
            "customer_id": self.customer_id,
            "occurred_at": moment.isoformat(timespec="microseconds"),
            "amount": f"{self.units // 10_000}.{self.units % 10_000:04d}",
            "kind": "refund" if self.is_refund else "purchase",
        }
        return json.dumps(fields).encode()
