"""The script of `ops/direct-redis.md`, and customers for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import numpy as np
import redis

from schemas.scorecard import AliveParams, Family
from scoring.bootstrap import bootstrap_scorecard
from scoring.ledger import DayEntry, RecentIds, pack_days, pack_ledger

TEXT = (files("state") / "scripts" / "prob_alive.lua").read_text(encoding="utf-8")
SHARED = ("scorecards", "installation")

Ask = Callable[..., str]


def put(client: redis.Redis, name: str, entries: list[DayEntry], params: AliveParams) -> list[str]:
    """Save a customer, as far as the script reads them; its keys."""
    version = f"fitted-{name}"
    card = bootstrap_scorecard().model_copy(update={"alive": params})
    client.hset("scorecards", version, card.model_dump_json())
    packed = pack_ledger(pack_days(entries), RecentIds(3, b"8 bytes!", b"8 more.."))
    client.hset(f"customer:{name}", mapping={"ledger": packed, "scorecard": version})
    client.hset("installation", "timezone", "UTC")
    return [f"customer:{name}", *SHARED]


def random_params(rng: np.random.Generator, family: Family) -> AliveParams:
    """From a hundredth to a hundredfold of what shops have."""
    r, alpha_days, a, b = np.exp(rng.normal([-0.5, 3.5, -0.3, 0.5], 1.5)).tolist()
    return AliveParams(family=family, r=r, alpha_days=alpha_days, a=a, b=b)
