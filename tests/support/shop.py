"""A shop whose customers buy and drop out as the MBG/NBD model has it, as lines of Transaction v1."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

OPENED = datetime(2025, 1, 6, tzinfo=UTC)


def purchases(customers: int, days: int, seed: int = 11) -> list[tuple[str, datetime, float]]:
    """(customer, moment, amount), by time; everyone begins within the first third."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.8, 1 / 30.0, customers)
    dropouts = rng.beta(0.9, 1.8, customers)
    found = []
    for row in range(customers):
        day = float(rng.uniform(0, days / 3))
        while day < days:
            moment = OPENED + timedelta(seconds=int(day * 86_400))
            found.append((f"c-{row:05d}", moment, round(float(rng.gamma(6.0, 5.0)), 2)))
            if rng.random() < dropouts[row]:
                break
            day += float(rng.exponential(1 / rates[row]))
    return sorted(found, key=lambda purchase: purchase[1])


def write_lines(path: Path, records: list[tuple[str, datetime, float]], **more: object) -> Path:
    """As one Transaction v1 a line; `more` goes into each."""
    lines = [
        json.dumps(
            {
                "transaction_id": f"t-{number}",
                "customer_id": customer,
                "occurred_at": moment.isoformat(),
                "amount": amount,
                **more,
            }
        )
        for number, (customer, moment, amount) in enumerate(records)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
