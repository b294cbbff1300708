"""A small job for tests that has what a whole one has: years of history, silence, several copies."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ops.bench.job import Job, make_job

COPIES = 2


@lru_cache(maxsize=1)
def whole_job() -> Job:
    """All of CDNOW."""
    return make_job(COPIES)


@lru_cache
def job_of(customers: int) -> Job:
    """All purchases of CDNOW's first customers."""
    whole = whole_job()
    rows = [row for row, name in enumerate(whole.customer_ids) if int(name[:5]) <= customers]
    return Job(
        COPIES,
        [whole.customer_ids[row] for row in rows],
        [whole.purchases[row] for row in rows],
        [whole.values[row] for row in rows],
        whole.partitions[np.array(rows)],
    )
